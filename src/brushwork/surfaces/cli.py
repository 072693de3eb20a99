"""The command line."""

from __future__ import annotations

import json
import signal
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

import brushwork
from brushwork.errors import BrushworkError, DivergedError, InputError
from brushwork.jobs import Settings, Stylize, build
from brushwork.surfaces.options import of_model, typed, with_options
from brushwork.wanted import Wanted

DONE, OUR_FAULT, YOUR_TURN, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="brushwork",
    help="Paint a photo in the manner of any artwork.",
    version=brushwork.__version__,
    result_action="return_value",
)


def main() -> None:
    """The ``brushwork`` command: runs it and exits with its status."""
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run a command line and return its exit status; a user's mistake is one line on stderr."""
    try:
        status = app(arguments, exit_on_error=False, print_error=False)
        return status if isinstance(status, int) else DONE
    except CycloptsError as error:
        sys.stderr.write(f"brushwork: {_one_line(error)}" + "\n")
        return YOUR_TURN
    except BrushworkError as error:
        sys.stderr.write(f"brushwork: {error}" + "\n")
        return YOUR_TURN
    except KeyboardInterrupt:
        sys.stderr.write("brushwork: interrupted" + "\n")
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        sys.stderr.write("brushwork: this is our fault: please report it with the lines above" + "\n")
        return OUR_FAULT


def _one_line(error: CycloptsError) -> str:
    text = " ".join(str(error).split())
    return f"{text} (see `brushwork --help`)"


def stylize(
    photo: Annotated[str | None, Parameter(help="the photo; '-' is standard input")] = None,
    /,
    *,
    from_: Annotated[
        str | None, Parameter(name="--from", help="OUT.png: repeat the job inside a picture")
    ] = None,
    json_: Annotated[bool, Parameter(name="--json", help="one JSON object on stdout", negative=())] = False,
    quiet: Annotated[bool, Parameter(help="no progress", negative=())] = False,
    **options: Any,
) -> int:
    """Paint PHOTO in the manner of one or several paintings."""
    given = typed({"content": photo, **options})
    wanted = build(Wanted, of_model(Wanted, given))
    if json_ and wanted.output == "-":
        raise InputError("--json and -o - both want standard output: write the picture to a file")
    job = _job(from_, of_model(Stylize, given))
    return paint(job, wanted, as_json=json_, quiet=quiet)


def _job(repeated: str | None, options: dict[str, Any]) -> Stylize:
    if repeated is None:
        for name, remedy in (("content", "PHOTO"), ("styles", "--style ART")):
            if name not in options:
                raise InputError(f"{remedy} is missing: brushwork stylize PHOTO --style ART")
        return build(Stylize, options)
    from brushwork.outputs.provenance import repeat

    return build(Stylize, repeat(Path(repeated), options))


def paint(job: Stylize, wanted: Wanted, *, as_json: bool, quiet: bool) -> int:
    """Run a job in the terminal: progress, files, JSON; returns the exit status."""
    from brushwork.context import context_for, keep_freed_memory
    from brushwork.outputs.writer import Writer
    from brushwork.run import read_sources, run
    from brushwork.surfaces.terminal import say, watcher

    keep_freed_memory()
    standard_input = sys.stdin.buffer.read() if job.content == "-" else None
    sources = read_sources(job, content=standard_input)
    writer = Writer(job, wanted, sources)
    events = run(job, sources)
    try:
        with _interruptible() as interrupted, watcher(quiet=quiet) as person:
            for event in events:
                writer.handle(event)
                person.show(event)
                if interrupted and writer.finished is None:
                    events.close()
                    break
    except DivergedError as error:
        saved = writer.rescue(best=True)
        raise DivergedError(
            f"{error}{f'; the best picture so far is in {writer.name}' if saved else ''}"
        ) from error
    if writer.finished is None:
        writer.rescue()
        say(_how_to_go_on(job, writer.name))
        return INTERRUPTED
    writer.finish()
    if as_json:
        sys.stdout.write(json.dumps(writer.summary(context_for(job))) + "\n")
    elif not quiet:
        say(f"wrote {writer.name}")
    return DONE


@contextmanager
def _interruptible() -> Generator[list[int]]:
    """Collect Ctrl-C instead of stopping in the middle of an evaluation; a second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _how_to_go_on(job: Stylize, name: str) -> str:
    return (
        f"interrupted; the picture so far is in {name}\n"
        f"go on from it: brushwork stylize {job.content} --style {job.styles[0].path} --init {name} -o NEW.png"
    )


def recipes(name: Annotated[str | None, Parameter(help="print this recipe whole")] = None, /) -> None:
    """List the named recipes, or print one as TOML to start one's own from."""
    from brushwork.recipes import names, read_recipe

    if name is not None:
        sys.stdout.write(read_recipe(name).text)
        return
    from brushwork.surfaces.terminal import table

    table((name, read_recipe(name).description) for name in names())


def doctor(
    *, fetch: Annotated[bool, Parameter(help="download the exact weights", negative=())] = False
) -> int:
    """Show devices, weights and optional parts, and how to get what is missing."""
    from brushwork.doctor import examine
    from brushwork.surfaces.terminal import say, table

    if fetch:
        say(f"downloaded {_fetch()}")
    findings = examine()
    marks = {True: "ok", False: "--"}
    table(
        (marks[f.ok], f.topic, f.name, f.detail + (f"\n→ {f.remedy}" if f.remedy else "")) for f in findings
    )
    return DONE


def _fetch() -> Path:
    from rich.console import Console
    from rich.progress import Progress

    from brushwork.fetch import fetch

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("downloading", total=None)
        return fetch("keras", progress=lambda done, total: bar.update(task, completed=done, total=total))


def demo(
    *,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], help="folder for photo, styles and results")
    ] = "demo",
    overwrite: Annotated[bool, Parameter(help="replace files that exist", negative=())] = False,
    quiet: Annotated[bool, Parameter(help="no progress", negative=())] = False,
) -> int:
    """Paint a photo that ships with scikit-image in three styles that Brushwork paints itself."""
    from brushwork.surfaces.demo import paint_demo

    return paint_demo(Path(output), overwrite=overwrite, quiet=quiet)


_LOOK = Settings.model_fields
_JOB = {name: field for name, field in Stylize.model_fields.items() if name not in {"content", *_LOOK}}
_GROUPS = {"Painting": _JOB, "Files": Wanted.model_fields, "Look (a recipe sets these)": _LOOK}
app.command(with_options(stylize, _GROUPS), name="stylize")
app.command(recipes)
app.command(doctor)
app.command(demo)
