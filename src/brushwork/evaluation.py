"""Evaluate results against their photo and painting: a job in, one row a picture out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev

from torch import Tensor

from brushwork.images import read_picture, resize
from brushwork.jobs import Evaluate
from brushwork.metrics import Judge, Scores, score
from brushwork.metrics.scores import cover

IDENTITY, STYLE_COPY = "photo itself", "painting itself"


@dataclass(frozen=True)
class Row:
    """One picture and its scores."""

    name: str
    scores: Scores
    picture: Tensor  # (1, 3, H, W), for the sheet


def evaluate(job: Evaluate) -> Generator[Row]:
    """Rows: photo and painting themselves at the first result's size, then each result.

    A photo scores 0 and 1, a painting about 1 and 0: a result is worth its distance from that line.
    Raises InputError and WeightsError for what cannot be read.
    """
    judge = Judge.load(job.metric_weights)
    photo, painting = (read_picture(name).pixels for name in (job.content, job.style))
    results = {name: read_picture(name).pixels for name in job.results}
    height, width = next(iter(results.values())).shape[-2:]
    known = {IDENTITY: resize(photo, height, width, "lanczos"), STYLE_COPY: cover(painting, height, width)}
    rows = known | results
    for name, picture in rows.items():
        yield Row(name, score(judge, picture, photo, painting, seed=job.metric_seed), picture)


def spread(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each score over several results, such as one job's seeds."""
    columns = {key: [asdict(row.scores)[key] for row in rows] for key in asdict(rows[0].scores)}
    return {key: (mean(values), stdev(values) if values[1:] else 0.0) for key, values in columns.items()}
