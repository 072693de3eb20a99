"""Where large tensors wait until they are needed: in memory, or in files that are mapped on use."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor


@dataclass
class Vault:
    """Keeps tensors; on disk, when told so, in a folder that goes with the vault.

    A tensor on disk is an ordinary one whose memory is a mapped file: it is resident from when it is touched
    until it is released. On systems without ``madvise`` the kernel alone decides.
    """

    on_disk: bool = False
    where: Path | None = None  # the folder's parent; the system's own for temporary files when not given
    _folder: TemporaryDirectory[str] | None = None
    # A file goes when the last tensor that refers to it does.
    _maps: WeakValueDictionary[int, mmap.mmap] = field(default_factory=WeakValueDictionary[int, mmap.mmap])

    def keep(self, tensor: Tensor) -> Tensor:
        """The same values, kept for as long as the result is referred to."""
        if not self.on_disk:
            return tensor
        kept = self.empty(tensor.shape, tensor.dtype)
        kept.copy_(tensor)
        self.release(kept)
        return kept

    def empty(self, shape: torch.Size | tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor to be written to, on disk or in memory (on the CPU)."""
        size = int(np.prod(shape)) * dtype.itemsize
        if not self.on_disk or size == 0:
            return torch.empty(shape, dtype=dtype)
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="brushwork-", dir=self.where)
        # The file has no name any more once it is mapped: nothing is left behind whatever happens.
        with TemporaryFile(dir=self._folder.name) as file:
            file.truncate(size)
            mapped = mmap.mmap(file.fileno(), size)
        tensor = torch.frombuffer(mapped, dtype=dtype).view(shape)
        self._maps[tensor.data_ptr()] = mapped
        return tensor

    def release(self, *tensors: Tensor) -> None:
        """Give up the memory of kept tensors; their values are read from disk when they are next used."""
        for tensor in tensors:
            mapped = self._maps.get(tensor.data_ptr())
            if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)
