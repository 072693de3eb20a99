"""The network that paints in one pass, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from brushwork.errors import WeightsError
from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.stylenet import (
    FORMAT,
    Block,
    Stage,
    StyleNet,
    StyleNetSettings,
    moments,
    read_header,
    read_stylenet,
)

SMALL = StyleNetSettings.of_width(4, blocks=2)


def network(settings: StyleNetSettings = SMALL) -> StyleNet:
    torch.manual_seed(0)
    made = StyleNet(settings)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("_by"):
                parameter.normal_(0, 0.3)
    return made.eval()


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (33, 18), (40, 23)])
@pytest.mark.parametrize("depthwise", [False, True])
def test_any_size_keeps_its_size(size: tuple[int, int], depthwise: bool) -> None:
    picture = torch.rand(2, 3, *size)
    made = network(StyleNetSettings.of_width(4, blocks=1, depthwise=depthwise))
    painted = made(picture).detach()
    assert painted.shape == picture.shape
    assert 0 <= float(painted.min()) <= float(painted.max()) <= 1


def test_normalisation_is_torchs(photo: Tensor) -> None:
    stage = Stage(3, 8, 5)
    assert stage.norm is not None
    stage.norm.gamma.data.uniform_(0.5, 2)
    stage.norm.beta.data.uniform_(-1, 1)
    features = stage.convolve(photo)
    expected = torch.nn.functional.instance_norm(
        features, weight=stage.norm.gamma, bias=stage.norm.beta, eps=1e-5
    ).relu()
    torch.testing.assert_close(stage(photo), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        stage.finish(features, None, moments(features)), expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_moments_are_mean_and_variance(layout: torch.memory_format) -> None:
    """Each picture's own, with their gradient."""
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.contiguous(memory_format=layout).requires_grad_()
    found = moments(x)
    torch.testing.assert_close(found.mean, x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(found.variance, x.var((2, 3), correction=0, keepdim=True))
    assert torch.autograd.gradcheck(moments, x)


def test_a_block_without_gain_passes_its_input_on() -> None:
    block = Block(4, depthwise=False, conditions=0)
    assert block.second.norm is not None
    block.second.norm.gamma.data.zero_()
    x = torch.rand(1, 4, 9, 9)
    assert torch.equal(block(x), x)


def test_each_condition_changes_the_picture(photo: Tensor) -> None:
    made = network(SMALL.model_copy(update={"conditions": ("strength", "stroke_size")}))
    plain = made(photo, torch.zeros(1, 2))
    assert torch.equal(plain, made(photo))
    for condition in torch.eye(2):
        assert float((made(photo, condition[None]) - plain).detach().abs().mean()) > 1e-3


def test_every_parameter_has_a_gradient(photo: Tensor) -> None:
    made = network(SMALL.model_copy(update={"conditions": ("strength",), "depthwise": True}))
    made(photo, torch.ones(1, 1)).square().mean().backward()
    without = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_a_file_gives_the_same_network_back(photo: Tensor, tmp_path: Path) -> None:
    made = network(SMALL.model_copy(update={"conditions": ("strength",)}))
    path = tmp_path / "net.safetensors"
    path.write_bytes(to_bytes(made, {"painting": "waves", "steps": 3}))
    assert read_header(path) == (made.settings, {"painting": "waves", "steps": 3})
    again, about = read_stylenet(path)
    assert about == {"painting": "waves", "steps": 3}
    assert torch.equal(again(photo, torch.ones(1, 1)), made(photo, torch.ones(1, 1)))


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"format": "brushwork-stylenet-9"}, "brushwork-stylenet-9"),
        ({"format": FORMAT}, "header is damaged"),
        ({"format": FORMAT, "settings": '{"down": [1, 2]}', "about": "{}"}, "header is damaged"),
        ({"format": FORMAT, "settings": '{"blocks": 65}', "about": "{}"}, "header is damaged"),
        ({"format": FORMAT, "settings": '{"blocks": 3}', "about": "{}"}, "has the shape"),
        ({}, "no network of Brushwork's"),
    ],
)
def test_another_file_is_refused(header: dict[str, str], told: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(save({"down.0.conv.weight": torch.zeros(4, 3, 9, 9)}, header))
    with pytest.raises(WeightsError, match=told):
        read_stylenet(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(to_bytes(network())[:-100])
    with pytest.raises(WeightsError):
        read_stylenet(path)
    spoilt = network()
    spoilt.last.conv.weight.data[0, 0, 0, 0] = torch.nan
    path.write_bytes(to_bytes(spoilt))
    with pytest.raises(WeightsError, match="NaN"):
        read_stylenet(path)
