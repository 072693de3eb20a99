"""The record inside a picture: the job that made it, and what it read, so that it can be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brushwork.encode import read_job
from brushwork.errors import InputError
from brushwork.idle import check_typed
from brushwork.jobs import STARTS, Settings, Stylize, of_engine
from brushwork.recipes import merge
from brushwork.wheels import sha256_of


def fingerprint(path: str) -> str | None:
    """The sha256 of a file, None for what is no file (standard input, a picture in memory)."""
    try:
        return sha256_of(Path(path))
    except OSError:
        return None


def inputs(job: Stylize) -> list[str]:
    """The files that a job reads."""
    start = "" if job.init in STARTS else job.init
    named = [job.content, *(style.path for style in job.styles), start, job.weights or ""]
    return [path for path in dict.fromkeys(named) if path and Path(path).is_file()]


def record(job: Stylize, made_with: dict[str, Any]) -> str:
    """The JSON that is written into a picture: job, versions, and the sha256 of each input."""
    files = {path: fingerprint(path) for path in inputs(job)}
    return json.dumps({"job": json.loads(job.to_json()), "inputs": files, **made_with})


def renamed(record: str, names: Mapping[str, str]) -> str:
    """A record whose files have the names by which others know them; their sha256 tells whether they are it.

    Two files of one name keep their own.
    """
    told = json.loads(record)
    if len(set(names.values())) < len(names):
        return record

    def known(name: Any) -> Any:
        return names.get(name, name)

    told["inputs"] = {known(name): digest for name, digest in told["inputs"].items()}
    told["job"]["content"] = known(told["job"]["content"])
    for style in told["job"]["styles"]:
        style["path"] = known(style["path"])
    return json.dumps(told)


def repeat(path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """The options of the job inside a picture, to run it again with some ``changes``.

    Its files are looked for where the job named them, then beside the picture. Another recipe replaces the
    whole look but the size, another engine the strength. Raises InputError when the picture has no job, or a
    file has changed since, and for changes that the engine would not look at.
    """
    text = read_job(path)
    try:
        job, kept = _kept(json.loads(text), changes, path)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its job is damaged: give the options anew") from error
    try:
        engine, optimizer, init = ((kept | changes).get(name) for name in ("engine", "optimizer", "init"))
        check_typed({**changes, "engine": engine}, Settings.model_fields, optimizer=optimizer, init=init)
    except ValueError as error:
        raise InputError(str(error)) from error
    # None stands for what a change supersedes: the job stays whole and needs its recipe's file no more.
    return dict.fromkeys(job) | merge(kept, changes)


def _kept(
    stored: dict[str, Any], changes: dict[str, Any], path: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A picture's job, and what of it and of the machine no change replaces."""
    if "cells" in stored:
        raise InputError(f"{path} is a sheet: repeat one of its cells by the command that was printed")
    job, files = dict(stored["job"]), dict(stored["inputs"])
    if not {"content", "styles"} <= job.keys():
        raise KeyError("content")
    # What brushwork did before it had an option is that option's default, whatever recipes say now.
    job = {name: field.default for name, field in Settings.model_fields.items()} | job
    if "recipe" in changes:
        job = _without_look(job)
    # "auto" may choose otherwise another day; what ran then is what repeats the picture.
    machine = {key: stored[key] for key in ("device", "precision", "threads") if key in stored}
    if "engine" in changes and changes["engine"] != job.get("engine"):
        job, machine = job | _usual(changes["engine"]), {}
    return job, _located({name: job[name] for name in job.keys() - changes.keys()}, files, path) | machine


def _without_look(job: dict[str, Any]) -> dict[str, Any]:
    """A job without its look, but with its size."""
    size = "size" if job.get("rows") is None else "rows"
    return {name: value for name, value in job.items() if name == size or name not in Settings.model_fields}


def _usual(engine: str) -> dict[str, Any]:
    """An engine's strength and machine when nothing is said of them: the other's mean something else."""
    names = ("strength", "device", "precision", "backend")
    return {name: Stylize.model_fields[name].default for name in names} | of_engine(engine)


def _located(job: dict[str, Any], files: dict[str, str | None], picture: Path) -> dict[str, Any]:
    """The job with its files where they are now."""

    def found(name: Any) -> Any:
        return _find(name, files[name], picture) if name in files else name

    moved = {key: found(job[key]) for key in ("content", "init", "weights") if key in job}
    if "styles" in job:
        moved["styles"] = [dict(style, path=found(style["path"])) for style in job["styles"]]
    return job | moved


def _find(name: str, digest: str | None, picture: Path) -> str:
    places = [Path(name), picture.parent / Path(name).name]
    existing = [place for place in places if place.is_file()]
    if not existing:
        raise InputError(f"{picture} was made from {name}, which is not there: put it there or beside it")
    for place in existing:
        if fingerprint(str(place)) == digest:
            return str(place)
    raise InputError(f"{existing[0]} has changed since {picture} was made: bring back the old file")
