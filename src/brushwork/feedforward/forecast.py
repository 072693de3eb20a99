"""What a job in one pass will take: memory from its plan, time from a few passes of its own network."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from brushwork.context import Context
from brushwork.events import drained
from brushwork.feedforward.engine import Brush, network_of, one_pass
from brushwork.feedforward.plan import make_plan, need
from brushwork.feedforward.translate import check, translates
from brushwork.feedforward.unet import read_unet
from brushwork.jobs import Stylize
from brushwork.optimize.forecast import Forecast, Rung
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale

SIDE = 384  # pixels of the passes that are timed
TILED = 1.5  # time of a pass in tiles over one in one piece: measured at 2048 px in tiles of 512


def forecast(job: Stylize, size: tuple[int, int], context: Context) -> tuple[Forecast, str]:
    """What a result of (height, width) takes, a rung a pass, and the backend that paints.

    Raises InputError when it does not fit into memory.
    """
    if translates(job):
        return _of_pairs(job, size, context), "torch"
    key, settings = network_of(job)
    plan = make_plan(job, settings, size, context)
    count = len(settings.conditions)
    brush = Brush(key, settings, torch.full((count,), 1 / count) if count else None, 1.0)
    photo = torch.rand(1, 3, SIDE, SIDE)
    a_pixel = _seconds(lambda: drained(one_pass(brush, photo, None, plan.backend, context))) / SIDE**2
    rungs: list[Rung] = []
    for step in plan.steps:
        memory = round(need(settings, (step.height, step.width), step.tile))
        taken = Plan(step.tile, bytes=memory, cost=TILED if step.tile else 1.0)
        seconds = step.height * step.width * a_pixel * taken.cost
        rungs.append(Rung(Scale(step.height, step.width, 1), taken, seconds))
    return Forecast(rungs), plan.backend


def _of_pairs(job: Stylize, size: tuple[int, int], context: Context) -> Forecast:
    """The same of a network from pairs, which paints in one pass at any size."""
    network = read_unet(Path(job.styles[0].path)).to(context.device)
    memory = round(check(job, network.settings, size, context))
    photo = torch.rand(1, 3, SIDE, SIDE, device=context.device)
    with torch.no_grad():
        seconds = _seconds(lambda: network(photo).sum().item()) * size[0] * size[1] / SIDE**2
    return Forecast([Rung(Scale(*size, 1), Plan(bytes=memory), seconds)])


def _seconds(work: Callable[[], object]) -> float:
    """The median of three passes, after one that also prepares the network."""
    times: list[float] = []
    for _ in range(4):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times[1:])
