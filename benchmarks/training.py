"""Training speed: pictures a second, as a share of the machine's matrix rate, the GAN also beside Keras.

python benchmarks/training.py [--task gan|stylenet] [--threads N] [--batch N] [--side PX] [--steps N]
                              [--precision float32|bfloat16]
                              [--keras PYTHON_WITH_TENSORFLOW [--keras-precision float32|bfloat16]]

Steps of both alternate, so that whatever else the machine does burdens both; the ratio is the median of the
ratios of neighbours, by processor time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from brushwork.context import Context, keep_freed_memory
from brushwork.encoders import VGG19
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings
from brushwork.fields import build
from brushwork.painter import paint
from brushwork.training.gan import Gan
from brushwork.training.jobs import GanTrain, StyleNetTrain
from brushwork.training.loop import learn
from brushwork.training.perceptual import make_criterion
from brushwork.training.stylenet import INPUTS, Stylise

Seconds = tuple[float, float]  # wall clock, processor
PEER = Path(__file__).parent / "peers" / "keras_gan.py"


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    options.batch = options.batch or {"gan": 512, "stylenet": 4}[options.task]
    dtype = getattr(torch, options.precision)
    context = Context(torch.device("cpu"), dtype)
    if options.task == "gan":
        task, batch = Gan(GanTrain()), torch.rand(options.batch, 1, 28, 28)
    else:
        task, batch = stylenet(dtype), torch.rand(options.batch, 3, options.side, options.side)

    def step() -> None:
        learn(task, batch, 1, context)

    with FlopCounterMode(display=False) as counter:
        step()
    operations = counter.get_total_flops()
    ours, products, theirs = list[Seconds](), list[Seconds](), list[Seconds]()
    command = [str(PEER), str(options.batch), str(options.threads), options.keras_precision]
    peer = _Peer([options.keras, *command]) if options.keras else None
    matrix = torch.rand(2048, 2048).to(dtype)
    for _ in range(options.steps):
        products.append(_timed(lambda: torch.mm(matrix, matrix)))
        ours.append(_timed(step))
        if peer:
            theirs.append(peer.step())
    rate = 2 * 2048**3 * statistics.median(1 / cpu for _, cpu in products)
    pace = statistics.median(1 / cpu for _, cpu in ours)
    print(f"{options.precision} matrix product: {rate / 1e9:.0f} GFLOP/s a processor second")
    print(f"a step: {operations / 1e9:.0f} GFLOP, {operations * pace / 1e9:.0f} GFLOP/s", end="")
    print(f" = {operations * pace / rate:.2f} of that")
    print(f"pictures: {options.batch * pace:.3g} a processor second")
    print(f"          {options.batch * statistics.median(1 / wall for wall, _ in ours):.3g} a second")
    if theirs:
        ratios = sorted(b[1] / a[1] for a, b in zip(ours, theirs, strict=True))
        print(
            f"Keras takes {statistics.median(ratios):.2f} times as long ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--task", choices=["gan", "stylenet"], default="gan")
    parser.add_argument("--batch", type=int, help="512, or 4 of stylenet")
    parser.add_argument("--side", type=int, default=256, help="of stylenet's pictures")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--keras", help="a Python that has TensorFlow")
    parser.add_argument("--keras-precision", choices=["float32", "bfloat16"], default="float32")
    return parser.parse_args()


def stylenet(dtype: torch.dtype) -> Stylise:
    """The default network's training, of a painting that is at hand."""
    job = build(StyleNetTrain, {"photos": "photos", "style": "style"})
    painting = torch.from_numpy(paint("swirls", size=512)).permute(2, 0, 1)[None] / 255
    criterion = make_criterion(VGG19.load(dtype=dtype), painting, job.style_size, job.style_loss)
    network = StyleNet(StyleNetSettings.of_width(job.width, conditions=INPUTS))
    network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Stylise(job, network, criterion, {})


def _timed(work: Callable[[], object]) -> Seconds:
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


class _Peer:
    """Keras in a process of its own, which waits between its steps."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._answer() != "ready":
            sys.exit(f"{command[0]} does not run {PEER}")

    def step(self) -> Seconds:
        """One step of Keras's."""
        assert self._process.stdin
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        wall, cpu = self._answer().split()
        return float(wall), float(cpu)

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    main()
