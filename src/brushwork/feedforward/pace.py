"""Which backend is faster on this machine, as measured here by `brushwork doctor --measure`.

It is measured when asked for and not on the way: the first picture would wait for it, and what else happens
to run would decide which backend paints. Both paint the same picture to 0.001. The measurement counts for
this processor, these versions and this number of threads; without one the rule of ``plan`` holds.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from brushwork.fetch import cache_folder
from brushwork.fields import Frozen

SIDES: Final = (512, 1024, 2048)  # pixels of the long side of pictures of 4:3
ROUNDS: Final = 3


class Pace(Frozen):
    """Seconds of a pass with onnxruntime and with torch, by the picture's long side."""

    machine: str
    threads: int
    seconds: dict[int, tuple[float, float]]

    @property
    def limit(self) -> int:
        """Pixels up to which onnxruntime paints: twice those of the largest picture up to which it won."""
        pixels = 0
        for side, (theirs, torchs) in sorted(self.seconds.items()):
            if theirs > torchs:
                break
            pixels = 2 * side * side * 3 // 4
        return pixels

    def __str__(self) -> str:
        told = (
            f"{side} px {theirs:.2f} and {torchs:.2f} s"
            for side, (theirs, torchs) in sorted(self.seconds.items())
        )
        first = f"onnxruntime up to {self.limit / 1e6:.1f} megapixels" if self.limit else "torch"
        return f"{first}, measured with {self.threads} threads (onnxruntime and torch: {', '.join(told)})"


def place(threads: int) -> Path:
    """The file that a measurement with so many threads is kept in."""
    return cache_folder() / f"one-pass-{threads}-threads.json"


def known(threads: int) -> Pace | None:
    """The measurement kept for this machine; None without one, or when it is another's or cannot be read."""
    try:
        pace = Pace.model_validate_json(place(threads).read_bytes())
    except (OSError, ValueError):
        return None
    return pace if (pace.machine, pace.threads) == (machine(), threads) else None


def machine() -> str:
    """What a measurement depends on: the processor and the versions."""
    versions = (f"{name} {metadata.version(name)}" for name in ("torch", "onnxruntime"))
    return ", ".join([_processor(), f"{os.cpu_count()} processors", *versions])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def measure(sides: tuple[int, ...] | None = None, rounds: int = ROUNDS) -> Pace:
    """Paint with both in turn, with torch's number of threads; the medians. Raises WeightsError."""
    from brushwork.feedforward import embedded, shelf

    threads = torch.get_num_threads()
    condition = torch.zeros(embedded.VECTOR)
    theirs = shelf.runtime(shelf.ARBITRARY, threads)
    torchs = shelf.folded(shelf.ARBITRARY, torch.device("cpu"), torch.float32)
    affines = torchs.affines(condition)
    seconds: dict[int, tuple[float, float]] = {}
    for side in sides or SIDES:
        photo = torch.rand(1, 3, side * 3 // 4, side, generator=torch.Generator().manual_seed(0))
        ways = (lambda p=photo: theirs.paint(p, condition), lambda p=photo: torchs.paint(p, affines))
        times = [[_seconds(way) for way in ways] for _ in range(rounds + 1)][1:]
        first, second = (statistics.median(each) for each in zip(*times, strict=True))
        seconds[side] = first, second
    return Pace(machine=machine(), threads=threads, seconds=seconds)


def _seconds(paint: Callable[[], object]) -> float:
    began = time.perf_counter()
    paint()
    return time.perf_counter() - began
