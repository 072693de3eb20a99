"""ArtFID's eye: an Inception-v3 trained on artworks, up to its pooled features.

The network is that of Szegedy et al., arXiv 1512.00567, with torchvision's names of layers; its weights are
those that Wright & Ommer, arXiv 2207.12280, published with their `art-fid` package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from brushwork.errors import InputError, WeightsError
from brushwork.weights import read_tensors

FEATURES = 2048
SMALLEST = 75  # pixels a side, so that the last blocks have a position left
REMEDY = (
    "give the network of the art-fid package, art_inception.pth from "
    "huggingface.co/matthias-wright/art_inception, as --artfid-weights FILE"
)
_EPSILON = 1e-3  # of the batch normalisation
# The published network tells artists and styles by two heads; an Inception-v3 of photos has one.
_HEADS = ("fc1.bias", "fc2.bias")


@dataclass(frozen=True)
class Conv:
    """A convolution without bias, then batch normalisation and ReLU."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    keeps_size: bool = True

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros above and below, left and right."""
        return (self.kernel[0] // 2, self.kernel[1] // 2) if self.keeps_size else (0, 0)


Step = Conv | Literal["average", "max"] | tuple[Conv, ...]
"""A convolution, a pooling over 3×3 ("average" keeps the size, "max" halves it), or convolutions of one input
whose outputs are joined.
"""
Block = tuple[tuple[Step, ...], ...]
"""Branches of one input, each a chain of steps; their outputs are joined."""


def _halving(name: str, outputs: int) -> Conv:
    return Conv(name, outputs, (3, 3), stride=2, keeps_size=False)


def _a(pooled: int) -> Block:
    return (
        (Conv("branch1x1", 64),),
        (Conv("branch5x5_1", 48), Conv("branch5x5_2", 64, (5, 5))),
        (
            Conv("branch3x3dbl_1", 64),
            Conv("branch3x3dbl_2", 96, (3, 3)),
            Conv("branch3x3dbl_3", 96, (3, 3)),
        ),
        ("average", Conv("branch_pool", pooled)),
    )


def _c(inner: int) -> Block:
    return (
        (Conv("branch1x1", 192),),
        (
            Conv("branch7x7_1", inner),
            Conv("branch7x7_2", inner, (1, 7)),
            Conv("branch7x7_3", 192, (7, 1)),
        ),
        (
            Conv("branch7x7dbl_1", inner),
            Conv("branch7x7dbl_2", inner, (7, 1)),
            Conv("branch7x7dbl_3", inner, (1, 7)),
            Conv("branch7x7dbl_4", inner, (7, 1)),
            Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        ("average", Conv("branch_pool", 192)),
    )


_E: Block = (
    (Conv("branch1x1", 320),),
    (
        Conv("branch3x3_1", 384),
        (Conv("branch3x3_2a", 384, (1, 3)), Conv("branch3x3_2b", 384, (3, 1))),
    ),
    (
        Conv("branch3x3dbl_1", 448),
        Conv("branch3x3dbl_2", 384, (3, 3)),
        (Conv("branch3x3dbl_3a", 384, (1, 3)), Conv("branch3x3dbl_3b", 384, (3, 1))),
    ),
    ("average", Conv("branch_pool", 192)),
)

LAST = "Mixed_7c."
BLOCKS: Mapping[str, Block] = {
    "": (
        (
            _halving("Conv2d_1a_3x3", 32),
            Conv("Conv2d_2a_3x3", 32, (3, 3), keeps_size=False),
            Conv("Conv2d_2b_3x3", 64, (3, 3)),
            "max",
            Conv("Conv2d_3b_1x1", 80),
            Conv("Conv2d_4a_3x3", 192, (3, 3), keeps_size=False),
            "max",
        ),
    ),
    "Mixed_5b.": _a(32),
    "Mixed_5c.": _a(64),
    "Mixed_5d.": _a(64),
    "Mixed_6a.": (
        (_halving("branch3x3", 384),),
        (Conv("branch3x3dbl_1", 64), Conv("branch3x3dbl_2", 96, (3, 3)), _halving("branch3x3dbl_3", 96)),
        ("max",),
    ),
    "Mixed_6b.": _c(128),
    "Mixed_6c.": _c(160),
    "Mixed_6d.": _c(160),
    "Mixed_6e.": _c(192),
    "Mixed_7a.": (
        (Conv("branch3x3_1", 192), _halving("branch3x3_2", 320)),
        (
            Conv("branch7x7x3_1", 192),
            Conv("branch7x7x3_2", 192, (1, 7)),
            Conv("branch7x7x3_3", 192, (7, 1)),
            _halving("branch7x7x3_4", 192),
        ),
        ("max",),
    ),
    "Mixed_7b.": _E,
    "Mixed_7c.": _E,
}
"""The network: blocks in order, by the prefix of their layers' names."""


class Inception:
    """The network with each batch normalisation folded into its convolution."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        """From a state dict. Raises KeyError for a layer that is missing, WeightsError for another shape."""
        self._layers = {name: _folded(tensors, name, shape) for name, shape in kernels()}

    @classmethod
    def load(cls, file: str | Path) -> Inception:
        """Read the published state dict. Raises WeightsError for any other file."""
        path = Path(file).expanduser()
        tensors = read_tensors(path, remedy=REMEDY)
        try:
            network = cls(tensors)
        except KeyError as error:
            raise WeightsError(f"{path}: no {error.args[0]} there, so no Inception-v3: {REMEDY}") from error
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}: {REMEDY}") from error
        if missing := [name for name in _HEADS if name not in tensors]:
            raise WeightsError(
                f"{path}: an Inception-v3, but without {' and '.join(missing)} it was not trained on "
                f"artworks: {REMEDY}"
            )
        return network

    @torch.no_grad()
    def features(self, picture: Tensor) -> Tensor:
        """Features (2048,) of a picture (1, 3, H, W), RGB, averaged over positions.

        The published code feeds the network 0..1 as it is, without mean or deviation, and does not resize.
        Raises InputError for a side below 75 pixels.
        """
        height, width = picture.shape[-2:]
        if min(height, width) < SMALLEST:
            raise InputError(f"{width}×{height} is too small for ArtFID: each side needs {SMALLEST} pixels")
        return features(self._layers, picture).mean((0, 2, 3))


Layers = Mapping[str, tuple[Tensor, Tensor]]
"""Weight and bias of each convolution, with the batch normalisation in them, by its name."""


def features(
    layers: Layers, picture: Tensor, last: str = LAST, *, ceiling: float = math.inf, counts_zeros: bool = True
) -> Tensor:
    """What the block ``last`` puts out, (1, C, h, w), for a picture (1, 3, H, W).

    ``ceiling`` is where ReLU ends. ``counts_zeros`` says whether zeros around a picture count in averages: in
    torchvision's network they do, in TensorFlow's not.
    """
    x = picture.contiguous(memory_format=torch.channels_last)

    def taken(prefix: str, x: Tensor, step: Step) -> Tensor:
        if step == "average":
            return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=counts_zeros)
        if step == "max":
            return F.max_pool2d(x, 3, stride=2)
        parts = [
            F.conv2d(x, *layers[prefix + conv.name], conv.stride, conv.padding) for conv in convolutions(step)
        ]
        return (torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]).clamp_(0, ceiling)

    for prefix, block in blocks(last):
        branches = [reduce(partial(taken, prefix), branch, x) for branch in block]
        x = torch.cat(branches, dim=1)
    return x


def blocks(last: str = LAST) -> Iterator[tuple[str, Block]]:
    """The blocks up to ``last``, each with its prefix."""
    for prefix, block in BLOCKS.items():
        yield prefix, block
        if prefix == last:
            return


def kernels(last: str = LAST) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Each convolution's name and the shape of its kernel, (outputs, inputs, rows, columns)."""
    inputs = 3
    for prefix, block in blocks(last):
        joined = 0
        for branch in block:
            channels = inputs
            for found in map(convolutions, branch):
                yield from ((prefix + c.name, (c.outputs, channels, *c.kernel)) for c in found)
                channels = sum(conv.outputs for conv in found) or channels
            joined += channels
        inputs = joined


def convolutions(step: Step) -> tuple[Conv, ...]:
    """Those of one step."""
    if isinstance(step, tuple):
        return step
    return (step,) if isinstance(step, Conv) else ()


def _folded(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A convolution's weight and bias that do what it and the batch normalisation after it did."""
    kernel = _of_shape(tensors, f"{name}.conv.weight", shape)
    scale, shift, mean, variance = (
        _of_shape(tensors, f"{name}.bn.{part}", shape[:1])
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / (variance + _EPSILON).sqrt()
    weight = (kernel * factor.view(-1, 1, 1, 1)).float().contiguous(memory_format=torch.channels_last)
    return weight, (shift - mean * factor).float()


def _of_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = tensors[name]
    if tuple(tensor.shape) != shape:
        raise WeightsError(f"{name} is {tuple(tensor.shape)}, not Inception-v3's {shape}")
    return tensor.double()
