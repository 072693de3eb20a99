"""Loss curves."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from brushwork.events import Losses

_TERMS = ("total", "content", "style", "tv")


class CurvePoint(NamedTuple):
    """One evaluation on the curves; without its picture, which would fill the memory."""

    evaluation: int
    scale: int
    losses: Losses


def curve_of(trace: bytes) -> list[CurvePoint]:
    """The points of a trace."""
    return [
        CurvePoint(line["evaluation"], line["scale"], Losses(*map(_number, map(line.get, _TERMS))))
        for line in map(json.loads, trace.splitlines())
    ]


def _number(value: float | None) -> float:
    """A term of a trace, where null stands for what was no finite number."""
    return math.nan if value is None else value


def loss_curves(points: Sequence[CurvePoint]) -> bytes:
    """The terms and their total over the evaluations, logarithmic, as a PNG; scales are marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes: Any = figure.add_subplot()
    at = [point.evaluation for point in points]
    for name, colour in (
        ("total", "#222222"),
        ("style", "#c1440e"),
        ("content", "#1f6f8b"),
        ("tv", "#8a9a5b"),
    ):
        values = [getattr(point.losses, name) for point in points]
        if any(value > 0 for value in values):
            label = "total variation" if name == "tv" else name
            axes.plot(at, values, label=label, color=colour, linewidth=1.6, marker="" if at[1:] else "o")
    _mark_scales(axes, points)
    axes.set(xlabel="evaluation", ylabel="weighted loss", yscale="log")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_lines():
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing pulls: every loss is 0", transform=axes.transAxes, ha="center")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "brushwork"})
    return buffer.getvalue()


def _mark_scales(axes: Any, points: Sequence[CurvePoint]) -> None:
    """A line before each scale's first evaluation, with its size."""
    for before, after in pairwise(points):
        if before.scale != after.scale:
            axes.axvline(after.evaluation - 0.5, color="#bbbbbb", linewidth=1, linestyle="--")
            place = (after.evaluation, 1)
            axes.annotate(f"{after.scale} px", place, xycoords=("data", "axes fraction"), va="top")
