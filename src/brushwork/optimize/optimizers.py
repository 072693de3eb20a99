"""What moves the pixels: one evaluation, one step; the state is plain tensors and numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from brushwork.jobs import Settings
from brushwork.optimize.curvature import Pair, inverse_hessian_times, precondition
from brushwork.optimize.vault import Vault

LONGEST_STEP = 0.5
"""The most that L-BFGS may change a pixel of 0..1 in a step: early curvature is a guess.

Without a limit a first full step at 40 px sent pixels to 772 and the loss to 4e12; the way back costs 3 to
10 evaluations.
"""
LEAST_COSINE = 1e-8  # between a step and what it changed of the gradient


class Optimizer(Protocol):
    """Turns a loss and its gradient at ``x`` into the next ``x``; all tensors share one shape."""

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture."""
        ...


def make_optimizer(settings: Settings, vault: Vault | None = None, learnt: float | None = None) -> Optimizer:
    """The optimiser of a job for a picture in 0..1: rates written for 0..255 are rescaled.

    What it remembers of many steps goes to ``vault``; ``learnt`` is what ``LBFGS.learn`` told of a coarser
    scale.

    With x' = x/255 gradients are 255 times larger, so SGD takes lr/255², Adam lr/255 and ε·255.
    """
    unit = settings.units
    if settings.optimizer == "sgd":
        rate = settings.learning_rate / unit**2
        return SGD(rate, settings.decay_rate, settings.decay_steps)
    if settings.optimizer == "adam":
        return Adam(
            settings.learning_rate / unit,
            settings.beta1,
            settings.beta2,
            settings.epsilon * unit,
            tensorflow=settings.adam == "tensorflow",
            decay_rate=settings.decay_rate,
            decay_steps=settings.decay_steps,
        )
    return LBFGS(settings.history, settings.first_step, learnt, vault=vault or Vault())


@dataclass
class SGD:
    """x ← x − lr·decay^(t/decay_steps)·g, t from 0 (Keras's continuous ExponentialDecay)."""

    learning_rate: float
    decay_rate: float = 1.0
    decay_steps: int = 100
    steps: int = 0

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture."""
        rate = self.learning_rate * self.decay_rate ** (self.steps / self.decay_steps)
        self.steps += 1
        return x - rate * gradient


@dataclass
class Adam:
    """Adam (arXiv 1412.6980) with either convention of ε.

    torch: x − lr·m̂/(√v̂ + ε). TensorFlow: x − lr·√(1−β2ᵗ)/(1−β1ᵗ)·m/(√v + ε), whose ε is effectively
    larger by 1/√(1−β2ᵗ) in early steps; it matters here because the recipes' ε is 0.1.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    tensorflow: bool = False
    decay_rate: float = 1.0
    decay_steps: int = 100
    steps: int = 0
    first: Tensor | None = None
    second: Tensor | None = None

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture."""
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(x), torch.zeros_like(x)
        rate = self.learning_rate * self.decay_rate ** (self.steps / self.decay_steps)
        self.steps += 1
        self.first.lerp_(gradient, 1 - self.beta1)
        self.second.lerp_(gradient.square(), 1 - self.beta2)
        correction1 = 1 - self.beta1**self.steps
        correction2 = math.sqrt(1 - self.beta2**self.steps)
        if self.tensorflow:
            return x - rate * correction2 / correction1 * self.first / (self.second.sqrt() + self.epsilon)
        return x - rate / correction1 * self.first / (self.second.sqrt() / correction2 + self.epsilon)


def _no_longer(step: Tensor) -> Tensor:
    """A step, shortened in place to ``LONGEST_STEP``."""
    longest = torch.linalg.vector_norm(step, ord=math.inf)  # abs() would be one more picture in memory
    return step.mul_((LONGEST_STEP / longest).clamp(max=1))


@dataclass
class LBFGS:
    """Limited-memory BFGS (Nocedal & Wright, algorithm 7.4) with one evaluation a step.

    Unit steps after the first, which is scaled so that no pixel changes by more than ``first_step``, or goes
    by what a coarser scale has ``learnt``. A step that raises the loss is taken back and halved; that costs
    its evaluation.
    """

    history: int = 20
    first_step: float = 0.02
    learnt: float | None = None
    pairs: list[Pair] = field(default_factory=list[Pair])
    accepted: tuple[Tensor, float, Tensor] | None = None  # x, loss, gradient
    vault: Vault = field(default_factory=Vault, metadata={"state": False})  # where the pairs are kept

    def step(self, x: Tensor, loss: float, gradient: Tensor) -> Tensor:
        """The next picture; ``x`` need not be the one returned last (clipping may have changed it)."""
        if self.accepted is not None:
            before, lowest, old_gradient = self.accepted
            if not loss <= lowest:  # also when NaN
                return before + (x - before) / 2
            self._remember(x - before, gradient - old_gradient)
        self.accepted = (x, loss, gradient)
        if self.pairs:
            return x - _no_longer(inverse_hessian_times(gradient, self.pairs, self.vault))
        if self.learnt is None:
            return x - gradient * (self.first_step / gradient.abs().max().clamp(min=1e-30))
        step = gradient * (self.learnt * gradient.numel())
        precondition(step)
        return x - _no_longer(step)

    def learn(self) -> float | None:
        """The inverse of the last curvature as for one pixel: what a finer scale's first step goes by.

        A loss that does not change with size has gradients that shrink as pixels become more. It saves one or
        two evaluations at every finer scale: nothing of twenty, much of two.
        """
        if not self.pairs:
            return self.learnt
        change, bend = (each.ravel() for each in self.pairs[-1])
        return float(change @ bend) / float(bend @ bend) / len(bend)

    def stored(self) -> list[Pair]:
        """The pairs, once those that a state brought are where the plan wants them, as on disk."""
        self.pairs = [(self.vault.keep(change), self.vault.keep(bend)) for change, bend in self.pairs]
        return self.pairs

    def _remember(self, change: Tensor, bend: Tensor) -> None:
        # A pair without positive curvature would make the next direction point uphill. Told by the angle, not
        # by the curvature: that has the loss's unit, and a loss of large numbers lost every pair.
        step, bent = change.ravel(), bend.ravel()
        if step @ bent > LEAST_COSINE * torch.linalg.vector_norm(step) * torch.linalg.vector_norm(bent):
            kept = self.vault.keep(change), self.vault.keep(bend)
            self.pairs = [*self.pairs, kept][-self.history :]
