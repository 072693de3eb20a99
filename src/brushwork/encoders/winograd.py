"""3×3 convolution with a third of the multiplications: Winograd's F(4×4, 3×3) on CPUs.

Lavin & Gray, arXiv 1509.09308: a 6×6 tile of input gives a 4×4 tile of output with 36 products a channel
pair instead of 144. The tiles become three matrix products (transform, 36 batched products, transform
back), all of which the machine's own BLAS runs at its full rate. Forward and backward take 0.4 (512
channels) to 0.75 (64 to 128; in bfloat16 0.85) of direct convolution's time on AVX-512. A layer's relative
error is 2e-7 to 6e-7 in float32 and 4e-3 to 7e-3 in bfloat16, where direct convolution has 2e-3; an
objective's whole gradient is 8 to 10 % off float32's instead of 6 to 8 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brushwork.encoders.convolution import Padding

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity; with 2 instead of ½ an error is 1.4 times as large
TILE, STRIDE = 6, 4  # an input tile of 6×6 begins every 4 pixels
EVERYWHERE = 7  # the position, (1, 1) of 6×6, that the output's transform adds to all of a tile
LEAST_CHANNELS = (64, 128)  # smaller and larger side; below, moving the tiles costs what products save
LARGEST_COPIED = 256 * 512  # channels times features; copies of the largest take more memory than time
LEAST_POSITIONS = 256  # below, reading the four times larger weights does


def suits(weight: Tensor, x: Tensor) -> bool:
    """Whether this convolution is faster here: on a CPU, many channels and positions."""
    return (
        x.dtype in (torch.float32, torch.bfloat16)
        and x.device.type == "cpu"
        and tuple(sorted(weight.shape[:2])) >= LEAST_CHANNELS
        and x.shape[-2] * x.shape[-1] >= LEAST_POSITIONS
        and x.shape[-1] > 1  # `_sides` are two columns
    )


class Kernels(NamedTuple):
    """The 36 matrices that multiply transformed tiles, and those that multiply their gradients."""

    matrices: Tensor  # (36, C, K)
    turned: Tensor  # (36, K, C)


def transform(weight: Tensor, dtype: torch.dtype = torch.float32) -> Kernels:
    """A layer's kernels (K, C, 3, 3) for ``convolve`` of features of this type."""
    # In float64 this took a second of every start and changed nothing that can be measured.
    flat = weight.float().permute(2, 3, 1, 0).flatten(2).flatten(0, 1)
    kernel = _matrices(torch.float32).kernel
    matrices = (kernel @ flat).view(TILE**2, weight.shape[1], weight.shape[0]).to(dtype)
    # Products with matrices that only appear turned take a fifth longer; the largest would be 150 MB more.
    is_small = matrices[0].numel() <= LARGEST_COPIED
    return Kernels(matrices, matrices.mT.contiguous() if is_small else matrices.mT)


def convolve(x: Tensor, kernels: Kernels, bias: Tensor, *, padding: Padding = "zeros") -> Tensor:
    """relu(conv2d(x, weight, bias)) of (N, C, H, W), padded by one; ``kernels`` by ``transform``."""
    return _WinogradReLU.apply(x, kernels, bias, padding)  # pyright: ignore[reportReturnType]


class _WinogradReLU(torch.autograd.Function):
    """Strip by strip; the backward pass is the adjoint of each of the three products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Kernels, bias: Tensor, padding: Padding) -> Tensor:
        matrices = kernels.matrices
        height, width = x.shape[-2:]
        found = _empty_like(x, matrices.shape[2], height, width)
        before, after, _ = _matrices(x.dtype)
        # A strip at a time, which stays in the cache: padding and cropping all of it took 15 % of the time.
        across, strips = _strips(height, width, matrices)
        rows = strips[0][1] * STRIDE
        padded = x.new_empty(rows + 2, across * STRIDE + 2, x.shape[1])
        for margin in (padded[:, 0], padded[:, width + 1 :]):
            margin.zero_()
        done = x.new_empty(rows, across * STRIDE, matrices.shape[2])
        for rows_in, rows_out in zip(_rows(x), _rows(found), strict=True):
            padded[0].zero_()
            for first, count in strips:
                _fill(padded, rows_in, first - 1)
                if padding != "zeros":
                    _extend(padded, rows_in, first - 1, wrap=padding == "wrap")
                tiles = _tiles(padded, count, across, TILE).reshape(TILE**2, -1, x.shape[1])
                output = _apply(before, tiles, matrices, after, bias)
                place = _tiles(done, count, across, STRIDE)
                torch.clamp_min(output.view_as(place), 0, out=place)
                mine = rows_out[first : first + count * STRIDE]
                mine.copy_(done[: len(mine), :width])
        ctx.save_for_backward(found)
        ctx.turned, ctx.shape, ctx.padding = kernels.turned, x.shape, padding
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore
        (features,) = ctx.saved_tensors
        _, channels, height, width = ctx.shape
        matrices: Tensor = ctx.turned
        found = _empty_like(features, channels, height, width)
        after, before = (matrix.T for matrix in _matrices(features.dtype)[:2])
        across, strips = _strips(height, width, matrices)
        rows = strips[0][1] * STRIDE
        masked = features.new_empty(rows, across * STRIDE, matrices.shape[1])
        masked[:, width:].zero_()
        added = features.new_empty(rows + 2, across * STRIDE + 2, channels)
        for *rows_in, rows_out in zip(_rows(gradient), _rows(features), _rows(found), strict=True):
            added[:2].zero_()
            for first, count in strips:
                mine, theirs = (each[first : first + count * STRIDE] for each in rows_in)
                place = masked[: len(mine), :width]
                torch.ops.aten.threshold_backward.grad_input(mine, theirs, 0, grad_input=place)
                masked[len(mine) :].zero_()
                tiles = _tiles(masked, count, across, STRIDE).reshape(STRIDE**2, -1, matrices.shape[1])
                output = _apply(before, tiles, matrices, after)
                _overlap_add(added, output.view(TILE, TILE, count, across, channels))
                if ctx.padding != "zeros":
                    _gather(added, rows_out, first - 1, count * STRIDE, wrap=ctx.padding == "wrap")
                _empty(added, rows_out, first - 1, count * STRIDE)
        return found, None, None, None


def _empty_like(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """(N, C, H, W) whose strides say channels-last: of a turned (N, H, W, C) pooling would make a copy."""
    shape = (len(x), channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) as (N, H, W, C) with channels side by side; a copy only where they are not."""
    rows = x.permute(0, 2, 3, 1)
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _fill(strip: Tensor, rows: Tensor, first: int) -> None:
    """Write the rows of (H, W, C) from ``first``, -1 or later, into a strip between its zeros."""
    height, width, _ = rows.shape
    begin, end = max(first, 0), min(first + len(strip), height)
    strip[begin - first : end - first, 1 : width + 1] = rows[begin:end]
    strip[end - first :].zero_()


def _extend(strip: Tensor, rows: Tensor, first: int, *, wrap: bool) -> None:
    """Let (H, W, C) go on beyond its edges in a strip from its row ``first`` on, or begin anew there."""
    height, width, _ = rows.shape
    inner, ends = strip[:, 1 : width + 1], (-1, 0) if wrap else (0, -1)
    if first < 0:
        inner[0] = rows[ends[0]]
    if first + len(strip) > height:
        inner[height - first] = rows[ends[1]]
    outside, inside = _sides(strip, width)
    outside.copy_(inside.flip(1) if wrap else inside)


def _gather(strip: Tensor, rows: Tensor, first: int, done: int, *, wrap: bool) -> None:
    """The adjoint of ``_extend``, of the rows that are ``done``; the next strip's first two come with it."""
    height, width, _ = rows.shape
    below, is_last = height - first, first + 1 + done >= height
    outside, inside = _sides(strip[: below + 1 if is_last else done], width)
    inside.add_(outside.flip(1) if wrap else outside)
    inner = strip[:, 1 : width + 1]
    if first < 0 and wrap:
        rows[-1] = inner[0]  # where it waits for the last strip
    elif first < 0:
        inner[1] += inner[0]
    if is_last and wrap:
        inner[below - 1] += rows[-1]
        (inner[1] if first < 0 else rows[0]).add_(inner[below])
    elif is_last:
        inner[below - 1] += inner[below]


def _sides(strip: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The columns to the left and right of a picture, and its first and last; views (rows, 2, C)."""
    return strip[:, : width + 2 : width + 1], strip[:, 1 : width + 1 : width - 1]


def _empty(strip: Tensor, rows: Tensor, first: int, done: int) -> None:
    """Move ``done`` rows of a strip into (H, W, C) from ``first``; two more are the next one's first."""
    height, width, _ = rows.shape
    is_last = first + 1 + done >= height
    begin, end = max(first, 0), height if is_last else first + done
    rows[begin:end] = strip[begin - first : end - first, 1 : width + 1]
    strip[:2] = strip[done : done + 2]


class _Matrices(NamedTuple):
    """The transforms of both axes at once, of flattened tiles. The first two are exact in bfloat16 too."""

    input: Tensor  # (36, 36)
    output: Tensor  # (16, 36)
    kernel: Tensor  # (36, 9)


@cache
def _matrices(dtype: torch.dtype) -> _Matrices:
    return _Matrices(*(torch.kron(each, each).to(dtype) for each in transforms(POINTS, STRIDE, 3)))


def transforms(points: Sequence[float], outputs: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The matrices of F(outputs, taps) along one axis, float64.

    Of input (n, n), output (outputs, n) and kernel (n, taps). By Toom and Cook: polynomials are multiplied by
    multiplying their values at the ``outputs + taps - 2`` points and at infinity, n in all. Divisions are in
    the kernel's alone, so that the other two are as short as the points.
    """
    others = [np.delete(points, i) for i in range(len(points))]
    products = [np.atleast_1d(np.poly(rest))[::-1] for rest in (*others, points)]
    inputs = np.stack([np.pad(row, (0, len(points) + 1 - len(row))) for row in products])
    sizes = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])

    def values(terms: int, factors: np.ndarray) -> np.ndarray:
        rows = np.vander(points, terms, increasing=True) * factors[:, None]
        return np.vstack([rows, np.eye(terms)[-1:]])  # at infinity only the last coefficient counts

    each = inputs, values(outputs, np.ones(len(points))).T.copy(), values(taps, 1 / sizes)
    return tuple(map(torch.from_numpy, each))  # pyright: ignore[reportReturnType]


def _strips(height: int, width: int, matrices: Tensor) -> tuple[int, list[tuple[int, int]]]:
    """Tiles in a row, and the strips: their first row of pixels and how many rows of tiles.

    These are enough to reuse the weights, few enough for the cache: of bfloat16 twice as many.
    """
    down, across = math.ceil(height / STRIDE), math.ceil(width / STRIDE)
    tiles = 3.2 * max(matrices.shape[1:]) / matrices.element_size()
    rows = max(1, round(tiles / across))
    return across, [(first * STRIDE, min(rows, down - first)) for first in range(0, down, rows)]


def _tiles(strip: Tensor, count: int, across: int, side: int) -> Tensor:
    """The tiles (side, side, count, across, C), every STRIDE pixels, of a strip (H, W, C); a view."""
    row, column, _ = strip.stride()
    shape = (side, side, count, across, strip.shape[2])
    return strip.as_strided(shape, (row, column, STRIDE * row, STRIDE * column, 1))


def _apply(
    before: Tensor, tiles: Tensor, matrices: Tensor, after: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Transform (a, n, C) tiles, multiply each of the 36 positions by its matrix, transform back."""
    positions, channels = tiles.shape[1], matrices.shape[2]
    transformed = (before @ tiles.flatten(1)).view(TILE**2, positions, -1)
    products = torch.bmm(transformed, matrices)
    if bias is not None:
        products[EVERYWHERE] += bias
    return after @ products.view(TILE**2, positions * channels)


def _overlap_add(strip: Tensor, tiles: Tensor) -> None:
    """Add up tiles (6, 6, count, across, C), every STRIDE pixels, after a strip's first two rows.

    Neighbours overlap by two pixels; within each of the four parts none do, so each part is one addition.
    """
    _, _, count, across, channels = tiles.shape
    row, column, _ = strip.stride()
    begun = strip[:2].clone()
    for top, tall in ((0, STRIDE), (STRIDE, TILE - STRIDE)):
        for left, wide in ((0, STRIDE), (STRIDE, TILE - STRIDE)):
            part = strip.as_strided(
                (tall, wide, count, across, channels),
                (row, column, STRIDE * row, STRIDE * column, 1),
                top * row + left * column,
            )
            if top or left:
                part.add_(tiles[top : top + tall, left : left + wide])
                continue
            part.copy_(tiles[:STRIDE, :STRIDE])
            strip[count * STRIDE :].zero_()
            strip[:, across * STRIDE :].zero_()
            strip[:2].add_(begun)
