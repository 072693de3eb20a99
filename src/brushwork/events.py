"""What an engine reports while it works."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:  # `brushwork recipes` does without torch, which takes seconds
    from torch import Tensor

    from brushwork.images import Picture
    from brushwork.optimize.scales import Scale


@dataclass(frozen=True)
class Losses:
    """The weighted terms; they add up to ``total``. All are NaN of an engine that measures none."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Started:
    """The work begins: final size in pixels, evaluations planned, what computes it."""

    width: int
    height: int
    evaluations: int
    device: str
    precision: str
    weights: str
    start: Tensor  # (1, 3, h, w) the picture before the first step, at the first scale, or resumed
    scales: Sequence[Scale]  # from coarse to fine, with the evaluations planned at each
    done: int = 0  # evaluations of the run that this one resumes
    plan: str = ""  # how the work is fitted into memory, in words; empty when that is simply in one piece
    part: str = "scale"  # what ``scales`` are: those of a sheet's cells follow each other


@dataclass(frozen=True)
class Swept:
    """A part of an evaluation is done: of a picture in tiles a tile of one of the two passes."""

    evaluation: int  # from 1, over all scales: the one that is going on; a network's pass is the first
    done: int
    parts: int
    state: dict[str, Any]  # of the evaluation, for a Checkpoint


@dataclass(frozen=True)
class Replanned:
    """Memory ran out, or others took it: the scale goes on by a smaller plan, in words."""

    plan: str


@dataclass(frozen=True)
class Progress:
    """One loss evaluation and the step that it led to."""

    evaluation: int  # from 1, over all scales
    evaluations: int
    rung: int  # which of ``Started.scales``
    scale: int  # its long side in pixels
    step: int  # from 1, within the scale
    losses: Losses  # before the step
    gradient_norm: float
    image: Tensor  # (1, 3, h, w) after the step, RGB, nominally 0..1, in the result's colours


@dataclass(frozen=True)
class Checkpoint:
    """All that the engine needs to go on from here; one follows each Progress, unless nothing pulls any more.

    It only refers to the engine's tensors, which change when the next event is asked for: whoever wants to
    keep a checkpoint writes it before that.
    """

    evaluation: int  # over all scales
    rung: int  # which of ``Started.scales``
    step: int  # within the scale
    image: Tensor  # (1, 3, h, w) the next to be evaluated
    kept: Tensor  # (1, 3, h, w) the scale's result so far
    losses: Losses  # that go with ``kept``
    optimizer: dict[str, Any]  # its fields: tensors and plain data
    begun: dict[str, Any] | None = None  # the state of the next evaluation, if that is under way in tiles
    detail: float | None = None  # how much of the paintings' detail finer scales begin with, once known


@dataclass(frozen=True)
class Finished:
    """The result."""

    picture: Picture
    losses: Losses
    evaluations: int


Step = TypeVar("Step")
Value = TypeVar("Value")
Event = Started | Swept | Replanned | Progress | Checkpoint | Finished


def finished(events: Generator[Event]) -> Finished:
    """The result of a run that nobody watches."""
    with closing(events):
        for event in events:
            if isinstance(event, Finished):
                return event
    raise AssertionError("an engine ends with Finished")


class Returning(Generic[Step, Value]):
    """A generator for a loop whose body tells others of each step; then ``value`` is what it returned."""

    value: Value

    def __init__(self, steps: Generator[Step, None, Value]) -> None:
        self._steps = steps

    def __iter__(self) -> Generator[Step]:
        self.value = yield from self._steps


def drained(steps: Generator[object, None, Value]) -> Value:
    """What a generator returns, whatever it yields on the way."""
    for _ in (returning := Returning(steps)):
        pass
    return returning.value


class Work:
    """How much of a run is done, in pixels evaluated: an evaluation at ¼ of the size is 1/16 of one.

    Its total is counted in evaluations at the final size.
    """

    def __init__(self, started: Started) -> None:
        last = started.scales[-1]
        whole = last.height * last.width
        self._rungs = [(s.steps, s.height * s.width / whole) for s in started.scales]
        # A network's pass is one step without an evaluation.
        self.total = self.after(sum(scale.steps for scale in started.scales))

    def during(self, event: Swept) -> float:
        """What is done when one of an evaluation's parts is."""
        before, after = (self.after(event.evaluation - 1), self.after(event.evaluation))
        return before + (after - before) * event.done / event.parts

    def after(self, evaluations: int) -> float:
        """What so many evaluations, from the coarsest scale on, amount to."""
        amount = 0.0
        for steps, weight in self._rungs:
            amount += min(steps, evaluations) * weight
            evaluations -= min(steps, evaluations)
        return amount
