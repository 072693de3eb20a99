"""The GAN's own ways of convolving against the library's in float64, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from brushwork.training import halving, single
from brushwork.training.dcgan import Discriminator, Generator, latents
from brushwork.training.same import SameConv2d, same_padding


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Reproducible numbers in float64 that ask for gradients."""
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.requires_grad_()


@pytest.mark.parametrize("side", [1, 4, 5, 7, 8, 13, 14])
def test_halving_is_the_same_convolution(side: int) -> None:
    x, weight, bias = drawn(2, 3, side, side), drawn(4, 3, 4, 4, seed=1), drawn(4, seed=2)
    before, after = same_padding(side, 4, 2)
    plain = functional.conv2d(functional.pad(x, (before, after, before, after)), weight, bias, stride=2)
    torch.testing.assert_close(halving.convolve(x, weight, bias), plain)
    assert torch.autograd.gradcheck(halving.convolve, (x, weight, bias))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_single_is_the_convolution(kernel: int) -> None:
    x, weight = drawn(2, 3, 6, 5), drawn(1, 3, kernel, kernel, seed=1)
    torch.testing.assert_close(single.convolve(x, weight), functional.conv2d(x, weight, padding=kernel // 2))
    assert torch.autograd.gradcheck(single.convolve, (x, weight))


@pytest.mark.parametrize("count", [1, 130])
def test_networks_agree_with_the_library(count: int) -> None:
    """Both networks in a row: float32 in its own ways, float64 in the library's; gradients of all weights."""
    torch.manual_seed(0)
    ours, exact = nn.Sequential(Generator(), Discriminator()), nn.Sequential(Generator(), Discriminator())
    exact.load_state_dict(ours.state_dict())
    exact.double()
    points = latents(count)
    losses = ours(points).mean(), exact(points.double()).mean()
    gradients = [
        torch.autograd.grad(loss, list(network.parameters()))
        for loss, network in zip(losses, (ours, exact), strict=True)
    ]
    torch.testing.assert_close(losses[0].double(), losses[1], rtol=1e-4, atol=1e-6)
    for mine, theirs in zip(*gradients, strict=True):
        # Where a leaky ReLU's input is near 0 rounding decides its slope; the library's float32 has 1e-4.
        assert (mine.double() - theirs).norm() < 3e-3 * theirs.norm()


def test_frozen_weights_take_no_gradients() -> None:
    """As the discriminator's while the generator learns: only the pictures' are wanted then."""
    layer = SameConv2d(64, 64, 4, 2).requires_grad_(False)
    x = torch.randn(2, 64, 14, 14, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


def test_own_ways_are_used_where_they_pay() -> None:
    large = SameConv2d(64, 128, 4, 2)
    assert halving.suits(large, torch.zeros(1, 64, 14, 14))
    assert not halving.suits(large, torch.zeros(1, 64, 16, 16))  # eight positions are one too many
    assert not halving.suits(large, torch.zeros(1, 64, 14, 12))
    assert not halving.suits(SameConv2d(1, 64, 4, 2), torch.zeros(1, 1, 14, 14))
    assert not halving.suits(SameConv2d(64, 128, 5, 2), torch.zeros(1, 64, 14, 14))
    assert single.suits(SameConv2d(16, 1, 5))
    assert not single.suits(SameConv2d(16, 2, 5))
    assert not single.suits(SameConv2d(16, 1, 5, 2))
