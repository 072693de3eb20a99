"""The judge: VGG16 with LPIPS's linear layers, a network that no engine optimises against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from brushwork import fetch
from brushwork.errors import WeightsError
from brushwork.weights import read_tensors

TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
_DEPTHS = (2, 2, 3, 3, 3)
_CHANNELS = (64, 128, 256, 512, 512)
# LPIPS's scaling layer is ImageNet's mean and deviation for pictures in −1..1; here for 0..1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
SMALLEST = 32  # pixels a side, so that relu5_3 has 2×2 positions
DOWNLOADED = ("vgg16", "lpips")
REMEDY = (
    "`brushwork evaluate --fetch` downloads them (528 MB), or give torchvision's VGG16 "
    "(download.pytorch.org/models/vgg16-397923af.pth) and LPIPS's linear layers "
    "(weights/v0.1/vgg.pth of the lpips package), each as --metric-weights FILE"
)


class Judge:
    """VGG16's features at five depths and LPIPS's weight of each channel."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._convolutions = _blocks(tensors)
        self.channel_weights = {tap: _linear(tensors, index) for index, tap in enumerate(TAPS)}

    @classmethod
    def load(cls, files: Sequence[str | Path] = ()) -> Judge:
        """Read from one file, or VGG16 and the linear layers from two; without any, the downloaded ones.

        Raises WeightsError for other files and when nothing was downloaded.
        """
        files = files or [path for name in DOWNLOADED if (path := fetch.downloaded(name))]
        if not files:
            raise WeightsError(f"the judge's weights are missing: {REMEDY}")
        tensors: dict[str, Tensor] = {}
        for file in files:
            found = read_tensors(Path(file).expanduser(), remedy=REMEDY)
            # The lpips package names its layers lin0.model.1.weight.
            tensors |= {name.replace(".model.1.", "."): tensor for name, tensor in found.items()}
        try:
            return cls(tensors)
        except KeyError as error:
            raise WeightsError(f"{', '.join(map(str, files))}: no {error.args[0]} there: {REMEDY}") from error

    @torch.no_grad()
    def features(self, image: Tensor) -> dict[str, Tensor]:
        """Features {tap: (1, C, h, w)} after the ReLU, of a picture (1, 3, H, W), RGB, 0..1."""
        x = (image - image.new_tensor(_MEAN).view(1, 3, 1, 1)) / image.new_tensor(_STD).view(1, 3, 1, 1)
        x = x.contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        for tap, block in zip(TAPS, self._convolutions, strict=True):
            x = F.max_pool2d(x, 2) if found else x
            for weight, bias in block:
                x = F.relu_(F.conv2d(x, weight, bias, padding=1))
            found[tap] = x
        return found


def _linear(tensors: dict[str, Tensor], index: int) -> Tensor:
    """LPIPS's weight of each channel at a tap, (1, C, 1, 1)."""
    weight = tensors[f"lin{index}.weight"]
    if tuple(weight.shape) != (1, _CHANNELS[index], 1, 1):
        shape = tuple(weight.shape)
        raise WeightsError(f"lin{index}.weight is {shape}, not that of LPIPS with VGG16: {REMEDY}")
    return weight.float()


def _blocks(tensors: dict[str, Tensor]) -> list[list[tuple[Tensor, Tensor]]]:
    """torchvision's numbered convolutions in five blocks: ReLUs and poolings take numbers too."""
    blocks: list[list[tuple[Tensor, Tensor]]] = []
    place, inputs = 0, 3
    for depth, outputs in zip(_DEPTHS, _CHANNELS, strict=True):
        block: list[tuple[Tensor, Tensor]] = []
        for _ in range(depth):
            weight, bias = tensors[f"features.{place}.weight"], tensors[f"features.{place}.bias"]
            if tuple(weight.shape) != (outputs, inputs, 3, 3):
                raise WeightsError(f"features.{place}.weight is {tuple(weight.shape)}, not VGG16's: {REMEDY}")
            block.append((weight.float().contiguous(memory_format=torch.channels_last), bias.float()))
            place, inputs = place + 2, outputs
        blocks.append(block)
        place += 1
    return blocks
