"""A ``StyleNet`` made for speed: the same network, its full-size layers folded to half the size.

On a processor a convolution of few channels at full size wastes most of its arithmetic: 9×9 from 8 to 3
channels of 512×384 took 44 ms of one core, the same sums as 5×5 from 32 to 16 channels of 256×192 took 8.
So 2×2 pixels are laid side by side as channels ("space to depth"), and the kernels are rewritten for that:

- the first convolution and the one that halves its result work at half size;
- nearest-neighbour doubling and the convolution after it become one convolution before the doubling, four
  times as wide: each of the 2×2 pixels has a kernel of its own;
- the last convolution reads what the one before leaves at half size, and only the picture is full size.

Channels of folded features are ordered by pixel (top left, top right, bottom left, bottom right), then by
channel: in memory that is a picture of half the height and twice the width, whose normalisation is that of
the unfolded features. Everything is channels-last. Results are those of the network to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, pad, pixel_unshuffle

from brushwork.feedforward.kernels import doubling, folding, halving, kernel_of, staying
from brushwork.feedforward.stylenet import EPSILON, Moments, Norm, Stage, StyleNet
from brushwork.feedforward.sums import Sums

LATTICE = 4  # a picture's sides must be multiples of this
MANY = 1 << 20  # positions above which batch normalisation's own sums lose digits

Convolve = Callable[[Tensor], Tensor]
Affine = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class FoldedStage:
    """A stage whose convolution is made for the layout in which its input comes."""

    name: str  # that its moments go by
    convolve: Convolve
    channels: int  # of the unfolded features, with those that only fill up a register
    folded: bool  # whether 2×2 pixels are channels of what it puts out
    norm: Norm | None
    activation: str

    def finish(self, x: Tensor, affine: Affine | None, measured: Moments | None) -> Tensor:
        """Normalise, by what was measured elsewhere or by the features' own moments, and activate."""
        if affine is not None:
            flat = flattened(x, self.channels) if self.folded else x
            if measured is None and flat.shape[-2] * flat.shape[-1] > MANY:
                sums = Sums()
                sums.add(x, folded=self.folded)
                measured = sums.moments(x.dtype)
            mean, variance = (None, None) if measured is None else (part.flatten() for part in measured)
            # With one picture a batch's statistics are the instance's, and this is the fastest kernel.
            flat = batch_norm(flat, mean, variance, *affine, training=measured is None, eps=EPSILON)
            x = restored(flat, x) if self.folded else flat
        if self.activation == "relu":
            return x.relu_()
        return x.sigmoid_() if self.activation == "sigmoid" else x


class FoldedNet:
    """A network ready to paint, for one picture at a time; conditions are settled by ``affines``."""

    def __init__(self, network: StyleNet, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        settings = network.settings
        self.settings, self.device, self.dtype = settings, device, dtype

        def place(tensor: Tensor) -> Tensor:
            tensor = tensor.detach().to(device, dtype)
            return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

        stages = {name: stage for name, stage in network.named_modules() if isinstance(stage, Stage)}

        def folded(
            name: str, convolve: Convolve, *, folds: bool = False, channels: int | None = None
        ) -> FoldedStage:
            stage = stages[name]
            outputs = (stage.mix or stage.conv).out_channels
            return FoldedStage(name, convolve, channels or outputs, folds, stage.norm, stage.activation)

        down, up = [stages[f"down.{i}"] for i in range(3)], [stages[f"up.{i}"] for i in range(2)]
        self.encoder = [
            folded("down.0", _full_to_folded(down[0], place), folds=True),
            folded("down.1", _folded_to_half(down[1], place)),
            folded("down.2", _plain(down[2], place)),
        ]
        self.blocks = [
            tuple(
                folded(f"blocks.{i}.{part}", _plain(stages[f"blocks.{i}.{part}"], place))
                for part in ("first", "second")
            )
            for i in range(settings.blocks)
        ]
        self.decoder = [
            folded("up.0", _doubling(up[0], place), folds=True),
            folded("up.1", _doubling(up[1], place), folds=True),
            folded("last", _folded_to_full(network.last, place), folds=True, channels=4),
        ]

    @torch.no_grad()
    def affines(self, condition: Tensor | None) -> dict[str, Affine]:
        """γ and β of each normalisation under conditions (n); None for a network without."""
        found: dict[str, Affine] = {}
        for stage in (*self.encoder, *(s for block in self.blocks for s in block), *self.decoder):
            if stage.norm is not None:
                pair = stage.norm.affine(None if condition is None else condition[None])
                gamma, beta = (part.flatten() for part in pair)
                fill = stage.channels - len(gamma)  # the picture's fourth channel is nothing
                found[stage.name] = tuple(  # pyright: ignore[reportArgumentType]
                    pad(part, (0, fill)).to(self.device, self.dtype) for part in (gamma, beta)
                )
        return found

    @torch.no_grad()
    def paint(
        self, image: Tensor, affines: Mapping[str, Affine], measured: Mapping[str, Moments] | None = None
    ) -> Tensor:
        """A picture (1, 3, H, W), its sides multiples of ``LATTICE``, painted; float32.

        ``measured`` are the moments to normalise by, by stage; without them the picture's own.
        """
        x = self.encode(image, affines, measured)
        return self.decode(self.transform(x, affines, measured), affines, measured)

    def encode(
        self, image: Tensor, affines: Mapping[str, Affine], measured: Mapping[str, Moments] | None = None
    ) -> Tensor:
        """A picture (1, 3, H, W) to features of a quarter of its sides."""
        return run(self.encoder, self.prepared(image), affines, measured)

    def prepared(self, image: Tensor) -> Tensor:
        """A picture as the first stage takes it."""
        return image.to(self.device, self.dtype)

    def transform(
        self, x: Tensor, affines: Mapping[str, Affine], measured: Mapping[str, Moments] | None = None
    ) -> Tensor:
        """The blocks."""
        for block in self.blocks:
            x = run(block, x, affines, measured).add_(x)
        return x

    def decode(
        self, x: Tensor, affines: Mapping[str, Affine], measured: Mapping[str, Moments] | None = None
    ) -> Tensor:
        """Features of a quarter of the sides to the picture (1, 3, H, W), float32."""
        return self.picture(run(self.decoder, x, affines, measured))

    def picture(self, last: Tensor) -> Tensor:
        """What the last stage puts out, unfolded, in 0..1."""
        picture = unfolded(last, 4)[:, :3].float().contiguous()
        return picture.clamp_(0, 1) if self.settings.output == "linear" else picture


def run(
    stages: Sequence[FoldedStage],
    x: Tensor,
    affines: Mapping[str, Affine],
    measured: Mapping[str, Moments] | None,
) -> Tensor:
    """Features through some stages."""
    for stage in stages:
        moments = measured[stage.name] if measured and stage.norm is not None else None
        x = stage.finish(stage.convolve(x), affines.get(stage.name), moments)
    return x


# -------------------------------------------------------------------------------------------- layout


def flattened(x: Tensor, channels: int) -> Tensor:
    """Folded features (1, 4C, h, w), channels last, as (1, C, h, 4w): the same memory."""
    _, _, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(1, height, 4 * width, channels).permute(0, 3, 1, 2)


def restored(flat: Tensor, like: Tensor) -> Tensor:
    """What ``flattened`` made of features of that shape, turned back."""
    _, channels, height, width = like.shape
    return flat.permute(0, 2, 3, 1).reshape(1, height, width, channels).permute(0, 3, 1, 2)


def unfolded(x: Tensor, channels: int) -> Tensor:
    """Folded features (1, 4C, h, w) at their own size, (1, C, 2h, 2w), channels last."""
    _, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(height, width, 2, 2, channels)
    return pixels.transpose(1, 2).reshape(1, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def mirrored(x: Tensor, margin: int, channels: int) -> Tensor:
    """Folded features (1, 4C, h, w) with ``margin`` more on each side: the unfolded ones' reflection.

    Reflection about a pixel keeps odd rows odd, so each of the 2×2 pixels is filled from its own kind: the
    upper row's -j from j, the lower one's from j - 1.
    """
    _, _, height, width = x.shape
    out = x.new_empty(height + 2 * margin, width + 2 * margin, 2, 2, channels)
    out[margin : margin + height, margin : margin + width] = x.permute(0, 2, 3, 1).reshape(
        height, width, 2, 2, channels
    )
    columns = out.transpose(0, 1).transpose(2, 3)
    for lines, count in ((out, height), (columns, width)):
        for step in range(1, margin + 1):
            for odd in (0, 1):
                lines[margin - step, :, odd] = lines[margin + step - odd, :, odd]
                lines[margin + count - 1 + step, :, odd] = lines[margin + count - step - odd, :, odd]
    size = (1, height + 2 * margin, width + 2 * margin, 4 * channels)
    return out.reshape(size).permute(0, 3, 1, 2)


# ------------------------------------------------------------------------------------------- convolutions


def _plain(stage: Stage, place: Callable[[Tensor], Tensor]) -> Convolve:
    """A stage as it is, at one size in and out, or halving."""
    margin, stride = stage.kernel // 2, stage.stride
    if stage.mix is not None and stride == 1:  # kept apart, which is what depthwise is for
        first, second = place(stage.conv.weight), place(stage.mix.weight)
        return lambda x: conv2d(conv2d(pad(x, (margin,) * 4, "reflect"), first, groups=len(first)), second)
    kernel, bias = kernel_of(stage)
    weight, offset = place(kernel), None if bias is None else place(bias)
    return lambda x: conv2d(pad(x, (margin,) * 4, "reflect"), weight, offset, stride)


def _full_to_folded(stage: Stage, place: Callable[[Tensor], Tensor]) -> Convolve:
    """The first stage: a picture at full size to folded features."""
    kernel, bias = kernel_of(stage)
    margin = kernel.shape[-1] // 2
    # pixel_unshuffle counts the pixels of a colour first.
    made = folding(kernel).movedim(5, 3)
    weight = place(made.flatten(3, 5).flatten(0, 2))
    offset = None if bias is None else place(bias.repeat(4))

    def convolve(x: Tensor) -> Tensor:
        x = pixel_unshuffle(pad(x, (margin,) * 4, "reflect"), 2)
        return conv2d(x.contiguous(memory_format=torch.channels_last), weight, offset)

    return convolve


def _folded_to_half(stage: Stage, place: Callable[[Tensor], Tensor]) -> Convolve:
    """The second stage, which halves."""
    kernel, bias = kernel_of(stage)
    weight = place(halving(kernel).flatten(1, 3))
    offset = None if bias is None else place(bias)
    # Row -1 is row 1 mirrored: the lower pixels of the first squares.
    return lambda x: conv2d(pad(x, (1, 0, 1, 0), "replicate"), weight, offset)


def _doubling(stage: Stage, place: Callable[[Tensor], Tensor]) -> Convolve:
    """A stage that doubles, to folded features; what comes folded is unfolded first."""
    kernel, bias = kernel_of(stage)
    inputs = kernel.shape[1]
    weight = place(doubling(kernel).flatten(0, 2))
    offset = None if bias is None else place(bias.repeat(4))

    def convolve(x: Tensor) -> Tensor:
        x = unfolded(x, inputs) if x.shape[1] == 4 * inputs else x
        # A doubled picture mirrored about its first pixel repeats it.
        return conv2d(pad(x, (1,) * 4, "replicate"), weight, offset)

    return convolve


def _folded_to_full(stage: Stage, place: Callable[[Tensor], Tensor]) -> Convolve:
    """The last stage: folded features to a folded picture of four channels, the fourth nothing."""
    kernel, bias = kernel_of(stage)
    inputs = kernel.shape[1]
    # 16 channels fill a register; with 12 the same convolution took half as long again.
    weight = place(staying(pad(kernel, (0, 0, 0, 0, 0, 0, 0, 1))).flatten(3, 5).flatten(0, 2))
    offset = None if bias is None else place(pad(bias, (0, 1)).repeat(4))
    return lambda x: conv2d(mirrored(x, weight.shape[-1] // 2, inputs), weight, offset)
