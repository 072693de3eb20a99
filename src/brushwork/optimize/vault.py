"""Where large tensors wait until they are needed: in memory, or in files that are mapped on use."""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from brushwork.errors import OutputError


@dataclass
class Vault:
    """Keeps tensors: in memory, or when told so on disk, in files without a name.

    A tensor on disk is an ordinary one whose memory is a mapped file: it is resident from when it is touched
    until it is released. On systems without ``madvise`` the kernel alone decides.
    """

    on_disk: bool = False
    where: Path | None = None  # the folder, ``scratch()`` when not given
    # A file goes when the last tensor that refers to it does.
    _maps: WeakValueDictionary[int, mmap.mmap] = field(default_factory=WeakValueDictionary[int, mmap.mmap])

    def keep(self, tensor: Tensor) -> Tensor:
        """The same values, kept while the result is referred to. Raises OutputError on a full disk."""
        if not self.on_disk:
            return tensor
        kept = self.empty(tensor.shape, tensor.dtype)
        kept.copy_(tensor)
        self.release(kept)
        return kept

    def empty(self, shape: torch.Size | tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor to be written to, on disk or in memory (on the CPU). Raises OutputError on a full disk."""
        size = prod(shape) * dtype.itemsize
        if not self.on_disk or size == 0:
            return torch.empty(shape, dtype=dtype)
        folder = self.where or scratch()
        try:
            # The file has no name: nothing is left behind whatever happens.
            with tempfile.TemporaryFile(dir=folder) as file:
                _reserve(file, size)
                mapped = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise OutputError(
                f"{folder}: {error.strerror}: no room for {size / 1e6:.0f} MB more of the work; "
                "name another folder in the environment variable TMPDIR, or give more --memory"
            ) from error
        tensor = torch.frombuffer(mapped, dtype=dtype).view(shape)
        self._maps[tensor.data_ptr()] = mapped
        return tensor

    def release(self, *tensors: Tensor) -> None:
        """Give up the memory of kept tensors; their values are read from disk when they are next used."""
        for tensor in tensors:
            if (mapped := self._maps.get(tensor.data_ptr())) is not None:
                _give_up(mapped)

    def release_all(self) -> None:
        """``release`` of all that is kept, for who does not know what others have read of it."""
        for mapped in list(self._maps.values()):
            _give_up(mapped)


def _give_up(mapped: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def scratch() -> Path:
    """The folder for what does not fit in memory: TMPDIR, or /var/tmp, since /tmp is often memory itself."""
    given, lasting = os.environ.get("TMPDIR"), Path("/var/tmp")
    return lasting if not given and os.access(lasting, os.W_OK) else Path(tempfile.gettempdir())


def _reserve(file: IO[bytes], size: int) -> None:
    """Make a file that long; where the system can, on the disk too: writing to a hole would kill us."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
