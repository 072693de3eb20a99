"""What a job in one pass will take: memory from its plan, time from a few passes of its own network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from brushwork.context import Context
from brushwork.feedforward.engine import Brush, drained, network_of, one_pass
from brushwork.feedforward.plan import Plan, Step, make_plan, need
from brushwork.jobs import Stylize

SIDE = 384  # pixels of the passes that are timed
TILED = 2.5  # time of a pass in tiles over one in one piece: most of it is computed again for each stage


@dataclass(frozen=True)
class Rung:
    """One pass, the bytes of memory and the seconds that it is expected to take."""

    step: Step
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a job is expected to take, pass by pass."""

    plan: Plan
    rungs: Sequence[Rung]

    @property
    def seconds(self) -> float:
        """Of all passes; reading, colours and writing come on top."""
        return sum(rung.seconds for rung in self.rungs)

    @property
    def bytes(self) -> int:
        """The peak of memory."""
        return max(rung.bytes for rung in self.rungs)


def forecast(job: Stylize, size: tuple[int, int], context: Context) -> Forecast:
    """The plan for a result of (height, width) and what it takes. Raises InputError when it does not fit."""
    key, settings = network_of(job)
    plan = make_plan(job, settings, size, context)
    count = len(settings.conditions)
    brush = Brush(key, settings, torch.full((count,), 1 / count) if count else None, 1.0)
    photo, times = torch.rand(1, 3, SIDE, SIDE), list[float]()
    for _ in range(4):
        began = time.perf_counter()
        drained(one_pass(brush, photo, None, plan.backend, context))
        times.append(time.perf_counter() - began)
    a_pixel = median(times[1:]) / SIDE**2  # the first also prepares the network
    rungs = [
        Rung(
            step,
            round(need(settings, (step.height, step.width), step.tile)),
            step.height * step.width * a_pixel * (TILED if step.tile else 1),
        )
        for step in plan.steps
    ]
    return Forecast(plan, rungs)
