"""Work on a GPU recorded once and replayed: at small sizes starting its kernels takes longer than they do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import Tensor

Work = Callable[[Tensor], tuple[Tensor, Tensor]]


class Recorded:
    """A CUDA graph of a function that does the same to every tensor of one shape.

    The function is handed in at each call and not kept: who keeps this may be who has the function, and such
    a circle would be freed at any time, also while another graph is recorded, which that would spoil. It may
    not wait for a number that it computes.
    """

    def __init__(self) -> None:
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._given, self._found = torch.empty(0), (torch.empty(0), torch.empty(0))

    def __call__(self, work: Work, given: Tensor) -> tuple[Tensor, Tensor]:
        """What ``work`` makes of a CUDA tensor.

        The first call is an ordinary one: a graph needs that libraries have made their choices, and it may be
        the only one. The second records. Where that fails, as for want of memory, all are ordinary.
        """
        self._calls += 1
        if self._calls == 2:
            self._record(work, given)
        if self._graph is None:
            return work(given)
        self._given.copy_(given)
        self._graph.replay()
        first, second = self._found
        return first.clone(), second.clone()

    def _record(self, work: Work, given: Tensor) -> None:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream(given.device)
        self._given = given.clone()
        try:
            # Others of this process may use the GPU meanwhile.
            with _uncollected(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._found = work(self._given)
        except RuntimeError:
            torch.cuda.set_stream(stream)  # torch leaves its own behind
        else:
            self._graph = graph


@contextmanager
def _uncollected() -> Generator[None]:
    """Without Python's search for circles: freeing a GPU's memory or another graph spoils a recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
