"""Time of one loss evaluation as a share of the machine's matrix rate, and peak memory.

    python benchmarks/evaluation.py [--recipe default] [--precision float32] [--sizes 256 512] [--direct]
    python benchmarks/evaluation.py --device cuda --precision bfloat16 --sizes 512 2048

An evaluation is forward and backward of a recipe's objective at one size. Its arithmetic is that of the
convolutions as published (2·9·Cin·Cout per position, twice for the backward): the rate can pass 100 % where
Winograd's algorithm needs fewer multiplications; ``--direct`` does without it. Products of 2048³ (on a GPU
8192³) are timed between the evaluations.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from brushwork.context import context_for, keep_freed_memory, repeatable
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
    """Wall seconds of one call, a GPU's work included."""
    settle()
    began = time.perf_counter()
    work()
    settle()
    return time.perf_counter() - began


def settle() -> None:
    """Wait for a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


CONVOLUTIONS = (
    "aten::mkldnn_convolution",
    "aten::cudnn_convolution",  # in float32
    "aten::cudnn_convolution_relu",
    "aten::convolution_backward",
    "_WinogradReLU",
    "_WinogradReLUBackward",
)


def share_of_the_rest(work: Callable[[], object], device: str) -> float:
    """The part of the device's time that is no convolution, by torch's profiler."""
    kind = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kind.CPU, *([kind.CUDA] if device != "cpu" else [])]) as profile:
        for _ in range(3):
            work()
        settle()
    # A GPU's kernels are listed beside the operations that started them: those would count twice.
    events = [e for e in profile.key_averages() if str(e.device_type).endswith("CPU")]
    side = "cpu" if device == "cpu" else "device"
    whole = sum(getattr(event, f"self_{side}_time_total") for event in events)
    return 1 - sum(getattr(e, f"{side}_time_total") for e in events if e.key in CONVOLUTIONS) / whole


def rate(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a product of large matrices."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * side**3 / seconds(lambda: a @ b)


def measure(recipe: str, precision: str, size: int, options: argparse.Namespace) -> None:
    """Print one row: evaluation, its rate, the matrix rates beside it, shares, the rest, memory."""
    asked = {"recipe": recipe, "precision": precision, "device": options.device, "scales": {"1": 1}}
    job = Stylize.model_validate({"content": "-", "styles": ["-"], **asked})
    context = context_for(job)
    if context.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        repeatable(exact=True)
    encoder = VGG19.load(dtype=context.dtype, device=context.device, pooling=job.pooling)
    photo, painting = (torch.rand(1, 3, size, size, device=context.device) for _ in range(2))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)

    def evaluate() -> object:
        return objective.evaluate(painting)

    evaluate()
    evaluate()  # on a GPU the second is recorded
    peak = context.peak_memory()
    last = max([*job.content_layers, *job.style_layers], key=LAYERS.index)
    flops = convolution_flops(encoder, size, size, last)
    kinds = (torch.float32, torch.bfloat16)
    rounds = [
        (flops / seconds(evaluate), *(rate(kind, context.device) for kind in kinds))
        for _ in range(options.repeats)
    ]
    own, single, half = (statistics.median(column) for column in zip(*rounds, strict=True))
    shares = [statistics.median(row[0] / row[place] for row in rounds) for place in (1, 2)]
    print(
        f"| {recipe} | {context.precision} | {size}² | {flops / own:.4f} | {own / 1e9:.0f} "
        f"| {single / 1e9:.0f} | {half / 1e9:.0f} | {shares[0]:.0%} | {shares[1]:.0%} "
        f"| {share_of_the_rest(lambda: objective.measure(painting), context.device.type):.0%} "
        f"| {peak / 1e6:.0f} |"
    )


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", nargs="+", default=["default"])
    parser.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512])
    parser.add_argument("--device", default="cpu")
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
                measure(recipe, precision, size, options)


if __name__ == "__main__":
    main()
