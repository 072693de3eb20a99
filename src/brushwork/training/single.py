"""Convolution to a single feature as one matrix product: what a picture's last layer is in grey.

Direct convolution fills one lane in sixteen for it. Here each pixel's channels are multiplied by the kernel's
taps at once, and the taps' planes are added up, each moved by its place in the kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 64  # pictures of 28×28 at a time: what stays in the cache


def suits(layer: nn.Conv2d) -> bool:
    """Whether this is faster: one feature, stride 1, a kernel with a middle."""
    (height, width), stride = layer.kernel_size, layer.stride
    return layer.out_channels == 1 and stride == (1, 1) and height == width and height % 2 == 1


def convolve(x: Tensor, weight: Tensor) -> Tensor:
    """conv2d(x (N, C, h, w), weight (1, C, k, k), padding=k//2), k odd: to (N, 1, h, w)."""
    return _Single.apply(x, weight)  # pyright: ignore[reportReturnType]


class _Single(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        kernel, (count, _, height, width) = weight.shape[-1], x.shape
        taps = _taps(weight)
        found = x.new_zeros(count, height + kernel - 1, width + kernel - 1)
        for features, sums in zip(x.split(CHUNK), found.split(CHUNK), strict=True):
            planes = (taps @ _rows(features).T).view(-1, len(features), height, width)
            for plane, place in zip(planes, _moved(sums, kernel), strict=True):
                place += plane
        margin = kernel // 2
        return found[:, None, margin : margin + height, margin : margin + width].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore
        x, weight = ctx.saved_tensors
        kernel, taps = weight.shape[-1], _taps(weight)
        of_x = torch.empty_like(x, memory_format=torch.channels_last)
        of_taps = torch.zeros_like(taps)
        padded = functional.pad(gradient[:, 0], [kernel // 2] * 4)
        for features, sums, found in zip(x.split(CHUNK), padded.split(CHUNK), of_x.split(CHUNK), strict=True):
            planes = torch.stack(list(_moved(sums, kernel))).flatten(1)
            of_taps.addmm_(planes, _rows(features))
            torch.mm(planes.T, taps, out=_rows(found))
        return of_x, of_taps.T.reshape(weight.shape)


def _taps(weight: Tensor) -> Tensor:
    """(1, C, k, k) as (k², C)."""
    return weight[0].flatten(1).T.contiguous()


def _rows(x: Tensor) -> Tensor:
    """(n, C, h, w) as (n·h·w, C); a view where channels lie side by side."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _moved(sums: Tensor, kernel: int) -> Iterator[Tensor]:
    """Of padded planes (n, h + k - 1, w + k - 1) the part (n, h, w) that each tap reads from the output."""
    height, width = (side - kernel + 1 for side in sums.shape[1:])
    for row, column in itertools.product(reversed(range(kernel)), repeat=2):
        yield sums[:, row : row + height, column : column + width]
