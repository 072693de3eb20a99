"""Paintings that are read when they are looked at.

An engine that knows a painting's style already, by the digest of its file, need not decode it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image
from torch import Tensor

from brushwork.images import Picture, Source
from brushwork.inputs import opened


class Painting:
    """A picture that is read at most once, and not before it is needed."""

    def __init__(self, source: Source, read: Callable[[Source], Picture]) -> None:
        self._source, self._read = source, read

    @cached_property
    def picture(self) -> Picture:
        """The picture. Raises InputError when it cannot be read."""
        return self._read(self._source)

    @cached_property
    def digest(self) -> str:
        """A hash of what it is made from: equal digests are equal pictures."""
        source = self._source
        if isinstance(source, (str, Path)):
            with opened(source) as stream:
                return hashlib.sha256(stream.read()).hexdigest()
        if isinstance(source, bytes):
            return hashlib.sha256(source).hexdigest()
        if isinstance(source, Tensor):
            source = source.detach().cpu().numpy()
        values = np.ascontiguousarray(source)
        about = _about(source) if isinstance(source, Image.Image) else ""
        return hashlib.sha256(f"{about}{values.dtype}{values.shape}".encode() + values.tobytes()).hexdigest()


def _about(image: Image.Image) -> str:
    """What an image's colours and position depend on besides its samples."""
    more = (image.info.get("icc_profile"), image.info.get("transparency"))
    return repr((image.mode, image.getpalette(), image.getexif().get(274), more))


class Paintings(Sequence[Picture]):
    """Several of them, as the pictures that they are."""

    def __init__(self, paintings: Sequence[Painting]) -> None:
        self.unread = paintings

    def __len__(self) -> int:
        return len(self.unread)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return Paintings(self.unread[index])
        return self.unread[index].picture
