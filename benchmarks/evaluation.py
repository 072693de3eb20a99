"""Time of one loss evaluation as a share of the machine's matrix rate, and peak memory.

    python benchmarks/evaluation.py [--precision float32] [--sizes 256 512] [--repeats 7]

An evaluation is forward and backward of the Gram objective to block5_conv2. Its arithmetic is that of the
convolutions as published (2·9·Cin·Cout per position, twice for the backward): the rate can pass 100 % where
Winograd's algorithm needs fewer multiplications. Products of 2048³ are timed between the evaluations.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from brushwork.context import context_for, keep_freed_memory
from brushwork.encoders import LAYERS, VGG19
from brushwork.jobs import Stylize
from brushwork.optimize.objective import Objective, make_target


def convolution_flops(encoder: VGG19, height: int, width: int, last: str) -> float:
    """Multiplications and additions, forward and backward, of the convolutions up to ``last``."""
    total, positions = 0.0, height * width
    for name in LAYERS[: LAYERS.index(last) + 1]:
        if name.endswith("pool"):
            positions //= 4
            continue
        weight, _ = encoder.weights.convolutions[name]
        total += 2 * 2 * weight.numel() * positions
    return total


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(precision: str, size: int, repeats: int) -> None:
    """Print one row: evaluation, rate, matrix rate beside it, share."""
    job = Stylize.model_validate(
        {"content": "-", "styles": ["-"], "recipe": "tf-blog", "precision": precision}
    )
    context = context_for(job)
    encoder = VGG19.load(dtype=context.dtype, device=context.device)
    photo, painting = (torch.rand(1, 3, size, size, device=context.device) for _ in range(2))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)
    a, b = (torch.randn(2048, 2048, dtype=context.dtype, device=context.device) for _ in range(2))
    objective.evaluate(painting)
    pairs = [(seconds(lambda: objective.evaluate(painting)), seconds(lambda: a @ b)) for _ in range(repeats)]
    flops = convolution_flops(encoder, size, size, "block5_conv2")
    evaluation, product = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = statistics.median(flops / e / (2 * 2048**3 / p) for e, p in pairs)
    print(
        f"| {context.precision} | {size}² | {flops / size**2 / 1e6:.2f} | {evaluation:.3f} "
        f"| {flops / evaluation / 1e9:.0f} | {2 * 2048**3 / product / 1e9:.0f} | {100 * share:.0f} % "
        f"| {context.peak_memory() / 1e6:.0f} |"
    )


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()
    print("| precision | size | MFLOP/pixel | s/evaluation | GFLOP/s | 2048³ GFLOP/s | share | peak MB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for precision in options.precision:
        for size in options.sizes:
            measure(precision, size, options.repeats)


if __name__ == "__main__":
    main()
