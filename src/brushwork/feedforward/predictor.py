"""From a painting to a style vector: MobileNetV2 (Sandler et al., arXiv 1801.04381) with a linear layer.

Batch normalisation is folded into the convolutions, as files for inference have it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

# Expansion, channels, repetitions and the first one's stride of each group of bottlenecks (table 2).
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: of an odd number of pixels the larger half is last."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, h, w) to (N, C', ⌈h/s⌉, ⌈w/s⌉)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        margins: list[int] = []
        for side in (input.shape[-1], input.shape[-2]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            margins += [total // 2, total - total // 2]
        padded = pad(input, margins) if any(margins) else input
        return conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; the input is added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = SameConv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = SameConv(wide, wide, 3, stride, groups=wide)
        self.project = SameConv(wide, outputs, 1)
        self.passes = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h', w')."""
        wide = x if self.expand is None else self.expand(x).clamp(0, 6)
        narrow = self.project(self.depthwise(wide).clamp(0, 6))
        return x + narrow if self.passes else narrow


class StylePredictor(nn.Module):
    """A painting (N, 3, H, W), RGB, 0..1, to its style vector (N, ``size``)."""

    def __init__(
        self,
        groups: Sequence[tuple[int, int, int, int]] = MOBILENET_V2,
        *,
        stem: int = 32,
        features: int = 1280,
        size: int = 100,
    ) -> None:
        super().__init__()
        self.stem = SameConv(3, stem, 3, 2)
        channels, blocks = stem, list[Bottleneck]()
        for expansion, outputs, repetitions, stride in groups:
            for index in range(repetitions):
                blocks.append(Bottleneck(channels, outputs, expansion, stride if index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.top = SameConv(channels, features, 1)
        self.vector = nn.Linear(features, size)

    def forward(self, painting: Tensor) -> Tensor:
        """The style vector, of a painting of any size; trained on squares of 256 pixels."""
        x = self.blocks(self.stem(painting).clamp(0, 6))
        return self.vector(self.top(x).clamp(0, 6).mean(dim=(-2, -1)))
