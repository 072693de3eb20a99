"""Pictures that wrap around: nothing ends at an edge, the opposite side goes on there."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

LATTICE = 16
"""Sides that wrap are multiples of this: four poolings of VGG19 then halve them without a rest."""


def resize_wrapped(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize (1, C, H, W) pixels that wrap around, bicubic: the filter reads across the edges; 0..1."""
    old = pixels.shape[-2:]
    if old == (height, width):
        return pixels
    reach = math.ceil(2 * max(1, old[0] / height, old[1] / width)) + 1
    down, across = (min(reach, side) for side in old)
    planes = pixels.detach().to("cpu", torch.float32)
    padded = F.pad(planes, (across, across, down, down), mode="circular")[0].numpy()
    box = (across, down, across + old[1], down + old[0])
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC, box))
        for plane in padded
    ]
    return torch.from_numpy(np.stack(resized)).clamp_(0, 1)[None].to(pixels)


def periodic(pixels: Tensor) -> Tensor:
    """A picture (1, C, H, W), 0..1, without the steps where its opposite edges meet.

    Its periodic component (Moisan, Journal of Mathematical Imaging and Vision 39, 2011): a smooth picture
    with the same steps is subtracted, the solution of Poisson's equation whose source they are.
    """
    height, width = pixels.shape[-2:]
    image = pixels.double()
    steps = torch.zeros_like(image)
    across, down = image[..., :, -1] - image[..., :, 0], image[..., -1, :] - image[..., 0, :]
    steps[..., :, 0] += across
    steps[..., :, -1] -= across
    steps[..., 0, :] += down
    steps[..., -1, :] -= down
    rows = torch.arange(height, device=pixels.device).double().mul(2 * math.pi / height).cos().view(-1, 1)
    columns = torch.arange(width // 2 + 1, device=pixels.device).double().mul(2 * math.pi / width).cos()
    laplacian = 2 * rows + 2 * columns - 4
    laplacian[0, 0] = 1  # the mean, which the steps do not have
    smooth = torch.fft.irfft2(torch.fft.rfft2(steps) / laplacian, s=(height, width))
    return (image - smooth).clamp(0, 1).to(pixels)
