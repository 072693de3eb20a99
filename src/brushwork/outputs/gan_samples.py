"""Pictures from a trained generator: a sheet, or the way from latent to latent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from brushwork.errors import InputError
from brushwork.fields import flag
from brushwork.outputs import files, samples
from brushwork.outputs.training import load_generator
from brushwork.training.dcgan import Generator, between, latents
from brushwork.training.jobs import GanSample

COLUMNS = 8


def write_samples(job: GanSample) -> None:
    """Make the samples that a job asks for and write them. Raises BrushworkError."""
    place = Path(job.output)
    suffix = place.suffix.lower()
    if suffix not in (".png", ".mp4"):
        raise InputError(
            f"{flag('output')} {place}: samples are written as .png, interpolations also as .mp4"
        )
    if suffix == ".mp4" and not job.interpolate:
        raise InputError(
            f"{flag('output')} {place}: a film needs --interpolate N, the pictures between latents"
        )
    files.check_place(place, overwrite=job.overwrite)
    network = Generator()
    network.load_state_dict(load_generator(Path(job.generator)))
    points, columns = _points(job)
    with torch.no_grad():
        pictures = torch.cat([network(part) for part in points.split(512)])
    files.write_or_rescue(
        place, _encoded(pictures, job.columns or columns, job.zoom, is_film=suffix == ".mp4")
    )


def _points(job: GanSample) -> tuple[Tensor, int]:
    """The latents (N, 64), and how many make a row."""
    ends = latents(job.count, torch.Generator().manual_seed(job.seed))
    if not job.interpolate:
        return ends, min(COLUMNS, job.count)
    if job.count < 2:
        raise InputError(f"--count {job.count}: an interpolation goes through 2 latents at least")
    return torch.cat([between(a, b, job.interpolate) for a, b in pairwise(ends)]), job.interpolate


def _encoded(pictures: Tensor, columns: int, zoom: int, *, is_film: bool) -> bytes:
    if not is_film:
        return samples.sheet_png(pictures, columns=columns, zoom=zoom)
    return samples.film(list(pictures.mul(255).round().to(torch.uint8)), zoom=zoom)
