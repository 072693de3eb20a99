"""``brushwork plan``: what a job will take, without doing it."""

from __future__ import annotations

import json
from typing import Any

from brushwork.context import Context, context_for, keep_freed_memory, process_seconds
from brushwork.encoders import VGG19
from brushwork.jobs import Stylize
from brushwork.optimize.engine import how, scales_of, trimmed
from brushwork.optimize.fitted import plans_of
from brushwork.optimize.forecast import Forecast, Rung, calibrate, forecast
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale
from brushwork.outputs.files import write_standard_output
from brushwork.runner import read_sources
from brushwork.surfaces.terminal import duration, say, table


def show_plan(job: Stylize, *, as_json: bool) -> None:
    """Print scale by scale how a job is fitted into memory, and its memory and time in all.

    Raises InputError, with the largest size that fits, when the job does not.
    """
    keep_freed_memory()
    context = context_for(job)
    if job.engine == "feedforward":
        found, began, more = _of_passes(job, context)
    else:
        (found, began), more = _of_scales(job, context), {}
    if as_json:
        line = _summary(found, began, context) | more
        write_standard_output(json.dumps(line).encode() + b"\n")
        return
    rows = [_row(rung, how(rung.plan, context)) for rung in found.rungs]
    table([("size", "passes" if more else "steps", "how", "memory", "time"), *rows])
    say(", ".join([in_words(found, context, began), *([more["backend"]] if more else [])]))


def _of_scales(job: Stylize, context: Context) -> tuple[Forecast, float]:
    """What optimising takes, and the seconds before its first evaluation."""
    scales, plans = divided(job, context)
    encoder = VGG19.load(job.weights, pooling=job.pooling, dtype=context.dtype, device=context.device)
    began = process_seconds()  # a run begins with the same reading and loading
    return forecast(job, scales, plans, calibrate(job, encoder, context)), began


def _of_passes(job: Stylize, context: Context) -> tuple[Forecast, float, dict[str, Any]]:
    """The same of the engine that paints in one pass, or a few; the result's size and what runs the network.

    A network may paint larger than the result.
    """
    from brushwork.feedforward.engine import size_of
    from brushwork.feedforward.forecast import forecast

    height, width = size_of(job, read_sources(job))
    began = process_seconds()  # painting reads the pictures, too
    found, backend = forecast(job, (height, width), context)
    return found, began, {"width": width, "height": height, "evaluations": 0, "backend": backend}


def divided(job: Stylize, context: Context) -> tuple[list[Scale], list[Plan]]:
    """A job's scales and how each is fitted into memory.

    Raises InputError, with the largest size that fits, when one is not.
    """
    sources = trimmed(job, read_sources(job))
    scales = scales_of(job, sources)
    return scales, plans_of(job, sources, scales, context)


def in_words(found: Forecast, context: Context, began: float = 0.0) -> str:
    """Memory and time in one line; ``began`` are the seconds before the first evaluation."""
    total = duration(began + found.seconds)
    return f"{_memory(found.bytes)} of memory at most, about {total} on {context.place}"


def _summary(found: Forecast, began: float, context: Context) -> dict[str, Any]:
    last = found.rungs[-1].scale
    rungs = [
        {
            "width": rung.scale.width,
            "height": rung.scale.height,
            "steps": rung.scale.steps,
            "tile": rung.plan.tile,
            "at_once": rung.plan.at_once,
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
        "device": context.place,
        "precision": context.precision,
        "peak_memory_bytes": found.bytes,
        "seconds": round(began + found.seconds, 3),
        "scales": rungs,
    }


def _row(rung: Rung, plan: str) -> tuple[str, ...]:
    size, steps = f"{rung.scale.width}×{rung.scale.height}", str(rung.scale.steps)
    return size, steps, plan or "in one piece", _memory(rung.plan.bytes), duration(rung.seconds)


def _memory(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
