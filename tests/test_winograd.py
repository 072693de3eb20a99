"""Winograd's convolution against torch's in float64, forward and backward."""

import pytest
import torch
import torch.nn.functional as F

from brushwork.encoders import winograd
from brushwork.encoders.convolution import Padding

MODES = {"zeros": "constant", "repeat": "replicate", "wrap": "circular"}  # torch's names


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 19), (33, 50), (8, 130)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 256), (256, 128)])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("padding", ["zeros", "repeat", "wrap"])
def test_it_is_the_convolution_and_its_relu(
    height: int,
    width: int,
    inputs: int,
    outputs: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
    bound: float,
    padding: Padding,
) -> None:
    """Values and gradient agree at sides that are and are not whole tiles, to so much of their size."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, inputs, height, width, generator=generator).to(dtype)
    x = x.contiguous(memory_format=layout).requires_grad_()
    weight = 0.05 * torch.randn(outputs, inputs, 3, 3, generator=generator)
    bias = torch.randn(outputs, generator=generator).to(dtype)
    direction = torch.randn(1, outputs, height, width, generator=generator).to(dtype)
    direction = direction.contiguous(memory_format=layout)
    ours = winograd.convolve(x, winograd.transform(weight, dtype), bias, padding=padding)
    (gradient,) = torch.autograd.grad(ours, x, direction)
    leaf = x.detach().double().requires_grad_()
    framed = F.pad(leaf, (1, 1, 1, 1), mode=MODES[padding])
    product = F.conv2d(framed, weight.double(), bias.double())
    exact = product.detach().relu()
    masked = direction.double() * (ours > 0)  # where the sign is a matter of rounding, by ours
    (adjoint,) = torch.autograd.grad(product, leaf, masked)
    for mine, theirs in ((ours.detach(), exact), (gradient, adjoint)):
        assert mine.shape == theirs.shape
        assert mine.dtype == dtype
        assert (mine.double() - theirs).norm() < bound * theirs.norm()


def test_pictures_of_a_batch_are_convolved_alone() -> None:
    x = torch.randn(3, 64, 18, 21, generator=torch.Generator().manual_seed(0)).requires_grad_()
    kernels, bias = winograd.transform(torch.randn(128, 64, 3, 3) / 24), torch.randn(128)
    together = winograd.convolve(x, kernels, bias)
    alone = torch.cat([winograd.convolve(one, kernels, bias) for one in x.split(1)])
    assert torch.equal(together, alone)
    gradients = [torch.autograd.grad(found.square().sum(), x)[0] for found in (together, alone)]
    assert torch.equal(*gradients)


def test_it_is_used_where_it_pays() -> None:
    """On a CPU with enough channels and positions."""
    wide, narrow = torch.zeros(128, 64, 3, 3), torch.zeros(64, 64, 3, 3)
    picture = torch.zeros(1, 64, 16, 16)
    assert winograd.suits(wide, picture)
    assert winograd.suits(wide, picture.bfloat16())
    assert not winograd.suits(narrow, picture)
    assert not winograd.suits(wide, picture[..., :15])
    assert not winograd.suits(wide, picture.double())
