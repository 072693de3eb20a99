"""The GAN's networks and losses against plain formulas, and what its recipe promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from brushwork.context import Context
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.recipes import names
from brushwork.training.dcgan import LATENT, Discriminator, Generator, between, latents
from brushwork.training.gan import (
    Gan,
    clipped_cross_entropy,
    discriminator_loss,
    generator_loss,
)
from brushwork.training.jobs import RECIPES, GanSettings, GanTrain
from brushwork.training.learner import parameters_of
from brushwork.training.loop import learn
from brushwork.training.same import SameConv2d, SameConvTranspose2d, initialise, same_padding

CPU = Context(torch.device("cpu"), torch.float32)
Planes = NDArray[np.float64]  # (channels, height, width)


def pads(size: int, kernel: int, stride: int) -> int:
    """The positions before the first one, by TensorFlow's guide: by whether the stride divides the size."""
    rest = size % stride
    along = max(kernel - (rest or stride), 0)
    return along // 2


def same_by_hand(x: Planes, weight: Planes, bias: Planes, stride: int) -> Planes:
    """A "same" convolution as sums over what the kernel covers; beyond the edges there is nothing."""
    kernel = weight.shape[-1]
    height, width = x.shape[1:]
    top, left = pads(height, kernel, stride), pads(width, kernel, stride)
    result = np.zeros((len(weight), math.ceil(height / stride), math.ceil(width / stride)))
    for i, j in np.ndindex(*result.shape[1:]):
        for a, b in np.ndindex(kernel, kernel):
            y, z = i * stride + a - top, j * stride + b - left
            if 0 <= y < height and 0 <= z < width:
                result[:, i, j] += weight[:, :, a, b] @ x[:, y, z]
    return result + bias[:, None, None]


def transposed_by_hand(x: Planes, weight: Planes, bias: Planes, stride: int) -> Planes:
    """Each position adds its kernel where a "same" convolution of the large picture would have read it."""
    kernel = weight.shape[-1]
    height, width = (side * stride for side in x.shape[1:])
    top, left = pads(height, kernel, stride), pads(width, kernel, stride)
    result = np.zeros((weight.shape[1], height, width))
    for i, j in np.ndindex(*x.shape[1:]):
        for a, b in np.ndindex(kernel, kernel):
            y, z = i * stride + a - top, j * stride + b - left
            if 0 <= y < height and 0 <= z < width:
                result[:, y, z] += x[:, i, j] @ weight[:, :, a, b]
    return result + bias[:, None, None]


def plain(tensor: Tensor | None) -> Planes:
    assert tensor is not None
    return tensor.detach().double().numpy()


sides = st.integers(1, 9)


@given(sides, sides, st.integers(1, 5), st.integers(1, 3), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_same_convolutions_are_tensorflows(
    height: int, width: int, kernel: int, stride: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, height, width, dtype=torch.float64)
    forward = SameConv2d(2, 3, kernel, stride).double()
    expected = same_by_hand(plain(x), plain(forward.weight), plain(forward.bias), stride)
    np.testing.assert_allclose(plain(forward(x[None]))[0], expected, atol=1e-12)
    if kernel >= stride:
        back = SameConvTranspose2d(2, 3, kernel, stride).double()
        expected = transposed_by_hand(plain(x), plain(back.weight), plain(back.bias), stride)
        np.testing.assert_allclose(plain(back(x[None]))[0], expected, atol=1e-12)


def test_transposed_convolutions_in_bfloat16_are_near_and_keep_their_order_in_memory() -> None:
    torch.manual_seed(0)
    layer = SameConvTranspose2d(8, 4, 4, 2).to(memory_format=torch.channels_last)  # pyright: ignore
    x = torch.randn(3, 8, 7, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    direction = torch.randn(3, 4, 14, 14)

    def run(dtype: torch.dtype) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = layer(x)
        assert found.dtype == dtype
        assert found.is_contiguous(memory_format=torch.channels_last)
        leaves = [x, *layer.parameters()]
        return found.detach(), *torch.autograd.grad(found, leaves, direction.to(dtype))

    for coarse, fine in zip(run(torch.bfloat16), run(torch.float32), strict=True):
        assert float((coarse - fine).norm()) < 1e-2 * float(fine.norm())
        assert coarse.stride() == fine.stride()


def test_paddings_of_the_networks() -> None:
    assert [same_padding(side, 4, 2) for side in (28, 14, 7)] == [(1, 1), (1, 1), (1, 2)]
    assert same_padding(28, 4, 1) == (1, 2)
    assert same_padding(28, 5, 1) == (2, 2)


def test_the_networks_have_the_published_sizes() -> None:
    discriminator, generator = Discriminator(), Generator()
    assert parameters_of(discriminator) == 396_609
    assert parameters_of(generator) == 310_849
    shapes: list[tuple[int, ...]] = []
    for layer in discriminator.layers:
        layer.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[1:])))
    pictures = generator(latents(3)).detach()
    assert pictures.shape == (3, 1, 28, 28)
    assert 0 < float(pictures.min()) < float(pictures.max()) < 1
    assert discriminator(pictures).shape == (3, 1)
    assert shapes[0::2] == [(64, 14, 14), (128, 7, 7), (128, 4, 4), (2048,), (1,)]


def test_spectral_norm_keeps_the_size_and_bounds_the_weights() -> None:
    torch.manual_seed(0)
    network = Discriminator(spectral=True)
    assert parameters_of(network) == 396_609
    network(torch.rand(4, 1, 28, 28))
    for layer in network.layers:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            largest = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
            assert largest == pytest.approx(1, abs=0.15)


def test_weights_start_as_keras_starts_them() -> None:
    layer = SameConv2d(64, 128, 4, 2)
    initialise(layer)
    weight = layer.weight.detach()
    limit = math.sqrt(6 / (64 * 16 + 128 * 16))  # Glorot-uniform: fan in and fan out of a kernel
    assert 0.98 * limit < float(weight.abs().max()) <= limit
    assert float(weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert layer.bias is not None
    assert not layer.bias.any()


# ----------------------------------------------------------------------------------------------- losses


def test_cross_entropy_takes_labels_beyond_one() -> None:
    p, labels = torch.tensor([[0.9], [0.2], [1.0], [0.0]]), torch.tensor([[1.04], [0.03], [0.0], [0.02]])
    # float32 has no 1 - 1e-7: it is 1 - 2^-23 there, in TensorFlow too.
    clipped = [min(max(float(x), 1e-7), 1 - 2**-23) for x in p]
    terms = [
        -(y * math.log(q) + (1 - y) * math.log(1 - q)) for q, y in zip(clipped, labels.flatten(), strict=True)
    ]
    assert float(clipped_cross_entropy(p, labels)) == pytest.approx(sum(map(float, terms)) / 4, rel=1e-5)


def test_logits_and_probabilities_agree_where_nothing_is_clipped() -> None:
    torch.manual_seed(1)
    logits, labels = torch.randn(64, 1), torch.rand(64, 1)
    one, two = (discriminator_loss(logits, labels, kind) for kind in ("probabilities", "logits"))
    assert float(one) == pytest.approx(float(two), rel=1e-5)


def test_hinge_asks_for_a_margin_of_one() -> None:
    logits, labels = torch.tensor([[2.0], [0.5], [-3.0], [0.0]]), torch.tensor([[1.0], [1.04], [0.02], [0.0]])
    assert float(discriminator_loss(logits, labels, "hinge")) == pytest.approx((0 + 0.5 + 0 + 1) / 4)
    assert float(generator_loss(logits, "hinge")) == pytest.approx(-0.125)


def test_a_step_is_the_notebooks() -> None:
    """The same step written out with plain autograd and textbook Adam, draws included."""
    job = GanTrain()
    torch.manual_seed(3)
    task = Gan(job)
    before = [
        p.detach().clone() for network in (task.discriminator, task.generator) for p in network.parameters()
    ]
    batch = torch.rand(6, 1, 28, 28)
    torch.manual_seed(4)
    losses = learn(task, batch, 1, CPU)
    torch.manual_seed(3)
    other = Gan(job)
    torch.manual_seed(4)
    fakes = other.generator(torch.randn(6, LATENT)).detach()
    labels = torch.cat([torch.ones(6, 1), torch.zeros(6, 1)])
    labels = labels + 0.05 * torch.rand(12, 1)
    d_loss = clipped_cross_entropy(other.discriminator(torch.cat([fakes, batch])).sigmoid(), labels)
    _adam_step(list(other.discriminator.parameters()), d_loss)
    g_loss = clipped_cross_entropy(
        other.discriminator(other.generator(torch.randn(6, LATENT))).sigmoid(), torch.zeros(6, 1)
    )
    _adam_step(list(other.generator.parameters()), g_loss)
    assert losses["d_loss"] == pytest.approx(float(d_loss.detach()), rel=1e-6)
    assert losses["g_loss"] == pytest.approx(float(g_loss.detach()), rel=1e-6)
    moved = [p for network in (task.discriminator, task.generator) for p in network.parameters()]
    same = [p for network in (other.discriminator, other.generator) for p in network.parameters()]
    for start, one, two in zip(before, moved, same, strict=True):
        assert not torch.equal(start, one)
        torch.testing.assert_close(one, two, atol=2e-6, rtol=0)


def _adam_step(parameters: list[Any], loss: Tensor) -> None:
    """Adam's first step: the rate against the sign of the gradient, where that is far above ε."""
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= 1e-4 * gradient / (gradient.abs() + 1e-7)


def test_all_parts_of_a_batch_meet_the_same_discriminator() -> None:
    """Moved where the generator learns, whichever part it is, and not yet where it learns itself."""
    task, seen = Gan(GanTrain()), list[Tensor]()
    weight = next(task.discriminator.parameters())
    task.discriminator.register_forward_pre_hook(lambda *_: seen.append(weight.detach().clone()))
    learn(task, torch.rand(6, 1, 28, 28), 3, CPU)
    assert len(seen) == 6
    assert all(torch.equal(each, seen[0]) for each in seen[:3])
    assert all(torch.equal(each, weight) and not torch.equal(each, seen[0]) for each in seen[3:])


def test_the_running_mean_makes_the_samples() -> None:
    torch.manual_seed(0)
    task = Gan(build(GanTrain, {"average": 0.9}))
    points, start = latents(2), task.samples(latents(2))
    for _ in range(3):
        learn(task, torch.rand(4, 1, 28, 28), 1, CPU)
    weights = [p.detach().clone() for p in task.generator.parameters()]
    smooth, raw = task.samples(points), task.generator(points)
    assert not torch.equal(smooth, raw)
    assert smooth.shape == start.shape
    assert all(torch.equal(a, b) for a, b in zip(weights, task.generator.parameters(), strict=True))


@given(st.integers(2, 9), st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_interpolation_ends_at_its_ends_and_keeps_the_length(count: int, seed: int) -> None:
    one, two = latents(2, torch.Generator().manual_seed(seed))
    way = between(one, two, count)
    torch.testing.assert_close(way[0], one, atol=1e-4, rtol=0)
    torch.testing.assert_close(way[-1], two, atol=1e-4, rtol=0)
    lengths = way.norm(dim=1)
    assert float(lengths.min()) > 0.95 * min(float(one.norm()), float(two.norm()))


# ------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", names(RECIPES))
def test_recipes_are_whole_and_valid(name: str) -> None:
    from brushwork.recipes import read_recipe

    recipe = read_recipe(name, RECIPES)
    assert recipe.description
    job = build(GanTrain, {"recipe": name})
    for field, value in recipe.settings.items():
        assert getattr(job, field) == value


def test_the_letter_is_the_default() -> None:
    assert build(GanTrain, {}).model_dump() == GanTrain.model_construct().model_dump()
    assert GanSettings().batch == 512
    assert build(GanTrain, {"batch": 64}).batch == 64
    again = build(GanTrain, {"epochs": 3}).model_dump(mode="json")
    assert build(GanTrain, again).epochs == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "nonsense"}, "fashion-dcgan"),
        ({"batch": 1}, "--batch 1"),
        ({"epochs": 0}, "--epochs 0"),
        ({"batch": 8, "accumulate": 9}, "--accumulate 9"),
        ({"learning": 1}, "learning"),
    ],
)
def test_mistakes_are_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        build(GanTrain, options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
