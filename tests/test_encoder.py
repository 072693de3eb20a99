"""The encoder: VGG19's features against an independent network, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import reference as ref
from brushwork.encoders import LAYERS, VGG19
from brushwork.encoders.convolution import Padding, framed
from brushwork.encoders.vgg19 import smallest_side
from brushwork.errors import InputError, WeightsError
from brushwork.weights import Weights

CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = tuple(name for name in LAYERS if "conv" in name)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def vgg(weights: Weights) -> VGG19:
    return VGG19(weights)


def difference(found: Tensor, expected: Tensor) -> float:
    """Relative, in the 2-norm."""
    return float((found.double() - expected).norm() / expected.norm())


def test_layers_are_keras_names_in_order() -> None:
    assert len(LAYERS) == 21
    assert list(CONVOLUTIONS) == [name for name, _ in ref.LAYERS]
    assert LAYERS[:3] == ("block1_conv1", "block1_conv2", "block1_pool")
    assert LAYERS[-2:] == ("block5_conv4", "block5_pool")


def test_every_layer_has_its_shape(vgg: VGG19) -> None:
    found = vgg.features(noise(50, 35).float(), LAYERS)
    assert type(found) is dict
    for name in LAYERS:
        block = int(name[5])
        halvings = block if name.endswith("pool") else block - 1
        assert found[name].shape == (1, CHANNELS[block - 1], 50 >> halvings, 35 >> halvings), name
        assert found[name].min() >= 0  # after the ReLU


@pytest.mark.parametrize(("height", "width"), [(50, 35), (72, 80)])
def test_features_are_the_references(
    weights: Weights, reference_weights: ref.Weights, vgg: VGG19, height: int, width: int
) -> None:
    image = noise(height, width)
    expected = ref.vgg_features(ref.preprocess(image * 255), reference_weights, CONVOLUTIONS)
    single = vgg.features(image.float(), CONVOLUTIONS)
    double = VGG19(weights, dtype=torch.float64).features(image, CONVOLUTIONS)
    for name in CONVOLUTIONS:
        assert difference(double[name], expected[name]) < 1e-10, name
        assert difference(single[name], expected[name]) < 1e-5, name


def test_gradient_is_the_references(reference_weights: ref.Weights, vgg: VGG19) -> None:
    layers = ("block3_conv1", "block5_conv2")
    image = noise(72, 80).requires_grad_()
    expected = ref.vgg_features(ref.preprocess(image * 255), reference_weights, layers)
    found = vgg.features(image.float(), layers)
    generator = torch.Generator().manual_seed(1)
    ways = {n: torch.randn(f.shape, generator=generator, dtype=f.dtype) for n, f in expected.items()}

    def gradient(maps: dict[str, Tensor]) -> Tensor:
        mixed = torch.stack([(maps[name] * ways[name]).sum() for name in layers]).sum()
        return torch.autograd.grad(mixed, image)[0]

    theirs, ours = gradient(expected), gradient(found)
    assert (ours - theirs).abs().median() < 1e-5 * theirs.abs().median()
    assert difference(ours, theirs) < 5e-3  # a ReLU or a maximum may tip over in float32


def test_bfloat16_is_close(weights: Weights, vgg: VGG19) -> None:
    image = noise(32, 32).float()
    names = ("block1_conv1", "block3_conv1", "block5_conv2")
    found = VGG19(weights, dtype=torch.bfloat16).features(image, names)
    for name, exact in vgg.features(image, names).items():
        assert found[name].dtype == torch.bfloat16
        assert difference(found[name].float(), exact.double()) < 0.05, name


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_pooling_is_torchs(weights: Weights, pooling: Any) -> None:
    network = VGG19(weights, pooling=pooling)
    found = network.features(noise(19, 22).float(), ["block1_conv2", "block1_pool", "block2_conv1"])
    pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
    assert torch.equal(found["block1_pool"], pool(found["block1_conv2"], 2))
    kernel, bias = weights.convolutions["block2_conv1"]
    expected = F.conv2d(found["block1_pool"], kernel, bias, padding=1).relu()
    torch.testing.assert_close(found["block2_conv1"], expected, rtol=1e-5, atol=1e-3)


def test_poolings_differ(weights: Weights, vgg: VGG19) -> None:
    image = noise(16, 16).float()
    average = VGG19(weights, pooling="avg").features(image, ["block2_conv1"])["block2_conv1"]
    assert difference(average, vgg.features(image, ["block2_conv1"])["block2_conv1"].double()) > 0.05


def test_on_another_device_it_is_the_same_network(weights: Weights) -> None:
    device = torch.device("meta")
    there = VGG19(weights, pooling="avg", dtype=torch.bfloat16).on(device)
    assert (there.pooling, there.dtype, there.device) == ("avg", torch.bfloat16, device)


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        ([], 0),
        (["block1_conv1"], 1),
        (["block1_pool"], 2),
        (["block4_conv2", "block1_conv1"], 10),
        (["block5_conv1"], 13),
        (["block5_pool"], 16),
    ],
)
def test_computing_stops_at_the_last_layer_needed(
    vgg: VGG19, monkeypatch: pytest.MonkeyPatch, layers: list[str], count: int
) -> None:
    calls: list[str] = []
    convolve = vgg._convolve  # pyright: ignore[reportPrivateUsage]

    def counted(name: str, x: Tensor, padding: Padding) -> Tensor:
        calls.append(name)
        return convolve(name, x, padding)

    monkeypatch.setattr(vgg, "_convolve", counted)
    found = vgg.features(noise(32, 32).float().expand(2, -1, -1, -1), layers)
    assert sorted(found) == sorted(layers)
    assert len(calls) == count


def test_several_pictures_are_each_their_own(vgg: VGG19) -> None:
    pictures = torch.cat([noise(24, 20, seed).float() for seed in (1, 2)])
    names = ["block1_conv1", "block3_conv2"]
    both = vgg.features(pictures, names)
    for index in (0, 1):
        for name, alone in vgg.features(pictures[index : index + 1], names).items():
            torch.testing.assert_close(both[name][index : index + 1], alone, rtol=1e-4, atol=1e-2)


def test_features_do_not_change_the_picture_or_each_other(vgg: VGG19) -> None:
    image = noise(16, 16).float()
    before = image.clone()
    alone = vgg.features(image, ["block1_conv1"])["block1_conv1"]
    among = vgg.features(image, CONVOLUTIONS)["block1_conv1"]
    assert torch.equal(image, before)
    assert torch.equal(alone, among)


@pytest.mark.parametrize(
    ("layer", "side"), [("block1_conv2", 1), ("block1_pool", 2), ("block4_conv4", 8), ("block5_pool", 32)]
)
def test_smallest_picture(vgg: VGG19, layer: str, side: int) -> None:
    assert smallest_side([layer, "block1_conv1"]) == side
    assert min(vgg.features(noise(side, side + 3).float(), [layer])[layer].shape[2:]) == 1
    if side > 1:
        with pytest.raises(InputError, match=rf"too small for {layer}: the short side needs {side}"):
            vgg.features(noise(side - 1, 40).float(), [layer])


@pytest.mark.parametrize("name", ["block3_conv5", "block6_conv1", "relu4_2", "", "Block1_conv1"])
def test_an_unknown_layer_is_refused(vgg: VGG19, name: str) -> None:
    with pytest.raises(InputError, match=rf"no layer '{name}' in VGG19: choose from block1_conv1, "):
        vgg.features(noise(16, 16).float(), ["block1_conv1", name])


def test_a_network_that_stops_early_says_so(weights: Weights) -> None:
    first = {name: weights.convolutions[name] for name in CONVOLUTIONS[:3]}
    short = VGG19(Weights(first, weights.mean, "keras", "short.h5", ""))
    assert "block2_conv1" in short.features(noise(16, 16).float(), ["block2_conv1"])
    with pytest.raises(WeightsError, match=r"short.h5 has no block2_conv2"):
        short.features(noise(16, 16).float(), ["block3_conv1"])


def test_load_reads_the_installed_network(vgg: VGG19) -> None:
    loaded = VGG19.load(pooling="avg", dtype=torch.float64)
    assert (loaded.pooling, loaded.dtype) == ("avg", torch.float64)
    assert loaded.weights.sha256 == vgg.weights.sha256


@pytest.mark.parametrize(("wrap", "mode"), [(False, "replicate"), (True, "circular")])
@given(height=st.integers(1, 5), width=st.integers(1, 5))
def test_a_frame_is_torchs_padding(height: int, width: int, wrap: bool, mode: str) -> None:
    """And its gradient, at sides down to a single pixel."""
    generator = torch.Generator().manual_seed(height)
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=generator).requires_grad_()
    pull = torch.randn(2, 3, height + 2, width + 2, dtype=torch.float64, generator=generator)
    ours, theirs = framed(x, wrap=wrap), F.pad(x, (1, 1, 1, 1), mode=mode)
    assert torch.equal(ours, theirs)
    (expected,) = torch.autograd.grad(theirs, x, pull)
    torch.testing.assert_close(torch.autograd.grad(ours, x, pull.clone())[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("padding", "mode"), [("repeat", "replicate"), ("wrap", "circular")])
def test_what_lies_beyond_an_edge_is_seen_by_every_layer(
    weights: Weights, dtype: torch.dtype, padding: Padding, mode: str
) -> None:
    """As if every layer's features went on; in float32 the wide layers are by Winograd's algorithm."""
    vgg = VGG19(weights, dtype=dtype)
    picture = noise(36, 44).to(dtype).requires_grad_()
    names = ["block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"]
    found = vgg.features(picture, names, padding=padding)
    x = picture.double() - torch.tensor(weights.mean, dtype=torch.float64).view(1, 3, 1, 1)
    for name in names:
        x = F.max_pool2d(x, 2) if name == "block2_conv1" else x
        weight, bias = (each.double() for each in weights.convolutions[name])
        x = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weight, bias))
        assert (found[name] - x).norm() < 1e-5 * x.norm()
    pull = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = (torch.autograd.grad((y.double() * pull).sum(), picture)[0] for y in (found[names[-1]], x))
    assert (ours - theirs).norm() < 2e-3 * theirs.norm()  # where the sign is a matter of rounding
