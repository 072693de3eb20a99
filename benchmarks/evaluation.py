"""Time of one loss evaluation as a share of the machine's matrix rate, and peak memory.

    python benchmarks/evaluation.py [--recipe default] [--precision float32] [--sizes 256 512] [--direct]
    python benchmarks/evaluation.py --device cuda --precision bfloat16 --sizes 512 2048

An evaluation is forward and backward of a recipe's objective at one size. Its arithmetic is that of the
convolutions as published (2·9·Cin·Cout per position, twice for the backward): the rate can pass 100 % where
Winograd's algorithm needs fewer multiplications; ``--direct`` does without it. Products of 2048³ (on a GPU
8192³) are timed between the evaluations. What is no convolution is looked at afterwards, by torch's profiler.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from brushwork.context import Context, context_for, keep_freed_memory, repeatable
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


def prefault() -> None:
    """Have glibc hold memory whose pages the system has already cleared.

    The profiler's own small blocks split those that evaluations reuse, so that features come in new pages:
    clearing them took 15 of 110 ms that are no convolution, and without the profiler there are none.
    """
    _ = [torch.ones(900 * 2**20, dtype=torch.uint8) for _ in range(2)]  # larger ones would be given back


def prepare(recipe: str, precision: str, size: int, device: str) -> tuple[Objective, Tensor, Context]:
    """A recipe's objective at one size, and a picture."""
    asked = {"recipe": recipe, "precision": precision, "device": device, "scales": {"1": 1}}
    job = Stylize.model_validate({"content": "-", "styles": ["-"], **asked})
    context = context_for(job)
    if context.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        repeatable(exact=True)
    encoder = VGG19.load(dtype=context.dtype, device=context.device, pooling=job.pooling)
    photo, painting = (torch.rand(1, 3, size, size, device=context.device) for _ in range(2))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)
    for _ in range(2):
        objective.evaluate(painting)  # on a GPU the second is recorded
    return objective, painting, context


def measure(recipe: str, precision: str, size: int, options: argparse.Namespace) -> None:
    """Print one row: evaluation, its rate, the matrix rates beside it, shares, memory."""
    objective, picture, context = prepare(recipe, precision, size, options.device)
    peak, settings = context.peak_memory(), objective.settings
    last = max([*settings.content_layers, *settings.style_layers], key=LAYERS.index)
    flops = convolution_flops(objective.encoder, size, size, last)
    kinds = (torch.float32, torch.bfloat16)
    rounds = [
        (
            flops / seconds(lambda: objective.evaluate(picture)),
            *(rate(kind, context.device) for kind in kinds),
        )
        for _ in range(options.repeats)
    ]
    own, single, half = (statistics.median(column) for column in zip(*rounds, strict=True))
    shares = [statistics.median(row[0] / row[place] for row in rounds) for place in (1, 2)]
    print(
        f"| {recipe} | {context.precision} | {size}² | {flops / own:.4f} | {own / 1e9:.0f} "
        f"| {single / 1e9:.0f} | {half / 1e9:.0f} | {shares[0]:.0%} | {shares[1]:.0%} | {peak / 1e6:.0f} |"
    )


def profile(recipe: str, precision: str, size: int, options: argparse.Namespace) -> None:
    """Print one row: the share of what is no convolution."""
    objective, picture, context = prepare(recipe, precision, size, options.device)
    share = share_of_the_rest(lambda: objective.measure(picture), context.device.type)
    print(f"| {recipe} | {context.precision} | {size}² | {share:.1%} |")


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
    cases = list(product(options.recipe, options.precision, options.sizes))
    print(
        "| recipe | precision | size | s/evaluation | GFLOP/s | float32 product | bfloat16 product "
        "| share of float32 | of bfloat16 | peak MB |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in cases:
        measure(*case, options)
    print("\n| recipe | precision | size | not convolution |\n|---|---|---|---:|")
    prefault()
    for case in cases:
        profile(*case, options)


if __name__ == "__main__":
    main()
