"""A U-Net: the network that is trained from pairs of pictures, and the file that it is kept in.

Ronneberger et al. (arXiv 1505.04597) as image translation uses it (Isola et al., 1611.07004), with instance
normalisation, and upsampling and convolution instead of a transposed one.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from brushwork.errors import WeightsError
from brushwork.feedforward.header import header_of
from brushwork.fields import Frozen

FORMAT = "brushwork-unet-1"
WIDEST = 8  # times the width: channels of the deepest levels


class UNetSettings(Frozen):
    """What a network is built of; a file's header says it as JSON."""

    width: Annotated[int, Field(ge=1, le=1024)] = 32  # channels at full size
    depth: Annotated[int, Field(ge=1, le=8)] = 4  # times that the picture is halved

    @property
    def channels(self) -> list[int]:
        """Of each level, the picture's own first."""
        return [self.width * min(2**level, WIDEST) for level in range(self.depth + 1)]


def _stage(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect", bias=False
        ),  # the normalisation would subtract a bias
        nn.InstanceNorm2d(outputs, affine=True),
        nn.LeakyReLU(0.2, inplace=True),
    )


class UNet(nn.Module):
    """Picture in, picture out: both (N, 3, H, W), RGB, sRGB-encoded, 0..1, of any size."""

    format = FORMAT

    def __init__(self, settings: UNetSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or UNetSettings()
        channels = self.settings.channels
        self.first = _stage(3, channels[0], 7)
        self.down = nn.ModuleList(
            nn.Sequential(_stage(a, b, 3, 2), _stage(b, b)) for a, b in pairwise(channels)
        )
        self.up = nn.ModuleList(
            _stage(below + beside, beside)
            for below, beside in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(channels[0], 3, 3, padding=1, padding_mode="reflect")

    def forward(self, image: Tensor) -> Tensor:
        """Translate pictures; sides that cannot be halved so often are mirrored at their ends."""
        height, width = image.shape[-2:]
        multiple = 2**self.settings.depth
        # To two positions at least where it is smallest: one could not be mirrored there.
        down, across = (max(-side % multiple, 2 * multiple - side) for side in (height, width))
        x = self.first(_enlarged(image, down, across))
        passed: list[Tensor] = []
        for stage in self.down:
            passed.append(x)
            x = stage(x)
        for stage in self.up:
            beside = passed.pop()
            x = stage(torch.cat([interpolate(x, scale_factor=2.0, mode="nearest"), beside], dim=1))
        return self.last(x).sigmoid()[..., :height, :width]


def _enlarged(image: Tensor, down: int, across: int) -> Tensor:
    """Mirrored at the lower and right ends; a side shorter than what is added repeats its end."""
    if not down and not across:
        return image
    mirrors = down < image.shape[-2] and across < image.shape[-1]
    return pad(image, (0, across, 0, down), "reflect" if mirrors else "replicate")


# ----------------------------------------------------------------------------------------------- files


def is_unet(path: Path) -> bool:
    """Whether a file says that it holds such a network."""
    return header_of(path).get("format", "").startswith("brushwork-unet")


def read_unet(path: Path) -> UNet:
    """The network in a file. Raises WeightsError when it is no such file or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.get("format") != FORMAT:
            raise WeightsError(f"{path}: a file of the format {header.get('format')}, this is read: {FORMAT}")
        settings = UNetSettings.model_validate_json(header["settings"])
        with torch.device("meta"):  # nothing is allocated for a header that asks for too much
            network = UNet(settings)
        network.load_state_dict(tensors, assign=True)
    except (OSError, SafetensorError, KeyError, ValidationError, RuntimeError) as error:
        raise WeightsError(f"{path}: no network trained from pairs, or damaged; train it again") from error
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise WeightsError(f"{path}: holds NaN or infinite values; train the network again")
    return network.eval().requires_grad_(False)
