"""``brushwork plan``: what a job will take, without doing it."""

from __future__ import annotations

import json

from brushwork.context import context_for, keep_freed_memory, process_seconds
from brushwork.encoders import VGG19
from brushwork.jobs import Stylize
from brushwork.optimize.engine import how, scales_of, trimmed
from brushwork.optimize.fitted import plans_of
from brushwork.optimize.forecast import Forecast, Rung, calibrate, forecast
from brushwork.outputs.files import write_standard_output
from brushwork.runner import read_sources
from brushwork.surfaces.terminal import say, table


def show_plan(job: Stylize, *, as_json: bool) -> None:
    """Print scale by scale how a job is fitted into memory, and its memory and time in all.

    Raises InputError, with the largest size that fits, when the job does not.
    """
    if job.engine == "feedforward":
        _show_passes(job, as_json=as_json)
        return
    keep_freed_memory()
    context = context_for(job)
    sources = trimmed(job, read_sources(job))
    scales = scales_of(job, sources)
    plans = plans_of(job, sources, scales, context)
    encoder = VGG19.load(job.weights, pooling=job.pooling, dtype=context.dtype, device=context.device)
    began = process_seconds()  # a run begins with the same reading and loading
    found = forecast(scales, plans, calibrate(job, encoder, context))
    if as_json:
        line = json.dumps(_summary(found, began, context.place, context.precision))
        write_standard_output(line.encode() + b"\n")
        return
    rows = [_row(rung, how(rung.plan, context)) for rung in found.rungs]
    table([("size", "steps", "how", "memory", "time"), *rows])
    total = _duration(began + found.seconds)
    say(f"{_memory(found.bytes)} of memory at most, about {total} on {context.place}")


def _summary(found: Forecast, began: float, device: str, precision: str) -> dict[str, object]:
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
        "device": device,
        "precision": precision,
        "peak_memory_bytes": found.bytes,
        "seconds": round(began + found.seconds, 3),
        "scales": rungs,
    }


def _show_passes(job: Stylize, *, as_json: bool) -> None:
    """The same of the engine that paints in one pass, or a few."""
    from brushwork.feedforward.engine import size_of
    from brushwork.feedforward.forecast import forecast

    keep_freed_memory()
    context = context_for(job)
    size = size_of(job, read_sources(job))
    began = process_seconds()  # painting reads the pictures, too
    found = forecast(job, size, context)
    height, width = size
    passes = [(rung.step, rung.bytes, rung.seconds) for rung in found.rungs]
    if as_json:
        rungs = [
            {
                "width": step.width,
                "height": step.height,
                "tile": step.tile,
                "peak_memory_bytes": count,
                "seconds": round(seconds, 3),
            }
            for step, count, seconds in passes
        ]
        machine = {"device": context.place, "precision": context.precision, "backend": found.plan.backend}
        all_of_it = {"peak_memory_bytes": found.bytes, "seconds": round(began + found.seconds, 3)}
        line = {"width": width, "height": height, "evaluations": 0, **machine, **all_of_it, "scales": rungs}
        write_standard_output(json.dumps(line).encode() + b"\n")
        return
    rows = [
        (
            f"{step.width}×{step.height}",
            f"tiles of {step.tile} px" if step.tile else "in one piece",
            _memory(count),
            _duration(seconds),
        )
        for step, count, seconds in passes
    ]
    table([("pass", "how", "memory", "time"), *rows])
    total = _duration(began + found.seconds)
    say(f"{_memory(found.bytes)} of memory at most, about {total} on {context.place}, {found.plan.backend}")


def _row(rung: Rung, plan: str) -> tuple[str, ...]:
    size = f"{rung.scale.width}×{rung.scale.height}"
    return (
        size,
        str(rung.scale.steps),
        plan or "in one piece",
        _memory(rung.plan.bytes),
        _duration(rung.seconds),
    )


def _memory(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _duration(seconds: float) -> str:
    """Seconds in the two largest units that they have."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
