"""4×4 convolutions of stride 2 with a third of the multiplications, for batches of small pictures on CPUs.

Such a convolution is four of 2×2 and stride 1, one for each phase of the even and odd rows and columns, and
Winograd's F(7×7, 2×2) (Lavin & Gray, arXiv 1509.09308) makes 49 positions of it with 64 products a channel
pair instead of 196. A picture is one tile. Transform, products and transform back are matrix products, which
run at the machine's full rate. Forward and backward take 0.7 of direct convolution's time; an error is 3e-5
of the largest value, where direct convolution has 1e-6 and bfloat16 4e-3.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from brushwork.encoders import winograd

KERNEL, STRIDE = 4, 2
LARGEST = 7  # positions along the result; it takes all the points below, which are what float32 bears
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # and infinity
LEAST_CHANNELS = 64  # below, moving the tiles costs what products save
CHUNK = 128  # pictures at a time: enough to reuse the kernels, few enough for the cache; 64 is as fast


def suits(layer: nn.Conv2d, x: Tensor) -> bool:
    """Whether this is faster: a 4×4 kernel of stride 2, square pictures, small and with many channels."""
    return (
        layer.kernel_size == (KERNEL, KERNEL)
        and layer.stride == (STRIDE, STRIDE)
        and min(layer.weight.shape[:2]) >= LEAST_CHANNELS
        and x.shape[-1] == x.shape[-2]
        and _halved(x.shape[-1]) <= LARGEST
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """conv2d(x (N, C, h, h), weight (K, C, 4, 4), bias (K,), stride=2), "same": to (N, K, ⌈h/2⌉, ⌈h/2⌉)."""
    (features, channels), size = weight.shape[:2], _halved(x.shape[-1])
    # (K, C, row, its phase, column, its phase) to (row, column; phases, C, K)
    taps = weight.reshape(features, channels, 2, STRIDE, 2, STRIDE).permute(2, 4, 3, 5, 1, 0)
    matrix = _matrices(size, weight.dtype).kernel
    kernels = (matrix @ taps.reshape(4, -1)).view(-1, STRIDE**2 * channels, features)
    return _Winograd.apply(x, kernels, bias)  # pyright: ignore[reportReturnType]


class _Winograd(torch.autograd.Function):
    """Of kernels (points², 4·C, K). The backward pass is the adjoint of each of the three products."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, kernels)
        found = _empty(len(x), kernels.shape[2], _halved(x.shape[-1]), x.dtype)
        bench = _Bench(x.shape[-1], x.dtype)
        for pictures, results in _chunks(x, found):
            bench.write_results(
                bench.product("results", bench.read_pictures(pictures), kernels), bias, results
            )
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:  # pyright: ignore
        x, kernels = ctx.saved_tensors
        _, needs_kernels, needs_bias = ctx.needs_input_grad
        of_x = _empty(len(x), x.shape[1], x.shape[2], x.dtype)
        of_kernels = torch.zeros_like(kernels) if needs_kernels else None
        bench, turned = _Bench(x.shape[-1], x.dtype), kernels.mT.contiguous()
        for pictures, results, of_pictures in _chunks(x, gradient, of_x):
            products = bench.read_results(results)
            if of_kernels is not None:
                of_kernels.baddbmm_(bench.read_pictures(pictures).mT, products)
            bench.write_pictures(bench.product("pictures", products, turned), of_pictures)
        return of_x, of_kernels, gradient.sum((0, 2, 3)) if needs_bias else None


def _halved(side: int) -> int:
    return -(-side // STRIDE)


def _empty(count: int, channels: int, side: int, dtype: torch.dtype) -> Tensor:
    return torch.empty((count, channels, side, side), dtype=dtype, memory_format=torch.channels_last)


def _chunks(*batches: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some pictures (n, h, h, C) of each batch (N, C, h, h) at a time."""
    return zip(*(batch.permute(0, 2, 3, 1).split(CHUNK) for batch in batches), strict=True)


class _Matrices(NamedTuple):
    """Of both axes at once, for flattened tiles: how positions become the products' points."""

    pictures: Tensor  # (points², points²), a picture's positions being 2×2 pixels
    results: Tensor  # (points², size²)
    kernel: Tensor  # (points², 4)


@cache
def _matrices(size: int, dtype: torch.dtype) -> _Matrices:
    pictures, results, kernel = winograd.transforms(POINTS[:size], size, STRIDE)
    return _Matrices(
        *(torch.kron(each, each).to(dtype) for each in (pictures, results.T.contiguous(), kernel))
    )


class _Bench:
    """The transforms of chunks, in memory that is used again: with new pages they took twice the time."""

    def __init__(self, side: int, dtype: torch.dtype) -> None:
        self._size, self._dtype = _halved(side), dtype
        self._matrices, self._places = _matrices(self._size, dtype), _places(side)
        self._used = dict[tuple[str, tuple[int, ...]], Tensor]()

    def read_pictures(self, pictures: Tensor) -> Tensor:
        """Pictures (n, h, h, C) at the points: (points², n, 4·C)."""
        tiles = self._tiles("gathered", pictures)
        for place, pixels in self._places:
            tiles[place] = pictures[pixels].permute(1, 2, 0, 3)
        values = self._multiply("pictures", self._matrices.pictures, tiles)
        return values.view(len(values), len(pictures), -1)

    def write_pictures(self, values: Tensor, pictures: Tensor) -> None:
        """The adjoint of ``read_pictures``."""
        tiles = self._tiles("scattered", pictures)
        torch.mm(self._matrices.pictures.T, values.flatten(1), out=tiles.view(len(values), -1))
        for place, pixels in self._places:
            pictures[pixels] = tiles[place].permute(2, 0, 1, 3)

    def read_results(self, results: Tensor) -> Tensor:
        """Gradients (n, size, size, K) at the points: (points², n, K)."""
        tiles = self._scratch("turned", self._size, self._size, len(results), results.shape[3])
        values = self._multiply("results", self._matrices.results, tiles.copy_(results.permute(1, 2, 0, 3)))
        return values.view(len(values), len(results), -1)

    def write_results(self, values: Tensor, bias: Tensor, results: Tensor) -> None:
        """The adjoint of ``read_results``, and a bias (K,)."""
        tiles = self._multiply("turned", self._matrices.results.T, values)
        torch.add(
            tiles.view(self._size, self._size, *values.shape[1:]).permute(2, 0, 1, 3), bias, out=results
        )

    def product(self, name: str, values: Tensor, kernels: Tensor) -> Tensor:
        """Each point's values (n, channels) times its kernels (channels, others)."""
        return torch.bmm(values, kernels, out=self._scratch(name, *values.shape[:2], kernels.shape[2]))

    def _multiply(self, name: str, matrix: Tensor, tiles: Tensor) -> Tensor:
        flat = tiles.view(matrix.shape[1], -1)
        return torch.mm(matrix, flat, out=self._scratch(name, len(matrix), flat.shape[1]))

    def _tiles(self, name: str, pictures: Tensor) -> Tensor:
        points = self._size + 1
        return self._scratch(name, points, points, len(pictures), STRIDE, STRIDE, pictures.shape[3])

    def _scratch(self, name: str, *shape: int) -> Tensor:
        """Zeros at first, which remain where no pixel goes; later what was left there."""
        if (name, shape) not in self._used:
            make = torch.zeros if name == "gathered" else torch.empty
            self._used[name, shape] = make(shape, dtype=self._dtype)
        return self._used[name, shape]


Place = tuple[slice | int, ...]


@cache
def _places(side: int) -> list[tuple[Place, Place]]:
    """Where pixels of pictures (n, h, h, C) go in tiles (points, points, n, phase, phase, C)."""
    found = list[tuple[Place, Place]]()
    for phases in itertools.product(range(STRIDE), repeat=2):
        (down, rows), (across, columns) = (_along(side, phase) for phase in phases)
        found.append(((down, across, slice(None), *phases), (slice(None), rows, columns)))
    return found


def _along(side: int, phase: int) -> tuple[slice, slice]:
    """Of one axis: positions and pixels of a phase. One pixel of padding comes before the first."""
    first = 1 - phase  # the pixel, and the position too
    return slice(first, first + len(range(first, side, STRIDE))), slice(first, side, STRIDE)
