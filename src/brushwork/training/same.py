"""Convolutions with TensorFlow's "same" padding, and its initial weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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
        larger = functional.conv_transpose2d(input, self.weight, self.bias, self.stride, crop)
        return larger[..., :height, :width]


def initialise(network: nn.Module) -> None:
    """Keras's initial weights: Glorot-uniform kernels, zero biases."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
