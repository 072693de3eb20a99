"""The named recipes, as TOML files beside this module, and their reader."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from brushwork.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """A named set of settings: what the user need not say."""

    name: str
    description: str
    source: str = ""
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    text: str = ""
    instead: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Settings by the optimiser that they go with, ``[with.lbfgs]``, when it is not the recipe's own."""


def names(package: str = __name__) -> list[str]:
    """The built-in recipes that lie in a package, ``default`` first."""
    found = sorted(entry.name[:-5] for entry in files(package).iterdir() if entry.name.endswith(".toml"))
    return sorted(found, key=lambda name: name != "default")


def read_recipe(name: str, package: str = __name__) -> Recipe:
    """Read a built-in recipe of a ``package`` by its name, or a user's own from a ``.toml`` file.

    Raises InputError when there is none of that name, or the file is not TOML.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return _parse(path.stem, _read(path), package)
    if name not in names(package):
        raise InputError(f"no recipe {name!r}: choose from {', '.join(names(package))}, or give a .toml file")
    return _parse(name, files(package).joinpath(f"{name}.toml").read_text(encoding="utf-8"), package)


# Settings that say the same thing in two ways: the later one unsets the earlier.
_OVERRIDES = {"size": ["rows"], "steps": ["epochs", "steps_per_epoch"]}


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay settings over others, as a user's over a recipe's; "size" unsets "rows", "steps" the epochs."""
    superseded = {old for new in above for old in _OVERRIDES.get(new, [])}
    return {name: value for name, value in below.items() if name not in superseded} | above


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InputError(
            f"{path}: {reason}: a recipe is a TOML file; see `brushwork recipes NAME`"
        ) from error


def _parse(name: str, text: str, package: str) -> Recipe:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {name}: {error}: see `brushwork recipes default` for the form") from error
    about = {key: str(table.pop(key, "")) for key in ("description", "source")}
    instead = table.pop("with", {})
    if not isinstance(instead, dict) or not all(isinstance(each, dict) for each in instead.values()):
        raise InputError(f"recipe {name}: with holds tables, one an optimiser: [with.lbfgs]")
    if (base := table.pop("base", None)) is not None:
        if base not in names(package):
            raise InputError(f"recipe {name}: base {base!r} is none of {', '.join(names(package))}")
        below = read_recipe(base, package)
        inherited = {optimizer: merge(each, table) for optimizer, each in below.instead.items()}
        own = below.instead.get(str(table.get("optimizer")), {})
        instead, table = inherited | instead, merge(merge(below.settings, own), table)
    return Recipe(name=name, settings=table, text=text, instead=instead, **about)
