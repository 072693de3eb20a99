"""Pictures to learn from, in memory: IDX files as MNIST has them, or a folder of pictures."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brushwork.errors import BrushworkError, InputError
from brushwork.fetch import cache_folder
from brushwork.images import read_picture, resize

INSTALLED = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts the files."""

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
HELD_BACK, THEIR_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # ITU-R BT.601, as Pillow's mode L


class Shuffled:
    """The order of pictures in batches, anew each epoch.

    The order depends on the seed and the epoch's number only, so that a run can begin in the middle.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._batch, self._seed = batch, seed
        self.count, self.steps = count, math.ceil(count / batch)

    def chosen(self, number: int, start: int) -> Iterator[Tensor]:
        """The pictures' numbers of each batch of an epoch, counted from 0, from batch ``start`` on."""
        order = np.random.default_rng((self._seed, number)).permutation(self.count)
        for first in range(start * self._batch, self.count, self._batch):
            yield torch.from_numpy(order[first : first + self._batch])


class InMemory(Shuffled):
    """Pictures (N, C, H, W), uint8, in shuffled batches."""

    def __init__(self, pictures: Tensor, batch: int, seed: int) -> None:
        super().__init__(len(pictures), batch, seed)
        self._pictures = pictures

    def epoch(self, number: int, start: int) -> Iterator[Tensor]:
        """Batches, float32 0..1, the last one maybe smaller; from batch ``start`` on."""
        for chosen in self.chosen(number, start):
            yield self._pictures[chosen].float().div_(255)


class Labelled(Shuffled):
    """Pictures (N, C, H, W), uint8, with their classes (N,), in shuffled batches."""

    def __init__(self, pictures: Tensor, classes: Tensor, batch: int, seed: int) -> None:
        super().__init__(len(pictures), batch, seed)
        self._pictures, self._classes = pictures, classes

    def epoch(self, number: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches, pictures float32 0..1, from batch ``start`` on."""
        for chosen in self.chosen(number, start):
            yield self._pictures[chosen].float().div_(255), self._classes[chosen]


def read_pictures(data: str | None, side: int) -> tuple[Tensor, list[str]]:
    """Pictures (N, 1, side, side), uint8, from IDX files or a folder, and what was left out and why.

    Raises InputError when there is none to read.
    """
    folder = Path(data) if data is not None else _standard_place()
    if not folder.is_dir():
        raise InputError(f"--data {folder}: no such folder; give one with IDX files or pictures")
    found = _idx_file(folder, IMAGES)
    if found:
        return _checked_size(read_idx(found), side, found), []
    return _read_folder(folder, side)


@dataclass(frozen=True)
class LabelledSet:
    """MNIST's four files: pictures (N, 1, h, w), uint8, and classes (N,), int64; the last two held back."""

    pictures: Tensor
    classes: Tensor
    held_back: Tensor
    their_classes: Tensor


def read_labelled(data: str | None, side: int) -> LabelledSet:
    """All four IDX files. Raises InputError when one is missing: scores need pictures with classes."""
    folder = Path(data) if data is not None else _standard_place()
    names = (IMAGES, LABELS, HELD_BACK, THEIR_LABELS)
    places = [_idx_file(folder, name) for name in names]
    for name, place in zip(names, places, strict=True):
        if place is None:
            raise InputError(f"--data {folder}: {name} is missing; scores need pictures with their classes")
    read = {name: (read_idx(place), place) for name, place in zip(names, places, strict=True) if place}
    pictures, held_back = (_checked_size(read[name][0], side, read[name][1]) for name in (IMAGES, HELD_BACK))
    return LabelledSet(pictures, read[LABELS][0].long(), held_back, read[THEIR_LABELS][0].long())


def _standard_place() -> Path:
    downloaded = cache_folder() / "fashion-mnist"
    for place in (INSTALLED, downloaded):
        if _idx_file(place, IMAGES):
            return place
    raise InputError(
        "Fashion-MNIST is not here: `apt install dataset-fashion-mnist`, --fetch to download it (31 MB), or "
        "--data DIR with its files"
    )


def _idx_file(folder: Path, name: str) -> Path | None:
    places = (folder / name, folder / f"{name}.gz")
    return next((place for place in places if place.is_file()), None)


def read_idx(path: Path) -> Tensor:
    """An IDX file of bytes, .gz or not, as a uint8 tensor. Raises InputError for anything else."""
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}): download it again") from error
    # Two zeros, 8 for unsigned bytes, the number of dimensions, each dimension as 32 bits, big-endian.
    dimensions = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    sizes = np.frombuffer(content[4 : 4 + 4 * dimensions], ">u4").tolist()
    if not dimensions or len(sizes) < dimensions or math.prod(sizes) != len(content) - 4 - 4 * dimensions:
        raise InputError(f"{path}: not an IDX file of bytes, or cut off: download it again")
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(sizes)
    return torch.from_numpy(values.copy())


def _checked_size(pictures: Tensor, side: int, path: Path) -> Tensor:
    if pictures.ndim != 3 or pictures.shape[1:] != (side, side):
        raise InputError(f"{path}: pictures of shape {tuple(pictures.shape[1:])}; they must be {side}×{side}")
    return pictures[:, None]


def _read_folder(folder: Path, side: int) -> tuple[Tensor, list[str]]:
    pictures: list[Tensor] = []
    troubles: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."):
        try:
            pictures.append(_grey_square(read_picture(path).pixels, side))
        except BrushworkError as error:
            troubles.append(str(error))
    if len(pictures) < 2:
        raise InputError(
            f"--data {folder}: {len(pictures)} of {len(pictures) + len(troubles)} files can be read as "
            "pictures; at least 2 are needed"
        )
    return torch.cat(pictures), troubles


def _grey_square(pixels: Tensor, side: int) -> Tensor:
    """The middle square of a picture (1, 3, h, w), grey, at the side's size; uint8 (1, 1, side, side)."""
    height, width = pixels.shape[-2:]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = pixels[..., top : top + short, left : left + short]
    grey = (square * LUMA).sum(1, keepdim=True)
    return resize(grey, side, side, "area").mul(255).round().to(torch.uint8)
