"""Time of one loss evaluation as a share of the machine's matrix rate, and peak memory.

    python benchmarks/evaluation.py [--recipe default] [--precision float32] [--sizes 256 512] [--direct]

An evaluation is forward and backward of a recipe's objective at one size. Its arithmetic is that of the
convolutions as published (2·9·Cin·Cout per position, twice for the backward): the rate can pass 100 % where
Winograd's algorithm needs fewer multiplications; ``--direct`` does without it. Products of 2048³
are timed between the evaluations.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from brushwork.context import context_for, keep_freed_memory
from brushwork.encoders import LAYERS, VGG19, winograd
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


CONVOLUTIONS = (
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "_WinogradReLU",
    "_WinogradReLUBackward",
)


def share_of_the_rest(work: Callable[[], object]) -> float:
    """The part of the processor's time that is no convolution, by torch's profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(3):
            work()
    events = profile.key_averages()
    whole = sum(event.self_cpu_time_total for event in events)
    return 1 - sum(event.cpu_time_total for event in events if event.key in CONVOLUTIONS) / whole


def rate(dtype: torch.dtype, repeats: int) -> list[float]:
    """FLOP/s of products of 2048³, one after the other."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    torch.mm(a, b)
    return [2 * 2048**3 / seconds(lambda: a @ b) for _ in range(repeats)]


def measure(recipe: str, precision: str, size: int, repeats: int) -> None:
    """Print one row: evaluation, its rate, the matrix rates beside it, shares, the rest, memory."""
    job = Stylize.model_validate(
        {"content": "-", "styles": ["-"], "recipe": recipe, "precision": precision, "scales": {"1": 1}}
    )
    context = context_for(job)
    encoder = VGG19.load(dtype=context.dtype, device=context.device, pooling=job.pooling)
    photo, painting = (torch.rand(1, 3, size, size, device=context.device) for _ in range(2))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)

    def evaluate() -> object:
        return objective.evaluate(painting)

    evaluate()
    last = max([*job.content_layers, *job.style_layers], key=LAYERS.index)
    flops = convolution_flops(encoder, size, size, last)
    rounds = [
        (flops / seconds(evaluate), *rate(torch.float32, 1), *rate(torch.bfloat16, 1)) for _ in range(repeats)
    ]
    own, single, half = (statistics.median(column) for column in zip(*rounds, strict=True))
    shares = [statistics.median(row[0] / row[place] for row in rounds) for place in (1, 2)]
    print(
        f"| {recipe} | {context.precision} | {size}² | {flops / own:.3f} | {own / 1e9:.0f} "
        f"| {single / 1e9:.0f} | {half / 1e9:.0f} | {shares[0]:.0%} | {shares[1]:.0%} "
        f"| {share_of_the_rest(evaluate):.0%} | {context.peak_memory() / 1e6:.0f} |"
    )


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", nargs="+", default=["default"])
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--direct", action="store_true", help="no convolution by Winograd's algorithm")
    options = parser.parse_args()
    keep_freed_memory()
    if options.direct:
        winograd.suits = lambda weight, x: False  # pyright: ignore[reportUnknownLambdaType]
    print(
        "| recipe | precision | size | s/evaluation | GFLOP/s | float32 product | bfloat16 product "
        "| share of float32 | of bfloat16 | not convolution | peak MB |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for recipe in options.recipe:
        for precision in options.precision:
            for size in options.sizes:
                measure(recipe, precision, size, options.repeats)


if __name__ == "__main__":
    main()
