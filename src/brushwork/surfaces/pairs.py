"""`brushwork train make-pairs`: photos and what a recipe makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brushwork.context import context_for, keep_freed_memory
from brushwork.encode import encode_picture
from brushwork.encoders import VGG19
from brushwork.encoders.vgg19 import check_size
from brushwork.errors import BrushworkError, InputError
from brushwork.events import finished
from brushwork.feedforward.engine import size_of
from brushwork.images import Picture, Sources, read_picture, resize
from brushwork.jobs import Stylize
from brushwork.optimize.scales import result_size
from brushwork.outputs import files
from brushwork.runner import run, sources_of
from brushwork.surfaces.status import DONE, INTERRUPTED, interruptible
from brushwork.surfaces.terminal import say
from brushwork.training.jobs import MakePairs
from brushwork.training.photos import Photos, open_photos, reason_of

JOB = "job.json"


def paint_pairs(job: Stylize, wanted: MakePairs, *, quiet: bool) -> int:
    """Paint each photo that has no pair yet; ``job.content`` says where the photos are.

    Raises InputError when the folder's pairs were made by other options.
    """
    keep_freed_memory()
    folder = Path(wanted.output or "")
    photos = open_photos(job.content)
    for trouble in photos.troubles:
        say(f"left out: {trouble}")
    # The photos come one by one; paintings and start are read once.
    sources = sources_of(job, torch.zeros(3, 16, 16), [style.path for style in job.styles])
    encoder = _encoder(job)
    _claim(folder, job)
    count = min(wanted.count or len(photos), len(photos))
    with interruptible() as interrupted:
        pairs = islice(_pairs(job, photos, folder), count)
        for done, (name, places, photo) in enumerate(pairs, 1):
            if interrupted:
                say("interrupted; the same command goes on")
                return INTERRUPTED
            if photo is None:
                continue
            _paint_pair(job, replace(sources, content=photo), encoder, places)
            if not quiet:
                say(f"{done} of {count}: {name}")
    say(f"wrote {folder}")
    return DONE


def _pairs(
    job: Stylize, photos: Photos, folder: Path
) -> Iterator[tuple[str, Sequence[Path], Picture | None]]:
    """Pairs by name, with their places and the photo, None where both are there.

    A photo that cannot be painted is told; another takes its place.
    """
    for index, name in _shuffled(photos, job.seed):
        places = [folder / side / f"{name}.png" for side in ("inputs", "targets")]
        try:
            photo = None if places[1].exists() else _photo(job, photos, index)  # written last
        except BrushworkError as error:
            say(f"left out: {photos.name(index)}: {error}")
        else:
            yield name, places, photo


def _paint_pair(job: Stylize, sources: Sources, encoder: VGG19 | None, places: Sequence[Path]) -> None:
    """Write a photo, in its result's size, and the result."""
    target = _painted(job, sources, encoder)
    given = resize(sources.content.pixels, target.shape[-2], target.shape[-1], job.resize)
    for place, pixels in zip(places, (given, target), strict=True):
        files.write(place, encode_picture(Picture(pixels), "PNG"))


def _claim(folder: Path, job: Stylize) -> None:
    record = job.to_json()
    place = folder / JOB
    if place.exists():
        if place.read_text(encoding="utf-8") != record:
            raise InputError(f"{folder} holds pairs made with other options: give another folder")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds other files: give an empty or a new folder")
    for side in ("inputs", "targets"):
        files.make_folder(folder / side)
    files.write(place, record.encode())


def _shuffled(photos: Photos, seed: int) -> Iterator[tuple[int, str]]:
    """Numbers of photos and the names of their pairs, no two alike."""
    taken: set[str] = set()
    for index in np.random.default_rng(seed).permutation(len(photos)).tolist():
        stem = Path(photos.name(index).rpartition(":")[2]).stem  # of a tar's member its own name
        name = stem if stem not in taken else f"{stem}-{index}"
        taken.add(name)
        yield index, name


def _photo(job: Stylize, photos: Photos, index: int) -> Picture:
    """A photo to paint. Raises BrushworkError for one that cannot be read, is too long or too small."""
    try:
        photo = Picture(read_picture(photos.source(index)).pixels)
    except BrushworkError as error:
        raise InputError(reason_of(error)) from error
    if job.engine == "feedforward":
        size_of(job, Sources(photo, []))
    else:
        check_size(*result_size(job, photo.size), [*job.content_layers, *job.style_layers])
    return photo


def _encoder(job: Stylize) -> VGG19 | None:
    """The network, loaded once for all photos; the engine that paints at once needs none."""
    if job.engine == "feedforward":
        return None
    context = context_for(job)
    return VGG19.load(job.weights, pooling=job.pooling, dtype=context.dtype, device=context.device)


def _painted(job: Stylize, sources: Sources, encoder: VGG19 | None) -> Tensor:
    return finished(run(job, sources, encoder=encoder)).picture.pixels
