"""``brushwork plan``: what a job will take, without doing it."""

from __future__ import annotations

import json
from typing import Any

from brushwork.context import Context, context_for, keep_freed_memory, process_seconds
from brushwork.encoders import VGG19
from brushwork.jobs import Stylize
from brushwork.optimize.engine import how
from brushwork.optimize.forecast import Forecast, Rung, calibrate, forecast, in_words
from brushwork.outputs.files import write_standard_output
from brushwork.runner import divided, read_sources
from brushwork.surfaces.terminal import say, table
from brushwork.words import duration, gigabytes


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
    return size, steps, plan or "in one piece", gigabytes(rung.plan.bytes), duration(rung.seconds)
