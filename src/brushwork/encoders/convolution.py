"""Convolution with its ReLU, and forks, whose gradients are written where they lie.

Autograd makes a new tensor for every ReLU's and every addition's gradient; at 512² those are 67 MB each in
block 1. Here they are changed in place, which is safe for gradients that this network itself has made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Padding = Literal["zeros", "repeat", "wrap"]
"""What lies beyond an edge: zeros, the edge itself, or the opposite side."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor, *, padding: int) -> Tensor:
    """relu(conv2d(x, weight, bias, padding=padding)) of (N, C, H, W); weight and bias get no gradient.

    The gradient that comes back is changed in place: ``fork`` the result for whoever else may see it.
    """
    return _ConvolutionReLU.apply(x, weight, bias, padding)  # pyright: ignore[reportReturnType]


def fork(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same features twice: for whoever asked for them, and for the next layer.

    Their gradients are added into the second, which that layer must have made itself.
    """
    return _Fork.apply(x)  # pyright: ignore[reportReturnType]


def tap(x: Tensor, pull: Callable[[Tensor, Tensor], None]) -> Tensor:
    """The same features; on the way back ``pull(features, gradient)`` adds to their gradient, in place."""
    return _Tap.apply(x, pull)  # pyright: ignore[reportReturnType]


def framed(x: Tensor, *, wrap: bool = False) -> Tensor:
    """(N, C, H, W) with its own edge around it, or with ``wrap`` the opposite one: (N, C, H + 2, W + 2).

    In channels-last memory. The gradient that comes back is changed in place. On a GPU that of torch's
    "replicate" adds up a corner's four parts in any order: no two runs of a job were the same.
    """
    return _Framed.apply(x, wrap)  # pyright: ignore[reportReturnType]


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    if x.is_cuda and x.dtype == torch.bfloat16 and not torch.version.hip:
        # One kernel: adding the bias and the ReLU were two more passes over memory, a tenth of an evaluation.
        # Not in float32, where older GPUs may have none and cuDNN cannot be told to be deterministic here.
        return torch.cudnn_convolution_relu(x, weight, bias, [1, 1], [padding] * 2, [1, 1], 1)
    return F.relu_(F.conv2d(x, weight, bias, padding=padding))


class _ConvolutionReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        result = _convolved(x, weight, bias, padding)
        # On a CPU only the shape of x is looked at: framed features need not stay in memory.
        is_needed = padding or x.device.type != "cpu"
        ctx.save_for_backward(x if is_needed else x.new_empty(1).expand(x.shape), weight, result)
        ctx.padding = [padding, padding]
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore
        x, weight, result = ctx.saved_tensors
        if gradient.stride() == result.stride():
            masked = torch.ops.aten.threshold_backward.grad_input(gradient, result, 0, grad_input=gradient)
        else:
            masked = torch.ops.aten.threshold_backward(gradient, result, 0)
        one = [1, 1]
        found, _, _ = torch.ops.aten.convolution_backward(
            masked, x, weight, None, one, ctx.padding, one, False, [0, 0], 1, [True, False, False]
        )
        return found, None, None, None


class _Framed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wrap: bool) -> Tensor:
        ctx.wrap = wrap
        count, channels, height, width = x.shape
        shape = (count, channels, height + 2, width + 2)
        found = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        inner = found[..., 1:-1, :]
        inner[..., 1:-1] = x
        sides = x[..., :: max(width - 1, 1)]  # both at once
        inner[..., :: width + 1] = sides.flip(-1) if wrap else sides
        ends = inner[..., :: max(height - 1, 1), :]
        found[..., :: height + 1, :] = ends.flip(-2) if wrap else ends
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        first, last = (-2, 1) if ctx.wrap else (1, -2)  # whose copies stand before and after all
        gradient[..., first, :] += gradient[..., 0, :]
        gradient[..., last, :] += gradient[..., -1, :]
        gradient[..., first] += gradient[..., 0]
        gradient[..., last] += gradient[..., -1]
        return gradient[..., 1:-1, 1:-1].contiguous(memory_format=torch.channels_last), None


class _Fork(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        # Not view_as, which gives one picture's features another first stride: cuDNN then copies gradients.
        return x.detach(), x.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, asked: Tensor | None, onward: Tensor | None) -> Tensor | None:  # pyright: ignore
        if asked is None or onward is None:
            return onward if asked is None else asked.clone()  # the caller's own must not be changed
        return onward.add_(asked)


class _Tap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, pull: Callable[[Tensor, Tensor], None]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.pull = pull
        return x.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore
        (x,) = ctx.saved_tensors
        ctx.pull(x, gradient)
        return gradient, None
