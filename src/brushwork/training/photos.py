"""Photos to learn from, read while they are learnt from: a folder, tar files, a Hugging Face data set."""

from __future__ import annotations

import contextlib
import math
import os
import tarfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from brushwork.decode import kind_of, open_header, reading
from brushwork.errors import BrushworkError, InputError, MissingExtraError
from brushwork.images import Source, read_picture, resize
from brushwork.inputs import opened
from brushwork.pairs import PICTURES
from brushwork.training.datasets import Shuffled
from brushwork.training.jobs import HUGGING_FACE

ZOOM = 1.5  # a crop takes between all of a photo's short side and this part of it
AHEAD = 2  # batches read while one is learnt from
Loaded = TypeVar("Loaded")


class Reader(Protocol):
    """Pictures by number."""

    @property
    def names(self) -> Sequence[str]:
        """Where each comes from."""
        ...

    def read(self, index: int) -> Source:
        """One picture, as ``read_picture`` takes it."""
        ...


class Files:
    """Picture files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.names = [str(path) for path in paths]

    def read(self, index: int) -> Source:
        """The file's path."""
        return self._paths[index]


class Tars:
    """Pictures inside tar files, as WebDataset's shards have them, read where they lie.

    Raises InputError for a file that is no plain tar: a compressed one would have to be read from its start
    for each picture.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._places: list[tuple[int, int, int]] = []  # file, offset, size
        self.names: list[str] = []
        self._files: list[int] = []
        for path in paths:
            self._add(path)

    def _add(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:") as tar:
                members = [m for m in tar if m.isfile() and _is_picture(Path(m.name))]
        except (OSError, tarfile.TarError) as error:
            raise InputError(f"{path}: not a plain tar file ({error}): unpack it, or pack it anew") from error
        self._files.append(os.open(path, os.O_RDONLY))
        self._places += [(self._files[-1], member.offset_data, member.size) for member in members]
        self.names += [f"{path}:{member.name}" for member in members]

    def read(self, index: int) -> Source:
        """The file's bytes; threads may read at the same time."""
        file, offset, size = self._places[index]
        return os.pread(file, size, offset)

    def __del__(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                os.close(file)


class HuggingFace:
    """The pictures of a Hugging Face data set, ``NAME[@SPLIT]`` or a folder that ``save_to_disk`` wrote.

    Raises MissingExtraError without the library, InputError when there are no such pictures.
    """

    def __init__(self, name: str) -> None:
        try:
            datasets: Any = import_module("datasets")
        except ImportError as error:
            raise MissingExtraError(
                f"{HUGGING_FACE}{name} needs an extra: pip install 'brushwork[train]'"
            ) from error
        place, _, split = name.partition("@")
        try:
            given: Any = (
                datasets.load_from_disk(place)
                if Path(place).is_dir()
                else datasets.load_dataset(place, split=split or "train")
            )
        except Exception as error:  # whatever hub, network and parsers raise
            raise InputError(f"{HUGGING_FACE}{name}: {str(error).splitlines()[0]}") from error
        self._rows = _rows_of(given, split, name)
        columns = [key for key, kind in self._rows.features.items() if isinstance(kind, datasets.Image)]
        if not columns:
            raise InputError(f"{HUGGING_FACE}{name}: no column of pictures: {', '.join(self._rows.features)}")
        self._column = columns[0]
        self._rows = self._rows.cast_column(columns[0], datasets.Image(decode=False))
        self.names = [f"{name}[{index}]" for index in range(len(self._rows))]

    def read(self, index: int) -> Source:
        """The file's bytes, or its path where the data set keeps that."""
        found = self._rows[index][self._column]
        if found is None:
            raise InputError(f"{self.names[index]}: there is no picture in this row")
        return found["bytes"] or Path(found["path"])


def _rows_of(given: Any, split: str, name: str) -> Any:
    """The rows of a data set that may have several splits. Raises InputError when it has not this one."""
    if not isinstance(given, dict):
        if split and Path(name.partition("@")[0]).is_dir():
            raise InputError(f"{HUGGING_FACE}{name}: the data set in this folder has no splits: leave @ out")
        return given
    splits = cast("dict[str, Any]", given)
    if (chosen := split or "train") not in splits:
        raise InputError(f"{HUGGING_FACE}{name}: no split {chosen!r}: give NAME@{', NAME@'.join(splits)}")
    return splits[chosen]


class Tolerant:
    """Reads by number; what cannot be read is noted, once, and another taken in its place."""

    def __init__(self, troubles: Iterable[str] = ()) -> None:
        self.troubles = list(troubles)  # what was left out and why; they are told and removed
        self._bad: set[int] = set()
        self._last = ""  # of the troubles

    def first(self, numbers: Iterable[int], read: Callable[[int], Loaded], what: str) -> Loaded:
        """What ``read`` gives of the first number that it can read. Raises InputError when there is none."""
        for number in numbers:
            if number not in self._bad:
                try:
                    return read(number)
                except BrushworkError as error:
                    self._bad.add(number)
                    self._last = str(error)
                    self.troubles.append(self._last)
        raise InputError(f"none of the {what} can be read: {self._last}")


class Photos(Tolerant):
    """Pictures by number."""

    def __init__(self, reader: Reader, troubles: Iterable[str] = ()) -> None:
        super().__init__(troubles)
        self._reader = reader

    def __len__(self) -> int:
        return len(self._reader.names)

    def name(self, index: int) -> str:
        """Where a picture comes from."""
        return self._reader.names[index]

    def source(self, index: int) -> Source:
        """A picture as ``read_picture`` takes it."""
        return self._reader.read(index)

    def read(self, index: int, instead: Iterable[int] = ()) -> Tensor:
        """A photo (1, 3, H, W), 0..1, or of those ``instead`` the first that can be read.

        Raises InputError when none can.
        """
        return self.first(chain([index], instead), self.look, "pictures")

    def look(self, index: int) -> Tensor:
        """This very photo. Raises InputError when it cannot be read."""
        try:
            return read_picture(self.source(index)).pixels
        except BrushworkError as error:
            raise InputError(f"{self.name(index)}: {reason_of(error)}") from error


def reason_of(error: BrushworkError) -> str:
    """Why a picture cannot be read, without its name, which of one in a tar the error does not know."""
    return str(error).partition(": ")[2] or str(error)


def open_photos(place: str) -> Photos:
    """The photos in a folder and those below it, in a tar file or a folder of them, or at ``hf:NAME``.

    Raises InputError when there is none.
    """
    if place.startswith(HUGGING_FACE):
        return Photos(HuggingFace(place.removeprefix(HUGGING_FACE)))
    path = Path(place)
    if path.suffix.lower() == ".tar" and path.is_file():
        return _some(Photos(Tars([path])), place)
    if not path.is_dir():
        raise InputError(f"{place}: no folder of photos, .tar file or {HUGGING_FACE}NAME: check the spelling")
    return _some(_of_folder(path), place)


def _of_folder(folder: Path) -> Photos:
    """Those in a folder's tar files when it has such, else its pictures."""
    inside = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    loose = [p for p in inside if _is_picture(p)]
    tars = [p for p in inside if p.suffix.lower() == ".tar"]
    if not tars:
        return _of_files(loose)
    beside = f"{len(loose)} pictures beside {tars[0]}: give a folder of tar files, or one of pictures"
    return Photos(Tars(tars), [beside] if loose else [])


def _is_picture(path: Path) -> bool:
    """By its name; those that begin with a dot are what systems keep about other files."""
    return path.suffix.lower() in PICTURES and not path.name.startswith(".")


def _of_files(paths: Sequence[Path]) -> Photos:
    good: list[Path] = []
    troubles: list[str] = []
    for path in paths:
        try:
            size_of(path)
            good.append(path)
        except BrushworkError as error:
            troubles.append(str(error))
    return Photos(Files(good), troubles)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture file as they are stored, by its header where that tells them.

    What is damaged further on is found when it is read. Raises InputError for what is no picture.
    """
    with opened(path) as stream, reading(str(path)):
        kind = kind_of(stream, str(path))
        if kind != "HEIF":
            return open_header(stream, kind).size
    height, width = read_picture(path).size
    return width, height


def _some(photos: Photos, place: str) -> Photos:
    if not len(photos):
        left = f", {len(photos.troubles)} cannot be read: {photos.troubles[0]}" if photos.troubles else ""
        raise InputError(f"{place}: no pictures in it{left}")
    return photos


# ------------------------------------------------------------------------------------------------- crops


def split(count: int, held_back: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of pictures to learn from, and of those held back to judge by, drawn by the seed.

    Of few pictures a tenth is held back, one at least. Raises InputError for a single picture.
    """
    if count < 2:
        raise InputError("there is one picture only: give hundreds, of all kinds, or 2 at least for a look")
    held_back = max(1, min(held_back, count // 10))
    order = np.random.default_rng(seed).permutation(count).tolist()
    return sorted(order[held_back:]), sorted(order[:held_back])


def set_aside(
    pictures: Tolerant, numbers: tuple[list[int], list[int]], read: Callable[[int], Loaded], what: str
) -> dict[int, Loaded]:
    """What ``read`` gives of the pictures held back, by their numbers; ``numbers`` are what ``split`` gave.

    In place of one that cannot be read comes one that would have been learnt from. Raises InputError when
    none is left.
    """
    learnt, kept = numbers
    found: dict[int, Loaded] = {}
    for index in kept:
        others = (number for number in learnt if number not in found)
        number, value = pictures.first(chain([index], others), lambda each: (each, read(each)), what)
        found[number] = value
    return found


class Crops(Shuffled):
    """Squares cut at random places and sizes, mirrored or not, in shuffled batches."""

    def __init__(
        self, photos: Photos, chosen: Sequence[int], side: int, batch: int, seed: int, readers: int = 2
    ) -> None:
        super().__init__(len(chosen), batch, seed)
        # The last batch, if smaller, is left to the next epoch: several processes could not share it.
        self.steps = max(1, len(chosen) // batch)
        self._photos, self._chosen, self._side, self._readers = photos, chosen, side, readers

    def epoch(self, number: int, start: int) -> Iterator[Tensor]:
        """Batches (N, 3, side, side), 0..1, from batch ``start`` on; some are read ahead in threads."""
        orders = islice(self.chosen(number, start), self.steps - start)
        for crops in ahead(orders, lambda place: self._crop(number, place), self._readers):
            yield torch.cat(crops)

    def _crop(self, epoch: int, place: int) -> Tensor:
        draws = np.random.default_rng((self._seed, epoch, place))  # the same in any order of reading
        # In place of one that cannot be read another that is learnt from, never one that is held back.
        photo = self._photos.read(self._chosen[place], self._others(draws))
        return random_crop(photo, self._side, draws)

    def _others(self, draws: np.random.Generator) -> Iterator[int]:
        """All that are learnt from, from a random one on; drawn only when it is asked for."""
        start = int(draws.integers(self.count))
        yield from (*self._chosen[start:], *self._chosen[:start])


def ahead(orders: Iterable[Tensor], load: Callable[[int], Loaded], readers: int) -> Generator[list[Loaded]]:
    """What ``load`` gives for each number of each order, while threads load the next orders."""
    waiting: deque[list[Future[Loaded]]] = deque()
    pool = ThreadPoolExecutor(readers)
    try:
        for order in orders:
            waiting.append([pool.submit(load, number) for number in order.tolist()])
            if len(waiting) > AHEAD:
                yield [one.result() for one in waiting.popleft()]
        while waiting:
            yield [one.result() for one in waiting.popleft()]
    finally:
        pool.shutdown(cancel_futures=True)


def random_crop(photo: Tensor, side: int, draws: np.random.Generator) -> Tensor:
    """A square of a photo (1, 3, H, W) as (1, 3, side, side), mirrored or not."""
    short = min(photo.shape[-2:])
    taken = max(1, round(short / math.exp(draws.uniform(0, math.log(ZOOM)))))
    top, left = (int(draws.integers(size - taken + 1)) for size in photo.shape[-2:])
    square = _sized(photo[..., top : top + taken, left : left + taken], side)
    return square.flip(-1) if draws.random() < 0.5 else square


def middle(photo: Tensor, side: int) -> Tensor:
    """The middle square of a photo (1, 3, H, W) as (1, 3, side, side)."""
    short = min(photo.shape[-2:])
    top, left = ((size - short) // 2 for size in photo.shape[-2:])
    return _sized(photo[..., top : top + short, left : left + short], side)


def _sized(square: Tensor, side: int) -> Tensor:
    return resize(square, side, side, "lanczos" if side <= square.shape[-1] else "bicubic")
