"""Several processes that train one network, each on its part of every batch, by Hugging Face Accelerate.

``accelerate launch --num_processes 2 $(which brushwork) gan train ...`` starts them, on several GPUs or
machines or, with ``--cpu``, on processors.
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


class Alone:
    """The only process."""

    rank, count = 0, 1

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors themselves."""
        return list(tensors)


class Together:
    """One of several."""

    def __init__(self) -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise MissingExtraError(
                "several processes need an extra: pip install 'brushwork[train]'"
            ) from error
        state = PartialState()
        self.rank, self.count = state.process_index, state.num_processes

    def sums(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor summed over the processes, in one message."""
        from accelerate.utils import reduce

        flat = torch.cat([tensor.detach().float().flatten() for tensor in tensors])
        total = cast("Tensor", reduce(flat, "sum"))
        parts = total.split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape).to(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def processes() -> Processes:
    """What the launcher says in the environment. Raises MissingExtraError without Accelerate."""
    return Together() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Alone()
