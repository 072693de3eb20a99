"""What a training reports while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Losses = Mapping[str, float]


@dataclass(frozen=True)
class Started:
    """The work begins, or goes on after ``step`` steps."""

    epochs: int
    steps_per_epoch: int
    pictures: int  # in an epoch
    step: int
    parameters: Mapping[str, int]  # by network
    device: str
    precision: str
    steps: int  # in all
    is_in_epochs: bool  # or the length is told in steps


@dataclass(frozen=True)
class Preparing:
    """Something is made that the training needs, before it begins."""

    what: str
    done: int
    count: int


@dataclass(frozen=True)
class Stepped:
    """One step is done."""

    step: int  # from 1, over all epochs
    epoch: int  # from 1
    losses: Losses  # of this step
    means: Losses  # running, since the epoch began


@dataclass(frozen=True)
class Looked:
    """Pictures by which a person judges how far the networks are, by what they are for."""

    step: int
    epoch: int  # epochs done
    is_epoch_end: bool
    pictures: Mapping[str, Tensor]  # each (N, C, H, W), 0..1


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over."""

    epoch: int  # from 1
    step: int
    means: Losses
    pictures_per_second: float


@dataclass(frozen=True)
class Checkpoint:
    """A place to go on from; one follows each step. ``state`` must be called before the next event."""

    step: int
    state: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Finished:
    """All epochs are done."""

    epochs: int
    step: int
    means: Losses  # of the last epoch
    pictures_per_second: float


Event = Preparing | Started | Stepped | Looked | EpochDone | Checkpoint | Finished
