"""Several processes that train one network, each on its part of every batch, by Hugging Face Accelerate.

``torchrun --nproc_per_node 2 $(which brushwork) gan train ...`` or ``accelerate launch`` starts them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from brushwork.errors import MissingExtraError


class Processes(Protocol):
    """This process among those that train together."""

    rank: int  # from 0; the first one writes
    count: int

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over the processes."""
        ...

    def close(self) -> None:
        """Take leave of the others."""
        ...


class Alone:
    """The only process."""

    rank, count = 0, 1

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors themselves."""
        return list(tensors)

    def close(self) -> None:
        """There are none."""


class Together:
    """One of several."""

    def __init__(self, *, cpu: bool) -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise MissingExtraError(
                "several processes need an extra: pip install 'brushwork[train]'"
            ) from error
        self._state = PartialState(cpu=cpu)
        self.rank, self.count = self._state.process_index, self._state.num_processes

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over the processes, in one message."""
        from accelerate.utils import reduce

        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        total = cast("Tensor", reduce(flat, "sum"))
        parts = total.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape).to(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def close(self) -> None:
        """Wait for the others, so that none finds its messages unanswered."""
        self._state.wait_for_everyone()
        self._state.destroy_process_group()


def processes(device: str = "auto") -> Processes:
    """What the launcher says in the environment. Raises MissingExtraError without Accelerate."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Alone()
    return Together(cpu=device == "cpu" or not torch.cuda.is_available())
