"""Devices that look at tiles at the same time, each with an encoder of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

from brushwork.context import threads
from brushwork.encoders import VGG19

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Crew:
    """Encoders, each of which looks at one tile at a time; those on one device may be the same one."""

    encoders: Sequence[VGG19]

    @staticmethod
    def of(encoder: VGG19, devices: Sequence[torch.device]) -> Crew:
        """The encoder on each of the devices, copied once to those where it is not."""
        copies = {encoder.device: encoder}
        for device in devices:
            if device not in copies:
                copies[device] = encoder.on(device)
        return Crew([copies[device] for device in devices])

    def of_size(self, count: int) -> Crew:
        """So many of them, beginning again with the first when there are fewer."""
        return Crew([self.encoders[number % len(self.encoders)] for number in range(count)])

    def each(self, work: Callable[[VGG19, Item], Found], items: Iterable[Item]) -> Generator[Found]:
        """``work``'s results in the order of ``items``; an item goes to whichever encoder is free.

        What is added up from them is therefore the same to the last bit, whoever was faster. Up to two
        results an encoder exist at a time. Closing waits for the items under way.
        """
        if len(self.encoders) == 1:
            for item in items:
                yield work(self.encoders[0], item)
            return
        free: SimpleQueue[VGG19] = SimpleQueue()
        for encoder in self.encoders:
            free.put(encoder)

        def run(item: Item) -> Found:
            encoder = free.get()
            try:
                return work(encoder, item)
            finally:
                free.put(encoder)

        with threads(self._share), ThreadPoolExecutor(len(self.encoders)) as pool:
            yield from _in_order(pool, run, items, 2 * len(self.encoders))

    @property
    def _share(self) -> int:
        """Threads of each that has the processor; a pool that is made with so many takes them over."""
        sharing = sum(encoder.device.type == "cpu" for encoder in self.encoders)
        return max(1, torch.get_num_threads() // max(1, sharing))


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Found], items: Iterable[Item], most: int
) -> Generator[Found]:
    """Results in the order of ``items``, up to ``most`` at a time; closing calls off what has not begun."""
    pending: deque[Future[Found]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


@dataclass
class Copies:
    """A tensor on every device that asks for it, moved there once."""

    tensor: Tensor
    _others: dict[torch.device, Tensor] = field(default_factory=dict[torch.device, Tensor])

    def on(self, device: torch.device) -> Tensor:
        """The tensor there."""
        if device == self.tensor.device:
            return self.tensor
        if device not in self._others:  # two threads that find it missing move it twice: no harm
            self._others[device] = self.tensor.to(device)
        return self._others[device]
