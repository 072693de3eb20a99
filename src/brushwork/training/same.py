"""Convolutions with TensorFlow's "same" padding, and its initial weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from brushwork.training import halving, single

Pair = tuple[int, int]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """How much "same" adds before and after ``size`` positions: the odd one goes after.

    The result has ⌈size/stride⌉ positions (TensorFlow, ``tf.nn`` notes on padding).
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution (N, C, h, w) to (N, C', ⌈h/stride⌉, ⌈w/stride⌉)."""

    def __init__(self, channels: int, features: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, features, kernel, stride)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        if self.bias is not None and _has_other_ways(input):
            if halving.suits(self, input):
                return halving.convolve(input, self.weight, self.bias)
            if single.suits(self):
                return single.convolve(input, self.weight) + self.bias
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        top, bottom = same_padding(input.shape[-2], kernel, stride)
        left, right = same_padding(input.shape[-1], kernel, stride)
        if (bottom, right) != (top, left):  # the convolution itself pads both sides alike
            input = functional.pad(input, (0, right - left, 0, bottom - top))
        return functional.conv2d(input, self.weight, self.bias, self.stride, (top, left))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """The gradient of a "same" convolution: (N, C, h, w) to (N, C', h·stride, w·stride)."""

    def __init__(self, channels: int, features: int, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, features, kernel, stride)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve, transposed; what the forward convolution had padded is cropped."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (stride * side for side in input.shape[-2:])
        crop = same_padding(height, kernel, stride)[0], same_padding(width, kernel, stride)[0]
        # Cropped alike on both sides; what is still too much lies after.
        if input.device.type == "cpu":
            size = (height, width)
            return _Transposed.apply(*_lowered(input, self.weight, self.bias), stride, crop, size)  # pyright: ignore
        larger = functional.conv_transpose2d(input, self.weight, self.bias, self.stride, crop)
        return larger[..., :height, :width]


def _has_other_ways(x: Tensor) -> bool:
    """Whether convolutions of this may leave the library's way: float32 on a CPU, as it is."""
    return x.dtype == torch.float32 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def _lowered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """As autocast would hand them to the library."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    return tuple(each.to(torch.get_autocast_dtype("cpu")) for each in tensors)


class _Transposed(torch.autograd.Function):
    """conv_transpose2d whose gradient of the bias is a plain sum.

    On CPUs the library's own takes as long as those of input and weights together.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, crop: Pair, size: Pair
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = (stride, stride), crop, (1, 1), True, (0, 0), 1
        larger = torch.convolution(x, weight, bias, *ctx.how)
        ctx.cut = larger.shape[-1] - size[1], larger.shape[-2] - size[0]
        return larger[..., : size[0], : size[1]] if any(ctx.cut) else larger

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        right, bottom = ctx.cut
        whole = functional.pad(gradient, (0, right, 0, bottom)) if any(ctx.cut) else gradient
        needed = [*ctx.needs_input_grad[:2], False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            whole, *ctx.saved_tensors, None, *ctx.how, needed
        )
        return of_x, of_weight, gradient.sum((0, 2, 3)), None, None, None


def initialise(network: nn.Module) -> None:
    """Keras's initial weights: Glorot-uniform kernels, zero biases."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
