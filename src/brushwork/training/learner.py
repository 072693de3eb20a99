"""A network that learns: its optimiser, schedule, accumulated gradients and running mean of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from brushwork.training.processes import Alone, Processes

Schedule = Callable[[int], float]
"""The rate's factor at a step, counted from 0."""


def constant(step: int) -> float:
    """The same rate throughout."""
    return 1.0


def cosine(steps: int, *, warmup: int = 0) -> Schedule:
    """Linear from 0 over ``warmup`` steps, then half a cosine down to 0 at ``steps`` (arXiv 1608.03983)."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    return factor


def parameters_of(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def mean_decay(average: float, steps: int) -> float:
    """The decay of a running mean of weights: the one asked for, or of a short training its last tenth's.

    Its beginning would linger in a longer mean.
    """
    return min(average, max(0.0, 1 - 10 / steps))


class Learner:
    """Moves one network's weights.

    A task calls ``minimise`` with a loss; gradients are taken of this network's weights only, so that a
    generator learns through a discriminator without moving it. ``average`` is the decay of a running mean
    of the weights (0: none), which starts as their plain mean.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        schedule: Schedule = constant,
        average: float = 0.0,
        clip: float | None = None,
    ) -> None:
        self.network, self.optimizer = network, optimizer
        self.part, self.parts = 1.0, 1  # share of the batch that the next loss speaks for, losses a step
        self.processes: Processes = Alone()
        self.steps = 0
        self._schedule, self._decay, self._clip = schedule, average, clip
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._rates = [group["lr"] for group in optimizer.param_groups]
        self._sums: list[Tensor] | None = None
        self._taken = 0
        self._mean = [p.detach().clone() for p in self._parameters] if average else []

    def minimise(self, loss: Tensor) -> None:
        """Take the gradients of a loss; a step follows when the whole batch has spoken."""
        gradients = torch.autograd.grad(loss, self._parameters)
        self._sums = [
            gradient * self.part if self._sums is None else self._sums[i].add_(gradient, alpha=self.part)
            for i, gradient in enumerate(gradients)
        ]
        self._taken += 1
        if self._taken == self.parts:
            self._step(self.processes.sums(self._sums))

    def _step(self, gradients: list[Tensor]) -> None:
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        if self._clip:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        factor = self._schedule(self.steps)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps, self._taken, self._sums = self.steps + 1, 0, None
        self._follow()

    @torch.no_grad()
    def _follow(self) -> None:
        # Early on a plain mean: otherwise the untrained weights would linger for 1/(1 - decay) steps.
        decay = min(self._decay, self.steps / (self.steps + 1))
        for mean, parameter in zip(self._mean, self._parameters, strict=False):
            mean.lerp_(parameter, 1 - decay)

    @contextmanager
    def averaged(self) -> Generator[None]:
        """Have the network use the running mean of its weights meanwhile, if there is one."""
        self._swap_mean()
        try:
            yield
        finally:
            self._swap_mean()

    @torch.no_grad()
    def _swap_mean(self) -> None:
        for mean, parameter in zip(self._mean, self._parameters, strict=False):
            kept = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(kept)

    def state(self) -> dict[str, Any]:
        """All that changes, as tensors and plain data."""
        moments = self.optimizer.state_dict()["state"]
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": [moments.get(i, {}) for i in range(len(self._parameters))],
            "mean": list(self._mean),
            "steps": self.steps,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state. Raises KeyError, ValueError or RuntimeError when it is another network's."""
        self.network.load_state_dict(state["network"])
        whole = self.optimizer.state_dict()
        whole["state"] = {i: moments for i, moments in enumerate(state["optimizer"]) if moments}
        self.optimizer.load_state_dict(whole)
        for mean, saved in zip(self._mean, state["mean"], strict=True):
            mean.copy_(saved)
        self.steps = state["steps"]
