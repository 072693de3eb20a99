"""Evaluate results against their photo and painting: a job in, one row a picture out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import mean, stdev

from torch import Tensor

from brushwork.images import read_picture, resize
from brushwork.jobs import Evaluate
from brushwork.metrics import Judge, Scores, Yardstick
from brushwork.pairs import Pair

IDENTITY, STYLE_COPY = "photo itself", "painting itself"
THUMBNAIL = 320  # pixels: rows keep their pictures for the sheet, and a folder has many

Spread = dict[str, tuple[float, float]]
"""Mean and standard deviation of each score."""


@dataclass(frozen=True)
class Row:
    """One picture, the pair it belongs to and its scores."""

    pair: str
    name: str
    label: str  # short, for the sheet
    scores: Scores
    picture: Tensor  # (1, 3, h, w), small, for the sheet

    @property
    def is_result(self) -> bool:
        """Whether it was painted, and is not the photo or painting itself."""
        return self.name not in (IDENTITY, STYLE_COPY)


def evaluate(job: Evaluate, judge: Judge, pairs: Iterable[Pair]) -> Generator[Row]:
    """Rows of each pair: photo and painting themselves at the first result's size, then each result.

    A photo scores 0 and 1, a painting about 1 and 0: a result is worth its distance from that line.
    Raises InputError for what cannot be read.
    """
    for pair in pairs:
        yield from _of_pair(pair, judge, job.metric_seed)


def _of_pair(pair: Pair, judge: Judge, seed: int) -> Generator[Row]:
    photo, painting = (read_picture(path).pixels for path in (pair.photo, pair.painting))
    first = read_picture(pair.results[0]).pixels
    yardstick = Yardstick(judge, photo, painting, first.shape[-2:], seed=seed)
    known = ((IDENTITY, pair.photo, yardstick.photo), (STYLE_COPY, pair.painting, yardstick.copy))
    for name, path, picture in known:
        yield Row(pair.name, name, path.stem, yardstick.score(picture), _small(picture))
    for path in pair.results:
        picture = read_picture(path).pixels
        if picture.shape[-2:] != yardstick.size:
            yardstick = Yardstick(judge, photo, painting, picture.shape[-2:], seed=seed)
        label = path.stem.removeprefix(f"{pair.name}.")
        yield Row(pair.name, str(path), label, yardstick.score(picture), _small(picture))


def _small(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    factor = min(1, THUMBNAIL / max(height, width))
    return resize(picture, max(1, round(height * factor)), max(1, round(width * factor)), "area")


def by_pair(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by the name of their pair; they come pair by pair."""
    return {name: list(found) for name, found in groupby(rows, lambda row: row.pair)}


def spread(scores: Sequence[Scores]) -> Spread:
    """Mean and standard deviation of each score over several results, such as one pair's seeds."""
    columns = {key: [asdict(one)[key] for one in scores] for key in asdict(scores[0])}
    return {key: (mean(values), stdev(values) if values[1:] else 0.0) for key, values in columns.items()}


def spread_of_results(rows: Iterable[Row]) -> dict[str, Spread]:
    """Over the results of each pair."""
    pairs = by_pair(row for row in rows if row.is_result)
    return {name: spread([row.scores for row in found]) for name, found in pairs.items()}


def spread_of_pairs(results: dict[str, Spread]) -> Spread:
    """Over pairs, each of which counts by the mean of its results; of one pair, over its results."""
    if len(results) == 1:
        return next(iter(results.values()))
    return spread([Scores(**{key: m for key, (m, _) in one.items()}) for one in results.values()])
