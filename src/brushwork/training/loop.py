"""The training loop. It knows no task: it hands out batches, counts, looks, and can be interrupted."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from brushwork.context import Context
from brushwork.errors import DivergedError, InputError
from brushwork.training.events import (
    Checkpoint,
    EpochDone,
    Event,
    Finished,
    Looked,
    Losses,
    Started,
    Stepped,
)
from brushwork.training.jobs import PairedTrain, StyleNetTrain
from brushwork.training.learner import Learner, parameters_of
from brushwork.training.processes import Alone, Processes

VERSION = 1  # of the checkpoints
TREND = 50  # steps that a running mean looks back
STREAM = 0x5EED  # the same seed drew the weights: the steps must not draw the same numbers again


Batch = TypeVar("Batch", bound=Tensor | tuple[Tensor, ...])
"""A batch is a tensor (N, ...), or several with the same N."""
Given = TypeVar("Given", bound=Tensor | tuple[Tensor, ...], contravariant=True)
Handed = TypeVar("Handed", bound=Tensor | tuple[Tensor, ...], covariant=True)


class Task(Protocol[Given]):
    """What is learnt: a plain class with some ``Learner`` and steps that make them minimise losses."""

    name: str
    learners: Mapping[str, Learner]

    @property
    def steps(self) -> Sequence[Callable[[Given], Mapping[str, Tensor]]]:
        """What learns from a batch and returns the losses, detached scalars.

        Each sees all parts of it before the next begins: none meets a network that moved in between.
        """
        ...

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        """Pictures (N, C, H, W), 0..1, that show how far it is."""
        ...


class Batches(Protocol[Handed]):
    """The pictures of a training."""

    count: int  # pictures in an epoch
    steps: int  # batches in an epoch

    def epoch(self, number: int, start: int) -> Iterator[Handed]:
        """Batches of an epoch, counted from 0, from batch ``start`` on: the same whenever it is asked."""
        ...


@dataclass(frozen=True)
class Plan:
    """How long and how."""

    epochs: int
    seed: int = 0
    accumulate: int = 1  # parts that a batch is computed in
    look_every: int | None = None  # steps
    look_at_epochs: bool = True  # at their ends too
    steps: int | None = None  # the training ends after so many, if its epochs have more
    runaway: float | None = None  # the first loss counts as lost at so many times its lowest running mean
    processes: Processes = field(default_factory=Alone)  # that train together


def in_steps(
    job: StyleNetTrain | PairedTrain,
    look_every: int | None,
    together: Processes | None,
    *,
    runaway: float | None = None,
) -> Plan:
    """The plan of a job whose length is told in steps; it looks twenty times unless told otherwise."""
    return Plan(
        epochs=job.steps,  # more than it needs: the steps end it
        steps=job.steps,
        seed=job.seed,
        accumulate=job.accumulate,
        look_every=look_every or max(1, job.steps // 20),
        look_at_epochs=False,
        runaway=runaway,
        processes=together or Alone(),
    )


class _Place:
    """Where the loop is; ``sums`` are the losses since the epoch began."""

    def __init__(self) -> None:
        self.epoch = self.batch = self.step = 0
        self.sums: dict[str, float] = {}
        self.means: dict[str, float] = {}  # of the last whole epoch
        self.trend = self.lowest = math.inf  # of the first loss: its running mean, and the least of that

    def add(self, losses: Losses) -> Losses:
        self.step, self.batch = self.step + 1, self.batch + 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        first = next(iter(losses.values()))
        self.trend = first if math.isinf(self.trend) else self.trend + (first - self.trend) / TREND
        if self.step >= TREND:
            self.lowest = min(self.lowest, self.trend)
        return self.so_far()

    def so_far(self) -> dict[str, float]:
        """Means since the epoch began; of the last one when it has just begun."""
        return {name: total / self.batch for name, total in self.sums.items()} or self.means

    def next_epoch(self, means: Losses) -> None:
        self.epoch, self.batch, self.sums, self.means = self.epoch + 1, 0, {}, dict(means)


def train(
    task: Task[Batch],
    batches: Batches[Batch],
    plan: Plan,
    context: Context,
    state: dict[str, Any] | None = None,
) -> Generator[Event]:
    """Train a task; yields what happens. Closing the generator ends it.

    ``state`` is what a ``Checkpoint`` of the same training gave; the run then goes on to the same bits on the
    same device with as many threads. Every draw comes from torch's own generator, which the loop seeds.
    Raises DivergedError when a loss is not finite, InputError for a state of another task.
    """
    place = _Place()
    torch.manual_seed(plan.seed ^ STREAM)
    if state is not None:
        restore(task, place, state)
        if place.batch >= batches.steps:  # there are fewer pictures than there were
            place.next_epoch(place.so_far())
    if plan.processes.rank:  # draws of its own; only the first one's are stored, so these begin anew
        torch.manual_seed((plan.seed ^ STREAM) + 7919 * plan.processes.rank + place.step)
    for learner in task.learners.values():
        learner.processes = plan.processes
    sizes = {name: parameters_of(learner.network) for name, learner in task.learners.items()}
    to_come = max(0, plan.epochs - place.epoch) * batches.steps
    total = min(place.step - place.batch + to_come, plan.steps or sys.maxsize)
    yield Started(
        plan.epochs, batches.steps, batches.count, place.step, sizes, str(context.device),
        context.precision, total, plan.steps is None,
    )  # fmt: skip
    speed = 0.0
    while place.step < total:
        began, first, epoch = time.perf_counter(), place.step, place.epoch
        for batch in itertools.islice(batches.epoch(place.epoch, place.batch), total - place.step):
            yield from _one_step(task, batch, plan, context, place, batches.steps, total)
        seconds = time.perf_counter() - began
        speed = batches.count * (place.step - first) / batches.steps / seconds
        if place.epoch > epoch:
            yield EpochDone(place.epoch, place.step, place.means, speed)
    yield Finished(place.epoch, place.step, place.so_far(), speed)


def _one_step(
    task: Task[Batch], batch: Batch, plan: Plan, context: Context, place: _Place, steps: int, total: int
) -> Generator[Event]:
    losses = learn(task, batch, plan.accumulate, context, plan.processes)
    means = place.add(losses)
    _check(losses, place, plan)
    epoch = place.epoch
    is_last = place.batch == steps
    if is_last:
        place.next_epoch(means)
    yield Stepped(place.step, epoch + 1, losses, means)
    is_due = plan.look_every and place.step % plan.look_every == 0
    if is_due or place.step == total or (is_last and plan.look_at_epochs):
        yield Looked(place.step, place.epoch, is_last, task.look(epoch_end=is_last))
    yield Checkpoint(place.step, lambda: state_of(task, place))


def learn(
    task: Task[Batch], batch: Batch, parts: int, context: Context, processes: Processes | None = None
) -> dict[str, float]:
    """One step on a batch, in so many parts; returns the losses, each the mean over the batch.

    Each of several processes takes its share of the batch.
    """
    whole = _count(batch)
    processes = processes or Alone()
    if processes.count > 1:
        batch = _share(batch, processes)
    chunks = _chunks(batch, parts, context.device)
    sums: dict[str, Tensor] = {}
    is_mixed = context.dtype != torch.float32
    for step, chunk in itertools.product(task.steps, chunks):
        share = _count(chunk) / whole
        for learner in task.learners.values():
            learner.part, learner.parts = share, len(chunks)
        with torch.autocast(context.device.type, context.dtype, enabled=is_mixed):
            losses = step(chunk)
        for name, loss in losses.items():
            sums[name] = sums.get(name, torch.zeros_like(loss)) + loss * share
    return {name: float(total) for name, total in zip(sums, processes.sums([*sums.values()]), strict=True)}


def _chunks(batch: Batch, parts: int, device: torch.device) -> list[Batch]:
    """A batch in parts, on a device."""
    if isinstance(batch, Tensor):
        return cast("list[Batch]", list(batch.to(device, non_blocking=True).chunk(parts)))
    columns = [each.to(device, non_blocking=True).chunk(parts) for each in batch]
    return cast("list[Batch]", list(zip(*columns, strict=True)))


def _share(batch: Batch, processes: Processes) -> Batch:
    """This process's part of a batch. Raises InputError when there are more processes than pictures."""
    if _count(batch) < processes.count:
        raise InputError(f"a batch of {_count(batch)} for {processes.count} processes: use fewer, or --limit")
    rows = slice(processes.rank, None, processes.count)
    mine = batch[rows] if isinstance(batch, Tensor) else tuple(each[rows] for each in batch)
    return cast("Batch", mine)


def _count(batch: Tensor | tuple[Tensor, ...]) -> int:
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])


def _check(losses: Losses, place: _Place, plan: Plan) -> None:
    for name, value in losses.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"step {place.step}: {name} became {value}: give a lower rate, or float32 instead of bfloat16"
            )
    if plan.runaway and place.trend > plan.runaway * place.lowest:
        name = next(iter(losses))
        raise DivergedError(
            f"step {place.step}: {name} has risen from {place.lowest:.3g} to {place.trend:.3g} and does not "
            "come back: give a lower rate"
        )


# ----------------------------------------------------------------------------------------------- the state


def state_of(task: Task[Any], place: _Place) -> dict[str, Any]:
    """All that the loop needs to go on, as tensors and plain data."""
    random = {"cpu": torch.get_rng_state()}
    if (device := _device(task)).type == "cuda":
        random["cuda"] = torch.cuda.get_rng_state(device)
    return {
        "task": task.name,
        "version": VERSION,
        "place": dict(vars(place)),
        "learners": {name: learner.state() for name, learner in task.learners.items()},
        "random": random,
    }


def restore(task: Task[Any], place: _Place, state: dict[str, Any]) -> None:
    """Take a state over. Raises InputError when it is of another task, version or network."""
    if state.get("task") != task.name or state.get("version") != VERSION:
        raise InputError(
            f"the checkpoint is of task {state.get('task')!r}, version {state.get('version')}, not of "
            f"{task.name!r}, version {VERSION}: start the training anew in another folder"
        )
    try:
        for name, learner in task.learners.items():
            learner.restore(state["learners"][name])
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError("the checkpoint is of another network: start the training anew") from error
    vars(place).update(state["place"])
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"] and (device := _device(task)).type == "cuda":
        torch.cuda.set_rng_state(state["random"]["cuda"], device)


def _device(task: Task[Any]) -> torch.device:
    """Where its networks are, whose generator draws."""
    return next(next(iter(task.learners.values())).network.parameters()).device
