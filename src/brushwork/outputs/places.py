"""Where the outputs go, and whether that can be written to: asked before the work starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from brushwork.encode import check_format
from brushwork.errors import InputError, OutputError
from brushwork.fields import flag
from brushwork.images import Sources
from brushwork.jobs import Stylize
from brushwork.optimize.scales import result_size
from brushwork.outputs import files, sheets
from brushwork.outputs.provenance import inputs
from brushwork.outputs.run_folder import HELD
from brushwork.styles import is_network
from brushwork.wanted import Wanted


def check(job: Stylize, wanted: Wanted, place: Path | None, sources: Sources) -> None:
    """Raise OutputError for what is known not to be writable before the work starts."""
    _check_steps(job, wanted)
    height, width = result_size(job, sources.content.size)
    need = height * width * 8  # bytes of a 16-bit picture with alpha, uncompressed
    if wanted.plot and Path(wanted.plot).suffix.lower() != ".png":
        raise OutputError(f"--plot {wanted.plot}: the curves are drawn as a .png")
    paths = _paths(wanted, place)
    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise OutputError("two outputs have the same name: give each its own")
    _check_apart(job, wanted, place, paths)
    for path in paths:
        files.check_place(path, overwrite=wanted.overwrite, need=need)
    _check_formats(wanted, place, height, width)
    if wanted.record and not is_film(wanted.record):
        _check_record_folder(Path(wanted.record), overwrite=wanted.overwrite, need=need)


def _check_apart(job: Stylize, wanted: Wanted, place: Path | None, paths: list[Path]) -> None:
    """Raise OutputError for an output in the place of a file that the job or its resumption reads."""
    run = run_place(job, wanted, place)
    apart(paths, [*inputs(job), *(str(run / name) for name in HELD if run)])


def apart(outputs: Sequence[Path], read: Sequence[str]) -> None:
    """Raise OutputError for an output in the place of a file that is ``read``."""
    found = {os.path.realpath(name): name for name in read}
    for path in outputs:
        if name := found.get(os.path.realpath(path)):
            raise OutputError(f"{path} would take the place of {name}, which is needed: give another name")


def _check_formats(wanted: Wanted, place: Path | None, height: int, width: int) -> None:
    """Raise InputError or MissingExtraError for pictures that the formats of their names cannot hold."""
    if place:
        check_format(place, height, width)
    for name in filter(None, (wanted.grid, wanted.preview)):  # neither is ever large
        check_format(Path(name), 1, 1)
    if wanted.comparison:
        check_format(Path(wanted.comparison), *sheets.comparison_size(height, width))
    if wanted.high_pass:
        check_format(Path(wanted.high_pass), *sheets.edges_size(height, width))


def _check_steps(job: Stylize, wanted: Wanted) -> None:
    """Raise OutputError for what shows steps, of which one pass has none, or a painting that is none."""
    if job.engine == "optimize":
        return
    for name in ("trace", "record", "grid", "plot", "run_dir"):
        if getattr(wanted, name) is not None:
            raise OutputError(
                f"{flag(name)} shows steps, and one pass has none: use --engine optimize for it"
            )
    if wanted.comparison and is_network(job.styles[0].path):
        raise OutputError(f"--comparison shows a painting, and {job.styles[0].path} is none: leave it out")


def _paths(wanted: Wanted, place: Path | None) -> list[Path]:
    """Every single file that is to be written."""
    film = wanted.record if wanted.record and is_film(wanted.record) else None
    pictures = (wanted.grid, wanted.comparison, wanted.high_pass, wanted.preview, place)
    named = (*pictures, wanted.plot, wanted.trace, film)
    return [Path(name) for name in named if name]


def _check_record_folder(folder: Path, *, overwrite: bool, need: int) -> None:
    is_other = folder.exists() or folder.suffix.lower() in (".avi", ".gif", ".m4v", ".mkv", ".mov", ".webm")
    if is_other and not folder.is_dir():
        raise OutputError(f"--record {folder}: give FILE.mp4, or a folder for numbered pictures")
    if folder.is_dir() and any(folder.glob("*_at_iteration_*.png")) and not overwrite:
        raise OutputError(f"--record {folder} holds pictures of another run: give another or --overwrite")
    files.check_folder(folder if folder.is_dir() else folder.parent, need)


def is_film(record: str) -> bool:
    """Whether ``--record`` names a film rather than a folder."""
    return Path(record).suffix.lower() == ".mp4"


def run_place(job: Stylize, wanted: Wanted, place: Path | None) -> Path | None:
    """The run directory: where the user says, else beside the result; None when none is wanted."""
    if not wanted.checkpoint_every or job.engine == "feedforward":
        return None
    if wanted.run_dir:
        return Path(wanted.run_dir)
    if place is None:
        return Path("brushwork.run")
    return place.with_name(_named(place.name, ".run"))


def snapshot_name(place: Path | None, evaluation: int) -> str:
    """The name of a picture in the folder of ``--record``."""
    return _named(place.stem if place else "brushwork", f"_at_iteration_{evaluation}.png")


def _named(stem: str, end: str) -> str:
    """``stem`` and ``end``, shortened where that is too long a name."""
    # Names end at 255 bytes, of which a character takes up to four.
    fits = len(os.fsencode(stem + end)) <= 255
    return f"{stem if fits else stem[:55]}{end}"


def default_output(job: Stylize) -> str:
    """``PHOTO-ART.png`` beside the photo. Raises InputError when the photo's path names none, as "." does."""
    photo, art = Path(job.content), Path(job.styles[0].path)
    if not photo.name:
        raise InputError(f"{job.content} is a folder: give a picture file")
    return str(photo.with_name(f"{photo.stem}-{art.stem.replace(':', '')}.png"))
