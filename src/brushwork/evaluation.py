"""Evaluate results against their photo and painting: a job in, one row a picture out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import mean, stdev

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.images import read_picture, resize
from brushwork.jobs import Evaluate
from brushwork.metrics import ArtFid, Inception, Judge, Scores, Yardstick
from brushwork.metrics.artfid import frechet_distance
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
    lpips: float  # to the photo, as it is: the content score is divided by the painting's
    art: Tensor | None  # (2048,) what ArtFID's network sees

    @property
    def is_result(self) -> bool:
        """Whether it was painted, and is not the photo or painting itself."""
        return self.name not in (IDENTITY, STYLE_COPY)


def art_network(job: Evaluate, pairs: Sequence[Pair]) -> Inception | None:
    """ArtFID's network, when the job wants it. Raises InputError for sets without any spread."""
    if job.artfid_weights is None:
        return None
    results = sum(len(pair.results) for pair in pairs)
    paintings = len({pair.painting for pair in pairs})
    if min(results, paintings) < 2:
        raise InputError(
            f"--artfid-weights: results: {results}, paintings: {paintings}, are no sets to compare: ArtFID "
            "needs two of both at least, and hundreds to mean something"
        )
    return Inception.load(job.artfid_weights)


def evaluate(
    job: Evaluate, judge: Judge, pairs: Iterable[Pair], inception: Inception | None = None
) -> Generator[Row]:
    """Rows of each pair: photo and painting themselves at the first result's size, then each result.

    A photo scores 0 and 1, a painting about 1 and 0: a result is worth its distance from that line.
    Raises InputError for what cannot be read.
    """
    for pair in pairs:
        yield from _of_pair(pair, judge, inception, job.metric_seed)


def _of_pair(pair: Pair, judge: Judge, inception: Inception | None, seed: int) -> Generator[Row]:
    photo, painting = (read_picture(path).pixels for path in (pair.photo, pair.painting))
    first = read_picture(pair.results[0]).pixels
    yardstick = Yardstick(judge, photo, painting, first.shape[-2:], seed=seed)

    def row(name: str, label: str, picture: Tensor) -> Row:
        scores = yardstick.score(picture)
        art = inception.features(picture) if inception else None
        return Row(pair.name, name, label, scores, _small(picture), scores.content * yardstick.lpips, art)

    yield row(IDENTITY, pair.photo.stem, yardstick.photo)
    yield row(STYLE_COPY, pair.painting.stem, yardstick.copy)
    for path in pair.results:
        picture = read_picture(path).pixels
        if picture.shape[-2:] != yardstick.size:
            yardstick = Yardstick(judge, photo, painting, picture.shape[-2:], seed=seed)
        yield row(str(path), path.stem.removeprefix(f"{pair.name}."), picture)


def art_fids(rows: Sequence[Row]) -> dict[str, ArtFid]:
    """ArtFID of the results, and of photos and paintings in their place, each against the paintings.

    Photos and paintings count once a pair, cut to the size of its first result. Empty when the rows were
    made without ArtFID's network.
    """
    sets = {
        "results": [row for row in rows if row.is_result],
        "photos": [row for row in rows if row.name == IDENTITY],
        "paintings": [row for row in rows if row.name == STYLE_COPY],
    }
    seen = {name: [row.art for row in found if row.art is not None] for name, found in sets.items()}
    if not seen["results"]:
        return {}
    features = {name: torch.stack(found) for name, found in seen.items()}
    return {
        name: ArtFid(
            lpips=mean(row.lpips for row in found),
            fid=frechet_distance(features[name], features["paintings"]),
            pictures=len(found),
        )
        for name, found in sets.items()
    }


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
