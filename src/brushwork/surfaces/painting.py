"""A painting in the terminal: progress, files, JSON, and what is left when it is interrupted or fails."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from brushwork.command import option_words, place_word
from brushwork.errors import DivergedError, InputError, MemoryShortError, OutputError
from brushwork.jobs import Stylize
from brushwork.surfaces.status import DONE, INTERRUPTED, interruptible
from brushwork.surfaces.terminal import say, tell, waiting
from brushwork.wanted import Wanted

if TYPE_CHECKING:  # torch takes seconds
    from brushwork.events import Event
    from brushwork.images import Sources
    from brushwork.outputs.run_folder import RunFolder, Saved
    from brushwork.outputs.writer import Writer
    from brushwork.surfaces.terminal import Watcher


def paint(job: Stylize, wanted: Wanted, *, as_json: bool, quiet: bool, saved: Saved | None = None) -> int:
    """Run a job in the terminal, or go on with a saved one: progress, files, JSON; returns the status."""
    with waiting("starting", quiet=quiet):
        _load()
        photo, sources = _read(job, saved)
    from brushwork.context import context_for
    from brushwork.outputs.files import write_standard_output
    from brushwork.outputs.writer import Writer
    from brushwork.runner import run
    from brushwork.surfaces.terminal import watcher

    ran, state = (saved.machine_job, saved.checkpoint) if saved else (job, None)
    with closing(Writer(job, wanted, sources, photo=photo, saved=saved)) as writer:
        if not _drain(run(ran, sources, state), writer, watcher(quiet=quiet)):
            stored = writer.store()
            if not writer.rescue(best=job.optimizer == "lbfgs"):  # its latest may be a trial step
                raise KeyboardInterrupt
            tell(writer.notes)
            say(_how_to_go_on(writer, stored=stored))
            return INTERRUPTED
        with _resumable(writer):
            writer.finish()
    if as_json:
        write_standard_output(json.dumps(writer.summary(context_for(ran))).encode() + b"\n")
    elif not quiet:
        say(f"wrote {writer.name}")
    return DONE


def _load() -> None:
    """Import what takes seconds. Some of torch's imports swallow a Ctrl-C: it is noted, and raised after."""
    with interruptible() as interrupted:
        import_module("brushwork.outputs.writer")
    if interrupted:
        raise KeyboardInterrupt


def _read(job: Stylize, saved: Saved | None) -> tuple[bytes | None, Sources]:
    """The photo's file where it came from elsewhere than a path, and the job's pictures."""
    from brushwork.context import keep_freed_memory
    from brushwork.runner import read_sources

    keep_freed_memory()
    photo = saved.photo if saved else _piped() if job.content == "-" else None
    return photo, read_sources(job, content=photo)


def _piped() -> bytes:
    """The photo's file on standard input, which is None where it was closed before we began."""
    if photo := sys.stdin and sys.stdin.buffer.read():
        return photo
    raise InputError("standard input is empty: pipe the photo in, or name its file")


def _drain(events: Generator[Event], writer: Writer, watcher: Watcher) -> bool:
    """Hand each event to both; False when a Ctrl-C ended it early."""
    from brushwork.events import Finished, Progress

    with _rescuing(writer), interruptible() as interrupted, watcher as person, closing(events):
        for event in events:
            writer.handle(event)
            person.show(event)
            tell(writer.notes)
            # After a Progress there is a Checkpoint at once, which is the better place to stop.
            if interrupted and not isinstance(event, Progress | Finished):
                return False
    return True


@contextmanager
def _rescuing(writer: Writer) -> Generator[None]:
    """When the work fails, save the best picture so far and say where it is."""
    try:
        with _resumable(writer):
            yield
    except (DivergedError, MemoryShortError, OutputError) as error:
        if isinstance(error, DivergedError) and writer.folder:
            writer.folder.finish()  # resumed, it would go astray again
        if not writer.rescue(best=True):
            raise
        raise type(error)(f"{error}; the best picture so far is in {writer.name}") from error


@contextmanager
def _resumable(writer: Writer) -> Generator[None]:
    """When the work ends before its time, say how to go on from its last checkpoint."""
    try:
        yield
    except (KeyboardInterrupt, OutputError):
        if writer.folder and writer.folder.holds_state:
            say(_resume_line(writer.folder))
        raise


def _resume_line(folder: RunFolder) -> str:
    return f"go on: {folder.command}"


def _how_to_go_on(writer: Writer, *, stored: bool) -> str:
    so_far = f"interrupted; the picture so far is in {writer.name}"
    if stored and writer.folder:
        return f"{so_far}\n{_resume_line(writer.folder)}"
    job, name = writer.job, shlex.quote(place_word(writer.name)) if writer.place else "FILE"
    again = f"--from {name}"  # repeats every option; without metadata they are the user's to repeat
    if writer.place is None or not writer.wanted.metadata:
        styles = option_words({"styles": [f"{style.path}:{style.weight:g}" for style in job.styles]})
        again = shlex.join([place_word(job.content), *styles])
    return f"{so_far}\ngo on from it: brushwork stylize {again} --init {name} -o NEW.png"
