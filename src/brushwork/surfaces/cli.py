"""The command line."""

from __future__ import annotations

import errno
import gc
import sys
import traceback
from contextlib import chdir
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

import brushwork
from brushwork.errors import BrushworkError, InputError
from brushwork.fields import build
from brushwork.inputs import opened
from brushwork.jobs import STARTS, Evaluate, Export, Settings, Stylize, Variations
from brushwork.studio.options import Options as Studio
from brushwork.styles import BUILTIN
from brushwork.surfaces import gan, train
from brushwork.surfaces.crowd import wait_politely
from brushwork.surfaces.downloads import fetch_one
from brushwork.surfaces.options import (
    Json,
    Overwrite,
    Quiet,
    is_dash,
    of_model,
    require,
    shield,
    switch,
    typed,
    with_options,
)
from brushwork.surfaces.painting import paint
from brushwork.surfaces.status import DONE, INTERRUPTED, OUR_FAULT, YOUR_TURN
from brushwork.surfaces.terminal import say
from brushwork.wanted import Wanted

app = App(
    name="brushwork",
    help="Paint a photo in the manner of any artwork.",
    version=brushwork.__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # ``call`` has a word to say
)


def main() -> None:
    """The ``brushwork`` command: runs it and exits with its status."""
    wait_politely()
    status = call(sys.argv[1:])
    gc.freeze()  # else every object of torch is looked at once more: 0.2 s
    sys.exit(status)


def call(arguments: list[str]) -> int:
    """Run a command line and return its exit status; a user's mistake is one line on stderr."""
    try:
        status = app(shield(arguments), exit_on_error=False, print_error=False)
        return status if isinstance(status, int) else DONE
    except CycloptsError as error:
        say(f"brushwork: {_one_line(error)}")
        return YOUR_TURN
    except BrushworkError as error:
        say(f"brushwork: {error}")
        return YOUR_TURN
    except KeyboardInterrupt:
        say("brushwork: interrupted")
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, MemoryError):
            say("brushwork: memory ran out: close other programs, or give a smaller picture")
            return YOUR_TURN
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            say(f"brushwork: {error.strerror}: free some space")
            return YOUR_TURN
        traceback.print_exc()
        say("brushwork: this is our fault: please report it with the lines above")
        return OUR_FAULT


def _one_line(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return f"there is no place for {' '.join(error.unused_tokens or [])!r} (see `brushwork --help`)"
    text = " ".join(str(error).split())
    return f"{text} (see `brushwork --help`)"


def stylize(
    photo: Annotated[str | None, Parameter(help="the photo; '-' is standard input")] = None,
    /,
    *,
    from_: Annotated[
        str | None,
        Parameter(
            name="--from",
            metavar="OUT.png",
            help="repeat the job inside a picture; with another --recipe in its size",
        ),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint PHOTO in the manner of one or several paintings."""
    given = typed({"content": photo or None, **options})
    wanted = build(Wanted, of_model(Wanted, given))
    if json_ and wanted.output == "-":
        raise InputError("--json and -o - both want standard output: write the picture to a file")
    job = _job(from_, of_model(Stylize, given))
    if job.content == "-" and wanted.output is None:
        raise InputError("the photo from standard input has no name to derive the result's from: give -o OUT")
    return paint(job, wanted, as_json=json_, quiet=quiet)


def _job(repeated: str | None, options: dict[str, Any]) -> Stylize:
    if repeated is None:
        needed = {"PHOTO": options.get("content"), "--style ART": options.get("styles")}
        require(needed, "brushwork stylize PHOTO --style ART")
        return _with_files(build(Stylize, options))
    from brushwork.outputs.provenance import repeat

    return _with_files(build(Stylize, repeat(Path(repeated), options)))


def _with_files(job: Stylize) -> Stylize:
    """The job, if its files are there: a slip of the pen is told at once, not after torch's seconds."""
    named = [job.content, *(style.path for style in job.styles), job.init]
    for path in named:
        if path not in ("-", *STARTS) and not BUILTIN.fullmatch(path):
            with opened(path):
                pass
    return job


def resume(
    run_dir: Annotated[str, Parameter(help="the folder that the interrupted run named")],
    /,
    *,
    json_: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on with an interrupted run, to the same result; its outputs are replaced."""
    from brushwork.outputs.run_folder import located, read_run

    saved = located(read_run(Path(run_dir)))
    if json_ and saved.wanted.output == "-":
        raise InputError("--json and the run's -o - both want standard output: leave out --json")
    with chdir(saved.home):
        return paint(saved.job, saved.wanted, as_json=json_, quiet=quiet, saved=saved)


def plan(
    photo: Annotated[str | None, Parameter(help="the photo")] = None,
    /,
    *,
    json_: Json = False,
    **options: Any,
) -> int:
    """Predict memory and time of painting PHOTO, and show how the work is divided; nothing is painted.

    Takes the options of `brushwork stylize`. The time comes from two seconds of the job's own work.
    """
    job = _job(None, of_model(Stylize, typed({"content": photo, **options})))
    from brushwork.surfaces.plan import show_plan

    show_plan(job, as_json=json_)
    return DONE


def sheet(
    photo: Annotated[str | None, Parameter(help="the photo")] = None,
    /,
    *,
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint variations of PHOTO side by side on one sheet, each with the command that repeats it.

    Prints the numbered commands. Columns vary --strength and rows the recipe or --stroke-size unless
    --across or --down says otherwise.
    """
    given = typed({"content": photo or None, **options})
    wanted = build(Variations, of_model(Variations, given))
    needed = {"PHOTO": given.get("content"), "--style ART": given.get("styles")}
    require(needed, "brushwork sheet PHOTO --style ART -o SHEET.png")
    if is_dash(photo):
        raise InputError("standard input cannot be read again by a cell's command: give a file")
    from brushwork.surfaces.sheet import paint_sheet

    return paint_sheet(of_model(Stylize, given), wanted, as_json=json_, quiet=quiet)


def evaluate(
    *results: Annotated[str, Parameter(name="OUT", help="pictures to score, or folders of them")],
    fetch: Annotated[bool, switch("download the judge's weights first (528 MB)")] = False,
    csv_: Annotated[str | None, Parameter(name="--csv", metavar="FILE.csv", help="the scores")] = None,
    sheet: Annotated[
        str | None, Parameter(metavar="FILE.png", help="a row for each pair, labelled with the scores")
    ] = None,
    overwrite: Overwrite = False,
    json_: Json = False,
    **options: Any,
) -> int:
    """Score pictures against their photo and painting.

    content: LPIPS to the photo, 0 the photo, 1 the painting. style: distance to the painting, 1 the photo,
    0 the whole painting. Both small is good; photo and painting themselves stand beside the results, and the
    cut of the painting that fits the photo has 0.1 to 0.4 of style. With folders, results are told by their
    names: PHOTO-ART.png, and PHOTO-ART.1.png, PHOTO-ART.2.png for several seeds.
    Such sets can also be scored by ArtFID.
    """
    from brushwork.metrics.judge import DOWNLOADED
    from brushwork.surfaces.evaluate import show_scores

    if fetch:
        for name in DOWNLOADED:
            fetch_one(name)
        if not results and not options.get("content"):
            return DONE
    if is_dash(csv_) or is_dash(sheet):
        raise InputError("--csv and --sheet are files: give names (--json writes to standard output)")
    given = typed({"results": results or None, **options})
    needed = {
        "--content PHOTO": given.get("content"),
        "--style ART": given.get("style"),
        "OUT": results or None,
    }
    require(needed, "brushwork evaluate --content PHOTO --style ART OUT...")
    job = build(Evaluate, given)
    show_scores(job, csv_file=csv_, sheet=sheet, as_json=json_, overwrite=overwrite)
    return DONE


def recipes(name: Annotated[str | None, Parameter(help="print this recipe whole")] = None, /) -> None:
    """List the named recipes, or print one as TOML to start one's own from."""
    from brushwork.outputs.files import write_standard_output
    from brushwork.recipes import names, read_recipe

    if name is not None:
        write_standard_output(read_recipe(name).text.encode())
        return
    from brushwork.surfaces.terminal import table

    table((name, read_recipe(name).description) for name in names())


def styles(
    photo: Annotated[str | None, Parameter(help="the sheet's photo [a cat]")] = None,
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(name=["--output", "-o"], metavar="SHEET.png", help="sheet of the built-in styles"),
    ] = None,
    overwrite: Annotated[bool, switch("replace a file that exists")] = False,
    quiet: Quiet = False,
) -> None:
    """List the styles of --engine feedforward; with -o show PHOTO in each of the built-in ones."""
    if photo is not None and output is None:
        raise InputError("the sheet's name is missing: brushwork styles PHOTO -o SHEET.png")
    if is_dash(photo) or is_dash(output):
        raise InputError("PHOTO and SHEET.png are files: give names")
    from brushwork.surfaces.styles import draw_styles, list_styles

    if output is None:
        list_styles()
    else:
        draw_styles(photo, output, overwrite=overwrite, quiet=quiet)


def export(
    *,
    json_: Json = False,
    **options: Any,
) -> None:
    """Write a style of --engine feedforward as an ONNX file, and compare what it paints with PyTorch's.

    Its input ``photo`` and output ``painting`` are (1, 3, height, width), RGB, 0..1, of any size.
    """
    given = typed(options)
    require({"--style ART": given.get("styles")}, "brushwork export --style ART -o MODEL.onnx")
    from brushwork.surfaces.styles import write_export

    write_export(build(Export, given), as_json=json_)


def doctor(
    *,
    fetch: Annotated[bool, switch("download the exact weights")] = False,
    measure: Annotated[
        bool, switch("time what runs networks of one pass, and use the faster from then on")
    ] = False,
) -> int:
    """Show devices, weights and optional parts, and how to get what is missing."""
    from brushwork.doctor import examine
    from brushwork.surfaces.terminal import table

    if fetch:
        fetch_one("keras")
    if measure:
        _measure()
    findings = examine()
    marks = {True: "ok", False: "--"}
    table(
        (marks[f.ok], f.topic, f.name, f.detail + (f"\n→ {f.remedy}" if f.remedy else "")) for f in findings
    )
    return DONE


def _measure() -> None:
    from brushwork import fetch
    from brushwork.feedforward import pace
    from brushwork.outputs import files

    files.make_folder(fetch.cache_folder())  # before the measuring, which takes a minute
    found = pace.measure()
    file = pace.place(found.threads)
    files.write(file, found.model_dump_json().encode())
    say(f"wrote {file}")


def demo(
    *,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], metavar="DIR", help="folder for photo, styles and results")
    ] = "demo",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> int:
    """Paint a photo that ships with scikit-image in three styles that Brushwork paints itself."""
    if is_dash(output):
        raise InputError("-o DIR is a folder: give its name")
    from brushwork.surfaces.demo import paint_demo

    return paint_demo(Path(output), overwrite=overwrite, quiet=quiet)


def studio(**options: Any) -> None:
    """Open a web page to paint in, at http://127.0.0.1:7860.

    Uploads, jobs and results stay in the studio's folder; jobs that were interrupted go on at the next start.
    """
    from brushwork.surfaces.studio import serve

    serve(build(Studio, typed(options)))


_LOOK = Settings.model_fields
_JOB = {name: field for name, field in Stylize.model_fields.items() if name not in {"content", *_LOOK}}
_GROUPS = {"Painting": _JOB, "Files": Wanted.model_fields, "Look (a recipe sets these)": _LOOK}
app.command(with_options(stylize, _GROUPS), name="stylize")
app.command(with_options(plan, {"Painting": _JOB, "Look (a recipe sets these)": _LOOK}), name="plan")
app.command(
    with_options(sheet, {"Sheet": Variations.model_fields, "Painting": _JOB, "Look": _LOOK}), name="sheet"
)
_SCORED = {name: field for name, field in Evaluate.model_fields.items() if name != "results"}
app.command(with_options(evaluate, {"Judging": _SCORED}), name="evaluate")
app.command(resume)
app.command(recipes)
app.command(styles)
app.command(with_options(export, {"Export": Export.model_fields}), name="export")
app.command(with_options(studio, {"Studio": Studio.model_fields}), name="studio")
app.command(doctor)
app.command(demo)
app.command(train.app)
app.command(gan.app)
