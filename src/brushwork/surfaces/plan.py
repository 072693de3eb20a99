"""``brushwork plan``: what a job will take, without doing it."""

from __future__ import annotations

import json

from brushwork.context import context_for, keep_freed_memory, process_seconds
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.jobs import Stylize
from brushwork.optimize.engine import scales_of, trimmed
from brushwork.optimize.fitted import plans_of
from brushwork.optimize.forecast import Forecast, Rung, calibrate, forecast
from brushwork.outputs.files import write_standard_output
from brushwork.runner import read_sources
from brushwork.surfaces.terminal import say, table


def show_plan(job: Stylize, *, as_json: bool) -> None:
    """Print scale by scale how a job is fitted into memory, and its memory and time in all.

    Raises InputError, with the largest size that fits, when the job does not.
    """
    if job.engine != "optimize":
        raise InputError(
            f"--engine {job.engine}: takes seconds at any size; plan foretells --engine optimize"
        )
    keep_freed_memory()
    context = context_for(job)
    sources = trimmed(job, read_sources(job))
    scales = scales_of(job, sources)
    plans = plans_of(job, sources, scales, context)
    encoder = VGG19.load(job.weights, pooling=job.pooling, dtype=context.dtype, device=context.device)
    began = process_seconds()  # a run begins with the same reading and loading
    found = forecast(scales, plans, calibrate(job, encoder, context))
    if as_json:
        line = json.dumps(_summary(found, began, str(context.device), context.precision))
        write_standard_output(line.encode() + b"\n")
        return
    table([("size", "steps", "how", "memory", "time"), *(_row(rung) for rung in found.rungs)])
    total = _duration(began + found.seconds)
    say(f"{_memory(found.bytes)} of memory at most, about {total} on {context.device}")


def _summary(found: Forecast, began: float, device: str, precision: str) -> dict[str, object]:
    last = found.rungs[-1].scale
    rungs = [
        {
            "width": rung.scale.width,
            "height": rung.scale.height,
            "steps": rung.scale.steps,
            "tile": rung.plan.tile,
            "on_disk": rung.plan.on_disk,
            "recompute": rung.plan.recompute,
            "peak_memory_bytes": rung.plan.bytes,
            "seconds": round(rung.seconds, 3),
        }
        for rung in found.rungs
    ]
    return {
        "width": last.width,
        "height": last.height,
        "evaluations": sum(rung.scale.steps for rung in found.rungs),
        "device": device,
        "precision": precision,
        "peak_memory_bytes": found.bytes,
        "seconds": round(began + found.seconds, 3),
        "scales": rungs,
    }


def _row(rung: Rung) -> tuple[str, ...]:
    size = f"{rung.scale.width}×{rung.scale.height}"
    how = str(rung.plan) or "in one piece"
    return size, str(rung.scale.steps), how, _memory(rung.plan.bytes), _duration(rung.seconds)


def _memory(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _duration(seconds: float) -> str:
    """Seconds in the two largest units that they have."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
