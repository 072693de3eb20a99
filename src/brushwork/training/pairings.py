"""Pairs of pictures to learn from: an input and the target it is to become, told by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brushwork.errors import BrushworkError, InputError
from brushwork.images import read_picture
from brushwork.pairs import pictures
from brushwork.training.datasets import Shuffled
from brushwork.training.photos import Tolerant, ahead, random_crop, size_of


class Pairing(Tolerant):
    """Inputs with their targets, and what was left out and why."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], troubles: list[str]) -> None:
        super().__init__(troubles)
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int, among: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """An input and its target, (1, 3, H, W) each; instead of one that cannot be read the next ``among``.

        Raises InputError when none can be read.
        """
        others = [*among] or [index]
        begin = others.index(index)
        return self.first([*others[begin:], *others[:begin]], self.look, f"{len(others)} pairs")

    def look(self, index: int) -> tuple[Tensor, Tensor]:
        """This very pair. Raises InputError when it cannot be read."""
        given, wanted = self.pairs[index]
        one, two = read_picture(given).pixels, read_picture(wanted).pixels
        if one.shape != two.shape:
            raise InputError(
                f"{given} and {wanted}: one of them is turned when it is shown, the other is not"
            )
        return one, two


def match(inputs: str, targets: str) -> Pairing:
    """Match the pictures of two folders by their names without suffix.

    Strays, pairs of two sizes and files that are no pictures are listed as troubles, by their headers, before
    anything is trained. Raises InputError when fewer than two pairs are left.
    """
    given, wanted = (_by_name(folder, side) for folder, side in ((inputs, "INPUTS"), (targets, "TARGETS")))
    troubles = [f"{given[name]}: no picture of this name in {targets}" for name in given.keys() - wanted]
    troubles += [f"{wanted[name]}: no picture of this name in {inputs}" for name in wanted.keys() - given]
    pairs: list[tuple[Path, Path]] = []
    for name in sorted(given.keys() & wanted):
        trouble = _trouble(given[name], wanted[name])
        if trouble is None:
            pairs.append((given[name], wanted[name]))
        else:
            troubles.append(trouble)
    if len(pairs) < 2:
        why = f": {sorted(troubles)[0]}" if troubles else ""
        raise InputError(
            f"{inputs} and {targets} have {len(pairs)} pairs of one name and size, 2 at least{why}"
        )
    return Pairing(pairs, sorted(troubles))


def _by_name(folder: str, side: str) -> dict[str, Path]:
    if not Path(folder).is_dir():
        raise InputError(f"{side} {folder}: no such folder")
    found: dict[str, Path] = {}
    for path in pictures(folder):
        if path.stem in found:
            raise InputError(f"{path} and {found[path.stem]} have one name: rename one of them")
        found[path.stem] = path
    return found


def _trouble(given: Path, wanted: Path) -> str | None:
    """Why two files are no pair."""
    sizes: list[tuple[int, int]] = []
    for path in (given, wanted):
        try:
            sizes.append(size_of(path))
        except BrushworkError as error:
            return str(error)
    if sizes[0] != sizes[1]:
        (a, b), (c, d) = sizes
        return f"{given} has {a}×{b} pixels and {wanted} {c}×{d}: both need the same size"
    return None


class PairCrops(Shuffled):
    """The same random square of an input and its target, in shuffled batches."""

    def __init__(
        self, pairing: Pairing, chosen: Sequence[int], side: int, batch: int, seed: int, readers: int = 2
    ) -> None:
        super().__init__(len(chosen), batch, seed)
        self.steps = max(1, len(chosen) // batch)
        self._pairing, self._chosen, self._side, self._readers = pairing, chosen, side, readers

    def epoch(self, number: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of inputs and targets, (N, 3, side, side), 0..1, from batch ``start`` on."""
        orders = islice(self.chosen(number, start), self.steps - start)
        for crops in ahead(orders, lambda place: self._crop(number, place), self._readers):
            given, wanted = zip(*crops, strict=True)
            yield torch.cat(given), torch.cat(wanted)

    def _crop(self, epoch: int, place: int) -> tuple[Tensor, Tensor]:
        pair = self._pairing.read(self._chosen[place], self._chosen)
        # Two generators of one seed: both are cut and mirrored alike.
        draws = (np.random.default_rng((self._seed, epoch, place)) for _ in range(2))
        given, wanted = (random_crop(p, self._side, d) for p, d in zip(pair, draws, strict=True))
        return given, wanted
