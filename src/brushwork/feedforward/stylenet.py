"""The network that paints in one pass, and the file that it is kept in.

Johnson et al.'s network (arXiv 1603.08155) as it is built today: reflection padding, instance normalisation
(1607.08022), nearest-neighbour upsampling and a convolution instead of a transposed one. Scale and offset of
each normalisation may depend on conditions, linearly: a style vector of 100 numbers (Ghiasi et al.,
1705.06830), the weights of 26 styles (Dumoulin et al., 1610.07629), or how strong and how large the strokes
of one style are to be. So that one module is all of these networks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, interpolate, pad

from brushwork.errors import WeightsError
from brushwork.feedforward.header import header_of
from brushwork.fields import Frozen

FORMAT = "brushwork-stylenet-1"
EPSILON = 1e-5  # of the normalisation, as in every published network
SMALLEST = 16  # pixels a side: the padding mirrors what must be there

Channels = Annotated[int, Field(ge=1, le=1024)]


class StyleNetSettings(Frozen):
    """What a network is built of; a file's header says it as JSON.

    ``down`` are the channels of the first convolution and of the two that halve the picture, ``up`` those of
    the two that double it again. ``depthwise`` makes all but the first and the last convolution a depthwise
    and a pointwise one. ``conditions`` name the inputs besides the picture.
    """

    down: tuple[Channels, Channels, Channels] = (32, 64, 128)
    blocks: Annotated[int, Field(ge=0, le=64)] = 5
    up: tuple[Channels, Channels] = (64, 32)
    kernel: Literal[3, 5, 7, 9] = 9  # of the first and the last convolution
    depthwise: bool = False
    down_norm: bool = True  # Magenta's first three convolutions have a bias and no normalisation
    output_norm: bool = False  # Magenta normalises the last one too
    output: Literal["sigmoid", "linear"] = "sigmoid"
    conditions: Annotated[tuple[str, ...], Field(max_length=1024)] = ()
    natural: Annotated[int, Field(ge=64, le=8192)] = 512  # pixels: long side at which strokes are as learnt

    @classmethod
    def of_width(cls, width: int, **others: Any) -> StyleNetSettings:
        """Johnson's proportions: ``width`` channels at full size, twice and four times that below."""
        return cls(down=(width, 2 * width, 4 * width), up=(2 * width, width), **others)


class Moments(NamedTuple):
    """Mean and variance of each channel, (N, C, 1, 1)."""

    mean: Tensor
    variance: Tensor


def moments(features: Tensor) -> Moments:
    """Those of features (N, C, h, w), over the whole picture."""
    return Moments(*cast("tuple[Tensor, Tensor]", _Moments.apply(features)))


class _Moments(torch.autograd.Function):
    """Mean and variance; on channels-last features a third of the time of ``var_mean`` and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean((-2, -1), keepdim=True)
        ctx.save_for_backward(x, mean)
        return mean, (x - mean).square_().mean((-2, -1), keepdim=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> Tensor:  # pyright: ignore
        x, mean = ctx.saved_tensors
        count = x.shape[-2] * x.shape[-1]
        slope = of_variance * (2 / count)
        return torch.addcmul(of_mean / count - slope * mean, x, slope)


class Norm(nn.Module):
    """Instance normalisation whose scale and offset are linear in the conditions."""

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        if conditions:
            # Zero at first: the conditions change nothing until training says what.
            self.gamma_by = nn.Parameter(torch.zeros(channels, conditions))
            self.beta_by = nn.Parameter(torch.zeros(channels, conditions))

    def affine(self, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """γ and β, (N, C, 1, 1), under conditions (N, n); None stands for none, or for zeros."""
        gamma, beta = self.gamma[None], self.beta[None]
        if condition is not None and hasattr(self, "gamma_by"):
            gamma, beta = gamma + condition @ self.gamma_by.T, beta + condition @ self.beta_by.T
        return gamma[..., None, None], beta[..., None, None]

    def forward(self, features: Tensor, condition: Tensor | None, measured: Moments) -> Tensor:
        """γ (x - μ)/√(σ² + ε) + β, as one multiplication and one addition."""
        gamma, beta = self.affine(condition)
        scale = gamma * torch.rsqrt(measured.variance + EPSILON)
        return torch.addcmul(beta - measured.mean * scale, features, scale)


class Stage(nn.Module):
    """A convolution with its padding, its normalisation if any, its activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        upsample: int = 1,
        depthwise: bool = False,
        conditions: int | None = 0,
        activation: Literal["relu", "sigmoid", "none"] = "relu",
    ) -> None:
        super().__init__()
        self.stride, self.upsample, self.activation = stride, upsample, activation
        self.kernel, self.inputs = kernel, inputs
        # A bias before a normalisation is subtracted again.
        bias = conditions is None
        groups = inputs if depthwise else 1
        middle = inputs if depthwise else outputs
        self.conv = nn.Conv2d(inputs, middle, kernel, stride, groups=groups, bias=bias and not depthwise)
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=bias) if depthwise else None
        self.norm = None if conditions is None else Norm(outputs, conditions)

    def convolve(self, x: Tensor) -> Tensor:
        """What is normalised then: (N, outputs, h, w)."""
        if self.upsample > 1:
            x = interpolate(x, scale_factor=float(self.upsample), mode="nearest")
        margin = self.kernel // 2
        x = conv2d(
            pad(x, (margin,) * 4, "reflect"),
            self.conv.weight,
            self.conv.bias,
            self.stride,
            groups=self.conv.groups,
        )
        return x if self.mix is None else self.mix(x)

    def finish(self, features: Tensor, condition: Tensor | None, measured: Moments | None) -> Tensor:
        """Normalise by what was ``measured``, if the stage does that at all, and activate."""
        if self.norm is not None:
            assert measured is not None
            features = self.norm(features, condition, measured)
        if self.activation == "relu":
            return features.relu()
        return features.sigmoid() if self.activation == "sigmoid" else features

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The stage on a whole picture."""
        features = self.convolve(x)
        return self.finish(features, condition, moments(features) if self.norm is not None else None)


class Block(nn.Module):
    """Two stages beside which the input is passed on; no activation after the sum."""

    def __init__(self, channels: int, *, depthwise: bool, conditions: int) -> None:
        super().__init__()
        self.first = Stage(channels, channels, depthwise=depthwise, conditions=conditions)
        self.second = Stage(channels, channels, depthwise=depthwise, conditions=conditions, activation="none")

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The input and what the two stages add to it."""
        return x + self.second(self.first(x, condition), condition)


class StyleNet(nn.Module):
    """Photo in, painting out: both (N, 3, H, W), RGB, sRGB-encoded, 0..1."""

    format = FORMAT

    def __init__(self, settings: StyleNetSettings | None = None) -> None:
        super().__init__()
        self.settings = s = settings or StyleNetSettings()
        count, depthwise = len(s.conditions), s.depthwise
        below = count if s.down_norm else None
        first, half, quarter = s.down
        self.down = nn.ModuleList(
            [
                Stage(3, first, s.kernel, conditions=below),
                Stage(first, half, stride=2, depthwise=depthwise, conditions=below),
                Stage(half, quarter, stride=2, depthwise=depthwise, conditions=below),
            ]
        )
        self.blocks = nn.ModuleList(
            Block(quarter, depthwise=depthwise, conditions=count) for _ in range(s.blocks)
        )
        self.up = nn.ModuleList(
            [
                Stage(quarter, s.up[0], upsample=2, depthwise=depthwise, conditions=count),
                Stage(s.up[0], s.up[1], upsample=2, depthwise=depthwise, conditions=count),
            ]
        )
        self.last = Stage(
            s.up[1],
            3,
            s.kernel,
            conditions=count if s.output_norm else None,
            activation="sigmoid" if s.output == "sigmoid" else "none",
        )

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """Paint pictures of any size from ``SMALLEST`` on, under conditions (N, n) in the settings' order."""
        x = image
        for stage in (*self.down, *self.blocks, *self.up, self.last):
            x = stage(x, condition)
        # Odd sides were halved upwards: what is doubled again is up to three pixels larger.
        return x[..., : image.shape[-2], : image.shape[-1]]


# ----------------------------------------------------------------------------------------------- files


def read_header(path: Path) -> tuple[StyleNetSettings, dict[str, Any]] | None:
    """Settings and ``about`` of a file of this format; None when it is of another.

    Raises WeightsError for a header that says it is and is damaged.
    """
    header = header_of(path)
    if not header.get("format", "").startswith("brushwork-stylenet"):
        return None
    if header["format"] != FORMAT:
        raise WeightsError(f"{path}: a file of the format {header['format']}, this is read: {FORMAT}")
    try:
        settings = StyleNetSettings.model_validate_json(header["settings"])
        return settings, dict(json.loads(header["about"]))
    except (KeyError, ValueError, TypeError, ValidationError) as error:
        raise WeightsError(f"{path}: its header is damaged; get or train the network again") from error


def read_stylenet(path: Path) -> tuple[StyleNet, dict[str, Any]]:
    """The network in a file that ``to_bytes`` made, and what the file says ``about`` it.

    Raises WeightsError when it is no such file, is damaged or holds numbers that are none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = read_header(path)
    if found is None:
        raise WeightsError(f"{path}: no network of Brushwork's; expected a safetensors file of {FORMAT}")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: damaged or cut short; get or train the network again") from error
    return with_tensors(found[0], tensors, path), found[1]


def with_tensors(settings: StyleNetSettings, tensors: Mapping[str, Tensor], source: Path | str) -> StyleNet:
    """A network with these parameters, in evaluation mode. Raises WeightsError when they do not fit."""
    with torch.device("meta"):  # nothing is allocated for a header that asks for too much
        network = StyleNet(settings)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        given = tuple(tensors[name].shape) if name in tensors else None
        if given != wanted.get(name):
            raise WeightsError(f"{source}: {name} has the shape {given}, its settings say {wanted.get(name)}")
    values = {name: tensor.float() for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in values.values()):
        raise WeightsError(f"{source}: holds NaN or infinite values; get or train the network again")
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)
