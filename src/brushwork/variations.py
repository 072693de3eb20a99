"""Variations of one job: a grid of cells that differ in one or two options, painted small."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any, Literal

from torch import Tensor

from brushwork.command import option_words, place_word
from brushwork.context import context_for
from brushwork.encoders import VGG19
from brushwork.errors import DivergedError, InputError
from brushwork.events import Event, Finished, Progress, Started, Swept
from brushwork.feedforward.translate import translates
from brushwork.fields import FLAGS, build, flag
from brushwork.images import Sources, read_picture
from brushwork.jobs import STARTS, Settings, Stylize
from brushwork.optimize.engine import scales_of, trimmed
from brushwork.optimize.scales import Scale, result_size
from brushwork.recipes import names, read_recipe
from brushwork.runner import run
from brushwork.weights import load_weights

MOST_CELLS = 48
QUICK = 200  # evaluations: recipes that take longer are not offered unasked
_FIELDS = {name.replace("-", "_"): field for field, name in FLAGS.items()}


@dataclass(frozen=True)
class Axis:
    """An option and the values that it takes, as they are typed; lists for repeatable options."""

    field: str
    values: tuple[str | list[str], ...]

    @property
    def headings(self) -> list[str]:
        """Each value as it is read."""
        return [" + ".join(value) if isinstance(value, list) else value for value in self.values]


@dataclass(frozen=True)
class Cell:
    """One variation: where it stands, what it changes, its job at preview size and its command."""

    number: int  # from 1
    row: int
    column: int
    changes: dict[str, Any]
    job: Stylize
    command: str  # repeats it at full size


@dataclass(frozen=True)
class Painted:
    """A finished cell: its picture (1, 3, H, W), or why there is none."""

    cell: Cell
    picture: Tensor | None
    problem: str = ""


def read_axis(text: str) -> Axis:
    """Read ``strength=0.3,0.5,0.7``; several values of a repeatable option are joined with ``+``.

    Raises InputError for what is no such thing, and for an option that cannot vary within a sheet.
    """
    typed, equals, values = text.partition("=")
    name = typed.strip().removeprefix("--").replace("-", "_")
    name = _FIELDS.get(name, name)
    items = [value.strip() for value in values.split(",")]
    if not equals or not all(items):
        raise InputError(f"{text!r} is not NAME=VALUE,VALUE: write for instance strength=0.3,0.5,0.7")
    if name in ("size", "rows"):
        raise InputError(f"{typed} cannot vary: all previews have one size; --cell sets it")
    if name not in Settings.model_fields and name != "recipe":
        raise InputError(f"there is no look option {typed!r}: see `brushwork sheet --help`")
    field = Settings.model_fields.get(name)
    is_several = field is not None and isinstance(field.default, (dict, tuple))
    return Axis(name, tuple(item.split("+") if is_several else item for item in items))


def default_axes(options: dict[str, Any]) -> tuple[Axis, Axis | None]:
    """Columns and rows when none are asked for: strength, and recipe or stroke size; nothing that is set."""
    quick = [name for name in names() if build(Settings, read_recipe(name).settings).evaluations <= QUICK]
    offered = [Axis("strength", ("0.3", "0.5", "0.7"))]
    is_pass = options.get("engine") == "feedforward"
    if len(quick) > 1 and not is_pass:  # a pass looks at little of a recipe
        offered.append(Axis("recipe", tuple(quick[:4])))
    if not is_pass or not translates(build(Stylize, options)):  # a network from pairs has its own
        offered.append(Axis("stroke_size", ("60", "100", "160")))
    free = [axis for axis in offered if axis.field not in options]
    if not free:
        raise InputError("all of the usual options are set: say what varies with --across NAME=VALUE,VALUE")
    return free[0], free[1] if free[1:] else None


def cells(
    options: dict[str, Any], across: Axis | None, down: Axis | None, *, side: int, stem: str
) -> list[Cell]:
    """The cells row by row; ``options`` are a job's, ``stem`` begins the names of the commands' results.

    Raises InputError for a value that the job refuses, whichever cell it is in.
    """
    axes = [axis for axis in (across, down) if axis]
    if len({axis.field for axis in axes}) < len(axes):
        raise InputError(f"--across and --down both vary {axes[0].field}: give two options")
    for axis in axes:
        if axis.field in options:
            raise InputError(f"{flag(axis.field)} is set and varies too: leave one of them out")
    columns, rows = (_steps(axis) for axis in (across, down))
    if len(columns) * len(rows) > MOST_CELLS:
        raise InputError(f"{len(columns)}×{len(rows)} cells: a sheet has {MOST_CELLS} at most")
    found: list[Cell] = []
    for row, vertical in enumerate(rows):
        for column, horizontal in enumerate(columns):
            changes, number = vertical | horizontal, len(found) + 1
            # Checked as the command will be, before the preview's size takes the place of the user's.
            job = build(Stylize, options | changes)
            command = _command(job, options | changes, f"{stem}-{number}.png")
            small = build(Stylize, options | changes | {"size": side, "rows": None})
            found.append(Cell(number, row, column, changes, small, command))
    return found


def _steps(axis: Axis | None) -> list[dict[str, Any]]:
    return [{axis.field: value} for value in axis.values] if axis else [{}]


def _command(job: Stylize, options: dict[str, Any], output: str) -> str:
    """``brushwork stylize`` with these options; switches as the job understood them."""
    switches = {name: value for name in options if isinstance(value := getattr(job, name), bool)}
    words = option_words({name: value for name, value in (options | switches).items() if name != "content"})
    return shlex.join(["brushwork", "stylize", place_word(job.content), *words, "-o", place_word(output)])


def paint(grid: Sequence[Cell], sources: Sources) -> Generator[Started | Swept | Progress | Painted]:
    """Paint the cells in turn; yields one Started, a Painted a cell, and what tells of the way there.

    A Progress an evaluation, a Swept a part of one or of a pass, both counted over all cells. The network is
    loaded once. A cell whose loss runs away is told and left out; closing cancels. Raises InputError before
    the first for what one of them cannot be painted from, or not at that size.
    """
    context, is_pass = context_for(grid[0].job), grid[0].job.engine == "feedforward"
    weights = None if is_pass else load_weights(grid[0].job.weights)
    started = [_with_start(cell.job, sources) for cell in grid]
    ladders = [_ladder(cell.job, own) for cell, own in zip(grid, started, strict=True)]

    @cache
    def encoder(pooling: Literal["max", "avg"]) -> VGG19 | None:
        return weights and VGG19(weights, pooling=pooling, dtype=context.dtype, device=context.device)

    for number, (cell, own) in enumerate(zip(grid, started, strict=True)):
        events = run(cell.job, own, encoder=encoder(cell.job.pooling))
        try:
            yield from _of_sheet(events, cell, ladders, number)
        except DivergedError as error:
            yield Painted(cell, None, str(error))


def _ladder(job: Stylize, sources: Sources) -> Sequence[Scale]:
    """A cell's scales; a network's pass is one step."""
    if job.engine == "feedforward":
        return [Scale(*result_size(job, sources.content.size), 1)]
    return scales_of(job, trimmed(job, sources))


def _of_sheet(
    events: Generator[Event], cell: Cell, ladders: Sequence[Sequence[Scale]], number: int
) -> Generator[Started | Swept | Progress | Painted]:
    """One cell's events as part of the whole sheet's, whose cells have these scales each."""
    before = ladders[:number]
    done, planned, rungs = _evaluations(before), _evaluations(ladders), sum(map(len, before))
    for event in events:
        if isinstance(event, Finished):
            if not event.evaluations:
                yield Swept(done + 1, 1, 1, {})  # a small picture's pass tells of no parts
            yield Painted(cell, event.picture.pixels)
        elif isinstance(event, Progress):
            at, rung = done + event.evaluation, rungs + event.rung
            yield replace(event, evaluation=at, evaluations=planned, rung=rung)
        elif isinstance(event, Swept):
            yield replace(event, evaluation=done + event.evaluation)
        elif isinstance(event, Started) and not number:
            yield _of_all(event, ladders)


def _evaluations(ladders: Sequence[Sequence[Scale]]) -> int:
    return sum(scale.steps for scale in chain.from_iterable(ladders))


def _of_all(event: Started, ladders: Sequence[Sequence[Scale]]) -> Started:
    """The first cell's beginning as the sheet's."""
    scales = list(chain.from_iterable(ladders))
    evaluations = event.evaluations and _evaluations(ladders)  # a pass has none
    part = "cell" if len(scales) == len(ladders) else "scale"
    return replace(event, evaluations=evaluations, scales=scales, part=part)


def _with_start(job: Stylize, sources: Sources) -> Sources:
    """The pictures with the file that this cell starts from."""
    if job.init in STARTS:
        return sources
    return replace(sources, init=read_picture(job.init, max_pixels=job.max_pixels))
