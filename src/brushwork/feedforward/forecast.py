"""What a job in one pass will take: memory from its plan, time from a few passes of its own network."""

from __future__ import annotations

import time
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
    photo, times = torch.rand(1, 3, SIDE, SIDE), list[float]()
    for _ in range(4):
        began = time.perf_counter()
        drained(one_pass(brush, photo, None, plan.backend, context))
        times.append(time.perf_counter() - began)
    a_pixel = median(times[1:]) / SIDE**2  # the first also prepares the network
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
    photo, times = torch.rand(1, 3, SIDE, SIDE, device=context.device), list[float]()
    with torch.no_grad():
        for _ in range(4):
            began = time.perf_counter()
            network(photo).sum().item()
            times.append(time.perf_counter() - began)
    seconds = median(times[1:]) * size[0] * size[1] / SIDE**2
    return Forecast([Rung(Scale(*size, 1), Plan(bytes=memory), seconds)])
