"""What a job will take: memory from its plans, time from a few evaluations of its own kind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch

from brushwork.context import Context
from brushwork.encoders import VGG19
from brushwork.jobs import Stylize
from brushwork.optimize.detail import AMOUNTS
from brushwork.optimize.objective import Objective, make_target
from brushwork.optimize.optimizers import make_optimizer
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale
from brushwork.words import duration, gigabytes

SIDE = 256  # pixels: large enough for the kernels that a large picture runs


@dataclass(frozen=True)
class Rung:
    """One scale of a job, or one pass: its plan and the seconds that it is expected to take."""

    scale: Scale
    plan: Plan
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a job is expected to take, scale by scale."""

    rungs: Sequence[Rung]

    @property
    def seconds(self) -> float:
        """Of all rungs; reading, loading and writing come on top."""
        return sum(rung.seconds for rung in self.rungs)

    @property
    def bytes(self) -> int:
        """The peak of memory."""
        return max(rung.plan.bytes for rung in self.rungs)


def forecast(job: Stylize, scales: Sequence[Scale], plans: Sequence[Plan], a_pixel: float) -> Forecast:
    """Scale up ``a_pixel``, the seconds of an evaluation in one piece a pixel, to a whole job."""

    def seconds(rung: int, scale: Scale, plan: Plan) -> float:
        # The target is measured once a scale, in about an evaluation.
        # Trials of the detail do without gradients, but not in tiles.
        trials = len(AMOUNTS) / (1 if plan.tile else 2) if job.style_detail and rung == 1 else 0
        return (scale.steps + 1 + trials) * scale.height * scale.width * a_pixel * plan.cost

    rungs = enumerate(zip(scales, plans, strict=True))
    return Forecast([Rung(scale, plan, seconds(rung, scale, plan)) for rung, (scale, plan) in rungs])


def in_words(found: Forecast, context: Context, began: float = 0.0) -> str:
    """Memory and time in one line; ``began`` are the seconds before the first evaluation."""
    total = duration(began + found.seconds)
    return f"{gigabytes(found.bytes)} of memory at most, about {total} on {context.place}"


def calibrate(job: Stylize, encoder: VGG19, context: Context, seconds: float = 2.0) -> float:
    """Seconds a pixel of this job's evaluation and step here and now, the median over some ``seconds``."""
    generator = torch.Generator().manual_seed(0)
    photo, painting = (torch.rand(1, 3, SIDE, SIDE, generator=generator).to(context.device) for _ in range(2))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)
    optimizer = make_optimizer(job)
    image, times, began = photo, list[float](), time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        before = time.perf_counter()
        evaluation = objective.evaluate(image)
        image = optimizer.step(image, evaluation.losses.total, evaluation.gradient)
        times.append(time.perf_counter() - before)
    return median(times[1:]) / SIDE**2  # the first also prepares kernels
