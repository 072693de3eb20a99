"""Content against style: a panel for the mean over pairs, and a small one for each pair."""

from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

Curve = Mapping[str, tuple[float, float]]
"""(content, style) by strength; a peer has one point, whose strength is empty."""
Panel = Mapping[str, Curve]
"""Curves by the name of the recipe or peer, the one that is compared first."""

MARKS = "osD^vP*Xph"
GREY = "#888888"


def plot(mean: Panel, pairs: Mapping[str, Panel], title: str, file: Path) -> None:
    """Draw the mean large on the left and every pair small on the right, with the same colours and axes."""
    from matplotlib.figure import Figure

    down = min(4, max(2, ceil(len(pairs) ** 0.5)))
    across = ceil(len(pairs) / down)
    size = 3.3  # inches a small panel
    figure = Figure(figsize=((down + across) * size, down * size), dpi=100, layout="constrained")
    grid: Any = figure.add_gridspec(down, down + across)
    large: Any = figure.add_subplot(grid[:, :down])
    names = list(mean)
    _panel(large, mean, names, labelled=True)
    large.set_title(f"{title}; below and left is better in both")
    large.set(xlabel="content: LPIPS to the photo", ylabel="style: distance to the painting")
    large.legend(frameon=False, loc="upper right", fontsize=9)
    for number, (pair, curves) in enumerate(pairs.items()):
        axes: Any = figure.add_subplot(grid[number // across, down + number % across])
        _panel(axes, curves, names, labelled=False)
        axes.set_title(pair.replace("-", "\n", 1) if len(pair) > 40 else pair, fontsize=8)
    figure.savefig(file)


def _panel(axes: Any, curves: Panel, names: Iterable[str], *, labelled: bool) -> None:
    for number, name in enumerate(names):
        if name not in curves:
            continue
        points = curves[name]
        style = {"marker": MARKS[number % len(MARKS)], "color": f"C{number % 10}", "label": name}
        # The first, which the others are compared with, is a line over strengths, and so is any other sweep.
        axes.plot(*zip(*points.values(), strict=True), markersize=8 if labelled else 5, **style)
        for strength, at in points.items():
            if labelled and points.keys() - {strength}:
                axes.annotate(strength, at, xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.plot((0, 1), (1, 0), color="#cccccc", linewidth=1, zorder=0)
    for word, place in (("photo", (0, 1)), ("painting", (1, 0))):
        axes.plot(*place, marker="s", color=GREY, markersize=4)
        if labelled:
            side = {"xytext": (-7, -4), "ha": "right"} if place[0] else {"xytext": (7, 4)}
            axes.annotate(word, place, textcoords="offset points", color=GREY, **side)
    axes.grid(visible=True, color="#eeeeee")
    axes.set_axisbelow(True)
    _within(axes, [at for points in curves.values() for at in points.values()])


def _within(axes: Any, points: list[tuple[float, float]]) -> None:
    """Axes that show photo, painting and every point."""
    most = [max(1.0, *(point[axis] for point in points)) for axis in (0, 1)]
    axes.set(xlim=(-0.05, most[0] + 0.12), ylim=(-0.05, most[1] + 0.12))
