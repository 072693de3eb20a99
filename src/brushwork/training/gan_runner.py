"""A training job becomes events: the GAN's."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from brushwork.context import context_for
from brushwork.training.datasets import InMemory, read_pictures
from brushwork.training.dcgan import SIDE
from brushwork.training.events import Event
from brushwork.training.gan import Gan
from brushwork.training.jobs import GanTrain
from brushwork.training.loop import Plan, train
from brushwork.training.processes import Alone, Processes


@dataclass(frozen=True)
class GanRun:
    """A task that is ready, the pictures' troubles, and its events."""

    task: Gan
    troubles: list[str]
    events: Generator[Event]


def run_gan(
    job: GanTrain,
    state: dict[str, Any] | None = None,
    *,
    look_every: int | None = None,
    together: Processes | None = None,
) -> GanRun:
    """Prepare a job's networks and pictures; the training begins with the first event asked for.

    Raises BrushworkError for what the user can mend.
    """
    context = context_for(job)
    pictures, troubles = read_pictures(job.data, SIDE)
    batches = InMemory(pictures[: job.limit], job.batch, job.seed)
    torch.manual_seed(job.seed)
    task = Gan(job, context.device)
    plan = Plan(job.epochs, job.seed, job.accumulate, look_every, processes=together or Alone())
    return GanRun(task, troubles, train(task, batches, plan, context, state))
