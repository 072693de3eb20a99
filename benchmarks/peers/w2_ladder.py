"""The W2 ladder: the best published optimisation before Brushwork, as its author's settings have it.

    python benchmarks/peers/w2_ladder.py PHOTO ART OUT.png [--size 512] [--device cuda]

After the settings of crowsonkb's style transfer (W2 style loss, arXiv-less; our own code): VGG19, first
convolution replicate-padded, max pooling, style layers weighted 256:64:16:4:1, content relu4_2 at 0.015,
nine-point total variation at 2; sizes √2 apart from 128, 1000 steps at the first and 500 at each later one,
Adam 0.02 (0.9, 0.99), clamped, moments carried over, and an averaged picture as result and next start.
The network is the installed VGG19; its features are divided by 255·0.226 so that their scale is that of
a network whose input is normalised by ImageNet's deviation, as the weights of the terms expect.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from brushwork.context import keep_freed_memory
from brushwork.encode import to_image
from brushwork.encoders.vgg19 import LAYERS
from brushwork.images import read_picture
from brushwork.optimize.recorded import Recorded
from brushwork.weights import load_weights

STYLE = {"block1_conv1": 256, "block2_conv1": 64, "block3_conv1": 16, "block4_conv1": 4, "block5_conv1": 1}
CONTENT, CONTENT_WEIGHT, TV_WEIGHT = "block4_conv2", 0.015, 2.0
SCALE = 255 * 0.226
ROOT_STEPS = 12


class Network:
    """VGG19 to block5_conv1 with the first convolution replicate-padded."""

    def __init__(self, device: torch.device) -> None:
        weights = load_weights()
        self.mean = torch.tensor(weights.mean, device=device).view(1, 3, 1, 1)
        last = torch.channels_last
        self.kernels = {
            n: (w.to(device, memory_format=last), b.to(device)) for n, (w, b) in weights.convolutions.items()
        }

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """All that the losses need, (C, h, w) each, in the scale of a normalised network."""
        x, found = (image - self.mean).contiguous(memory_format=torch.channels_last), {}
        for name in LAYERS[: LAYERS.index("block5_conv1") + 1]:
            if name.endswith("pool"):
                x = F.max_pool2d(x, 2)
                continue
            weight, bias = self.kernels[name]
            if name == "block1_conv1":
                x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, bias))
            else:
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            if name in STYLE or name == CONTENT:
                found[name] = x[0] / SCALE
        return found


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of (C, h, w)."""
    matrix = features.flatten(1)
    mean = matrix.mean(1)
    return mean, matrix @ matrix.T / matrix.shape[1] - torch.outer(mean, mean)


def square_root(matrix: Tensor) -> Tensor:
    """Newton–Schulz, differentiated by autograd."""
    norm = matrix.square().sum().sqrt()
    eye = torch.eye(len(matrix), device=matrix.device)
    y, z = matrix / norm, eye
    for _ in range(ROOT_STEPS):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def w2(mine: tuple[Tensor, Tensor], mean: Tensor, covariance: Tensor, root: Tensor) -> Tensor:
    """Squared Wasserstein distance of two Gaussians over their channels."""
    eye = 1e-4 * torch.eye(len(mean), device=mean.device)
    cross = square_root(root @ (mine[1] + eye) @ root)
    distance = (mine[0] - mean).square().sum() + torch.trace(mine[1] + covariance + 2 * eye - 2 * cross)
    return distance / len(mean)


def variation(x: Tensor) -> Tensor:
    """Mean squares of the four differences to neighbours."""
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    here = x[..., :-1, :-1]
    right, down = x[..., :-1, 1:] - here, x[..., 1:, :-1] - here
    falling, rising = x[..., 1:, 1:] - here, x[..., 1:, :-1] - x[..., :-1, 1:]
    squares = [d.square().mean() for d in (right, down, falling, rising)]
    return 2 * (squares[0] / 3 + squares[1] / 3 + squares[2] / 12 + squares[3] / 12)


def fitted(image: Tensor, longest: int, *, up: bool) -> tuple[int, int]:
    """Height and width with this long side."""
    height, width = image.shape[-2:]
    factor = longest / max(height, width)
    factor = factor if up else min(1.0, factor)
    return round(height * factor), round(width * factor)


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, antialiased when it shrinks."""
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def sizes(end: int) -> list[int]:
    """Long sides √2 apart, from 128."""
    found = [end]
    while (smaller := round(end / 2 ** (len(found) / 2))) >= 128:
        found.append(smaller)
    return found[::-1]


def evaluated(
    network: Network, kept: Tensor, targets: dict[str, tuple[Tensor, Tensor, Tensor]], image: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient and the loss at a picture."""
    x = image.detach().requires_grad_()
    found = network.features(x)
    loss = CONTENT_WEIGHT * (found[CONTENT] - kept).square().mean() + TV_WEIGHT * variation(x)
    for name, weight in STYLE.items():
        loss = loss + weight / sum(STYLE.values()) * w2(moments(found[name]), *targets[name])
    return torch.autograd.grad(loss, x)[0], loss.detach()


def paint(photo: Tensor, painting: Tensor, end: int, share: float) -> Tensor:
    """The whole ladder; ``share`` shortens it for a trial."""
    network, image, first, second, step = Network(photo.device), None, None, None, 0
    for rung, longest in enumerate(sizes(end)):
        size = fitted(photo, longest, up=True)
        with torch.no_grad():
            kept = network.features(resized(photo, size))[CONTENT]
            seen = network.features(resized(painting, fitted(painting, longest, up=False)))
            targets: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
            for name in STYLE:
                mean, covariance = moments(seen[name])
                eye = torch.eye(len(mean), device=mean.device)
                targets[name] = (mean, covariance, square_root(covariance + 1e-4 * eye))
        image = resized(photo if image is None else image, size)
        if first is None or second is None:
            first, second = torch.zeros_like(image), torch.zeros_like(image)
        else:
            first = F.interpolate(first, size, mode="bicubic")
            second = F.interpolate(second, size, mode="bilinear").relu()
        average, decay = torch.zeros_like(image), 1.0
        evaluate, recorded = partial(evaluated, network, kept, targets), Recorded()
        for _ in range(max(1, round(share * (500 if rung else 1000)))):
            gradient, _ = recorded(evaluate, image) if image.is_cuda else evaluate(image)
            step += 1
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient.square()
            move = first / (1 - 0.9**step) / ((second / (1 - 0.99**step)).sqrt() + 1e-8)
            image = (image - 0.02 * move).clamp(0, 1)
            average, decay = 0.99 * average + 0.01 * image, decay * 0.99
        image = average / (1 - decay)
    assert image is not None
    return image


def main() -> None:
    """Parse, paint, print the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo")
    parser.add_argument("art")
    parser.add_argument("out")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--share", type=float, default=1.0, help="fraction of the steps, for a trial")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()
    began = time.perf_counter()
    photo, painting = (read_picture(name).pixels.to(options.device) for name in (options.photo, options.art))
    to_image(paint(photo, painting, options.size, options.share).cpu()).save(Path(options.out))
    print(json.dumps({"peer": "w2 ladder", "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
