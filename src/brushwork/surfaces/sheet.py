"""What `brushwork sheet` does: paints variations, writes the sheet and prints the commands."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from torch import Tensor

from brushwork.context import keep_freed_memory, process_seconds
from brushwork.encode import RecordTooLongError, check_format, encode_picture, format_of
from brushwork.events import Progress, Started, Swept
from brushwork.fields import build
from brushwork.images import Picture, Sources
from brushwork.jobs import Stylize, Variations
from brushwork.optimize.scales import result_size
from brushwork.outputs import files
from brushwork.outputs.places import apart, default_output
from brushwork.outputs.poster import Labels, Tile, poster
from brushwork.outputs.provenance import inputs
from brushwork.runner import read_sources
from brushwork.surfaces.status import DONE, INTERRUPTED, interruptible
from brushwork.surfaces.terminal import say, watcher
from brushwork.variations import Axis, Cell, Painted, cells, default_axes, paint, read_axis


def paint_sheet(options: dict[str, Any], wanted: Variations, *, as_json: bool, quiet: bool) -> int:
    """Paint a sheet of variations of the job with these options; returns the exit status."""
    keep_freed_memory()
    axes = _axes(options, wanted)
    place = Path(wanted.output) if wanted.output else _default_place(build(Stylize, options))
    format_of(place)
    grid = cells(options, *axes, side=wanted.cell, stem=str(place.with_suffix("")))
    files.check_place(place, overwrite=wanted.overwrite)
    apart([place], inputs(grid[0].job))
    sources = read_sources(_greediest(grid), whole=True)  # other cells may have another filter
    check_format(place, *_draw(grid, {}, axes, sources).shape[-2:])
    painted, is_whole = _drain(paint(grid, sources), quiet=quiet)
    if not painted and not is_whole:
        raise KeyboardInterrupt  # an earlier sheet stays
    _tell_problems(painted)
    picture, report = Picture(_draw(grid, painted, axes, sources)), _report(grid, painted)
    record = json.dumps({"cells": report}, ensure_ascii=False)
    files.write_or_rescue(place, _encoded(picture, format_of(place), record if wanted.metadata else None))
    _tell(place, report, as_json=as_json)
    if not quiet or not is_whole:
        say(f"wrote {place}" if is_whole else f"interrupted; the sheet so far is in {place}")
    return DONE if is_whole else INTERRUPTED


def _axes(options: dict[str, Any], wanted: Variations) -> list[Axis | None]:
    """What varies across and down; what usually does when nothing is said."""
    axes = [read_axis(text) if text else None for text in (wanted.across, wanted.down)]
    return axes if any(axes) else list(default_axes(options))


def _greediest(grid: Sequence[Cell]) -> Stylize:
    """The job that needs its paintings largest."""
    return max((cell.job for cell in grid), key=lambda job: job.stroke_size * max(job.style_scales))


def _encoded(picture: Picture, format: str, record: str | None) -> bytes:
    """The sheet as a file, without its record where the format has no room for that."""
    try:
        return encode_picture(picture, format, job=record)
    except RecordTooLongError as error:
        say(f"the commands are not in the sheet: {error}")
        return encode_picture(picture, format)


def _tell_problems(painted: dict[int, Painted]) -> None:
    for number, cell in painted.items():
        if cell.problem:
            say(f"{number}: {cell.problem}")


def _tell(place: Path, report: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """The numbered commands, on standard output."""
    text = "\n".join(f"{cell['number']:>2}  {cell['command']}" for cell in report)
    if as_json:
        seconds = round(process_seconds(), 3)
        text = json.dumps({"output": str(place), "cells": report, "seconds": seconds})
    files.write_standard_output(f"{text}\n".encode())


def _default_place(job: Stylize) -> Path:
    usual = Path(default_output(job))
    return usual.with_name(f"{usual.stem}-sheet.png")


def _drain(
    events: Generator[Started | Swept | Progress | Painted], *, quiet: bool
) -> tuple[dict[int, Painted], bool]:
    """The finished cells by number, and whether a Ctrl-C did not end it early."""
    painted: dict[int, Painted] = {}
    with interruptible() as interrupted, watcher(quiet=quiet) as person, closing(events):
        for event in events:
            if isinstance(event, Painted):
                painted[event.cell.number] = event
            else:
                person.show(event)
            if interrupted:
                break
    return painted, not interrupted


def _draw(
    grid: Sequence[Cell], painted: dict[int, Painted], axes: Sequence[Axis | None], sources: Sources
) -> Tensor:
    tiles = [_tile(cell, painted.get(cell.number)) for cell in grid]
    originals = [picture.pixels for picture in (sources.content, *sources.styles)]
    photo = sources.content.size
    heights, widths = zip(*(result_size(cell.job, photo) for cell in grid), strict=True)
    return poster(_labels(grid, axes), originals, tiles, (max(heights), max(widths)))


def _labels(grid: Sequence[Cell], axes: Sequence[Axis | None]) -> Labels:
    job = grid[0].job
    paintings = " and ".join(Path(style.path).stem for style in job.styles)
    what = f"{len(grid)} variations"
    if job.engine == "feedforward":
        what += " in one pass each"
    elif not any(axis and axis.field == "recipe" for axis in axes):
        what += f" of recipe {Path(job.recipe).stem}"
    return Labels(
        f"{Path(job.content).stem} after {paintings}",
        f"{what}; each number's command paints it at full size",
        *(_headings(axis) for axis in axes),
    )


def _headings(axis: Axis | None) -> list[tuple[str, str]]:
    return [(axis.field.replace("_", " "), value) for value in axis.headings] if axis else []


def _tile(cell: Cell, painted: Painted | None) -> Tile:
    place = (cell.number, cell.row, cell.column)
    if painted is None:
        return Tile(*place, None)
    return Tile(*place, painted.picture, "diverged")


def _report(grid: Sequence[Cell], painted: dict[int, Painted]) -> list[dict[str, Any]]:
    return [
        {
            "number": cell.number,
            "changes": cell.changes,
            "command": cell.command,
            "painted": cell.number in painted and painted[cell.number].picture is not None,
        }
        for cell in grid
    ]
