"""Results that wrap around: the picture may be rolled, and no seam shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from brushwork.context import Context
from brushwork.encoders import LAYERS, VGG19
from brushwork.encoders.winograd import suits
from brushwork.events import Started, finished
from brushwork.images import Picture, Sources, resize
from brushwork.jobs import Settings, Stylize
from brushwork.losses import total_variation
from brushwork.optimize import engine
from brushwork.optimize.detail import missing_detail
from brushwork.optimize.engine import paint, resize_between
from brushwork.optimize.objective import Evaluation, Objective, make_target
from brushwork.optimize.scales import ladder, result_size
from brushwork.seams import periodic, resize_wrapped
from brushwork.styles import Style
from brushwork.weights import Weights
from commands import Desk

CPU = Context(torch.device("cpu"), torch.float32)


def rolled(picture: Tensor, down: int = 16, across: int = 32) -> Tensor:
    return picture.roll((down, across), (-2, -1))


def near(found: Tensor, expected: Tensor, error: float) -> None:
    assert (found - expected).norm() <= error * expected.norm()


def seam(picture: Tensor) -> tuple[float, float]:
    """Mean square step across the two wrap edges, and between neighbours elsewhere."""
    edges = [picture[..., 0] - picture[..., -1], picture[..., 0, :] - picture[..., -1, :]]
    inside = [picture[..., 1:] - picture[..., :-1], picture[..., 1:, :] - picture[..., :-1, :]]
    across, within = (torch.cat([d.ravel() for d in ds]).square().mean() for ds in (edges, inside))
    return float(across), float(within)


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(5))


# ------------------------------------------------------------------------------------- rolling the picture


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_features_roll_with_the_picture(weights: Weights, noise: Tensor, pooling: Any) -> None:
    encoder = VGG19(weights, pooling=pooling, dtype=torch.float64)
    layers = LAYERS[: LAYERS.index("block5_conv1") + 1]
    _rolls(encoder, noise.double(), layers, 1e-12)


def test_features_roll_through_winograds_convolution(weights: Weights) -> None:
    """block3_conv1 of this picture has 128×256 channels and enough positions for it."""
    picture = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(6))
    assert suits(torch.zeros(256, 128, 3, 3), torch.zeros(1, 128, 20, 20))
    _rolls(VGG19(weights), picture, ["block3_conv1"], 1e-5)


def _rolls(encoder: VGG19, picture: Tensor, layers: Sequence[str], error: float) -> None:
    here, there = (encoder.features(x, layers, padding="wrap") for x in (picture, rolled(picture)))
    for name, features in here.items():
        halvings = int(name[5]) - 1 + name.endswith("pool")
        down, across = (by // 2**halvings for by in (16, 32))
        near(there[name], features.roll((down, across), (-2, -1)), error)


def test_wrapping_changes_the_edges_alone(weights: Weights, noise: Tensor) -> None:
    encoder = VGG19(weights, dtype=torch.float64)
    layers = ["block1_conv2", "block2_conv1"]
    plain, wrapped = (encoder.features(noise.double(), layers, padding=p) for p in ("zeros", "wrap"))
    for name in layers:
        inside = (..., slice(3, -3), slice(3, -3))
        near(wrapped[name][inside], plain[name][inside], 1e-12)
        assert not torch.allclose(wrapped[name], plain[name])


def test_losses_stay_and_the_gradient_rolls(
    weights: Weights, photo: Tensor, painting: Tensor, noise: Tensor
) -> None:
    settings = Settings(
        tileable=True,
        tv_weight=0.1,
        style_loss="relative",
        content_layers={"block3_conv1": 1.0},
        style_layers={"block1_conv2": 1.0, "block3_conv1": 1.0},
    )
    encoder = VGG19(weights, pooling="avg", dtype=torch.float64)
    scene = resize(photo, 48, 64, "lanczos")

    def at(shift: bool) -> Evaluation:
        picture, content = (rolled(x) if shift else x for x in (noise.double(), scene.double()))
        target = make_target(encoder, settings, content, [painting.double()], [1])
        return Objective(encoder, target, settings).evaluate(picture)

    here, there = at(shift=False), at(shift=True)
    assert there.losses.total == pytest.approx(here.losses.total, rel=1e-9)
    assert there.losses.tv == pytest.approx(here.losses.tv, rel=1e-12)
    near(there.gradient, rolled(here.gradient), 1e-9)


@pytest.mark.parametrize("form", ["l1", "keras", "mean"])
def test_variation_wraps(form: Any) -> None:
    ramp = torch.linspace(0, 1, 6, dtype=torch.float64).expand(1, 1, 4, 6)
    around = total_variation(ramp, form=form, wrap=True)
    steps = (ramp.roll(-1, -1) - ramp).abs()
    expected = {"l1": steps.sum(), "keras": steps.pow(2.5).sum(), "mean": steps.square().mean()}
    assert float(around) == pytest.approx(float(expected[form]))
    assert float(around) > float(total_variation(ramp, form=form))


# --------------------------------------------------------------------------------------- sizes and resizing


@pytest.mark.parametrize(("options", "size"), [({"size": 100}, (80, 112)), ({"rows": 32}, (32, 48))])
def test_sides_are_the_next_multiples_of_16(options: dict[str, Any], size: tuple[int, int]) -> None:
    settings = Settings(tileable=True, scales={0.3: 1, 1.0: 1}, **options)
    assert result_size(settings, (70, 100)) == size
    assert all(
        side % 16 == 0 for scale in ladder(settings, (70, 100)) for side in (scale.height, scale.width)
    )


@pytest.mark.parametrize("size", [(128, 160), (96, 112), (32, 48)])
def test_resizing_reads_across_the_edges(noise: Tensor, size: tuple[int, int]) -> None:
    """The same as the middle of a 3×3 tiling resized whole, by Pillow."""
    tiling = noise.repeat(1, 1, 3, 3)[0].numpy()
    planes = [Image.fromarray(p).resize((3 * size[1], 3 * size[0]), Image.Resampling.BICUBIC) for p in tiling]
    whole = torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None].clamp(0, 1)
    middle = whole[..., size[0] : 2 * size[0], size[1] : 2 * size[1]]
    torch.testing.assert_close(resize_wrapped(noise, *size), middle, atol=2e-6, rtol=0)


def test_the_periodic_photo_has_no_step_at_its_edges(photo: Tensor) -> None:
    across, within = seam(photo)
    assert across > 20 * within
    smooth = periodic(photo)
    across, within = seam(smooth)
    assert across < 2 * within
    assert float(smooth.mean()) == pytest.approx(float(photo.mean()), abs=0.01)


def test_a_flat_photo_stays_as_it_is() -> None:
    flat = torch.full((1, 3, 32, 48), 0.25)
    torch.testing.assert_close(periodic(flat), flat)


# ------------------------------------------------------------------------------------------------- results


@pytest.mark.slow
@pytest.mark.parametrize("color", ["style", "content", "luminance", "lock"])
def test_no_seam_shows(weights: Weights, photo: Tensor, painting: Tensor, color: Any) -> None:
    """The step across the wrap edge is like the interior's; without the option it is not."""
    found: list[float] = []
    for tileable in (True, False):
        job = Stylize(
            content="photo",
            styles=(Style(path="painting"),),
            size=48,
            steps=8,
            scales={0.5: 1, 1.0: 1},
            tileable=tileable,
            color=color,
            content_layers={"block2_conv1": 1.0},
            style_layers={"block1_conv2": 1.0, "block2_conv1": 1.0},
        )
        last = finished(paint(job, Sources(Picture(photo), [Picture(painting)]), VGG19(weights), CPU))
        across, within = seam(last.picture.pixels)
        found.append(across / within)
    assert found[0] < 1.5
    assert found[1] > 3


def test_a_file_to_start_from_begins_without_a_seam(
    weights: Weights, photo: Tensor, painting: Tensor
) -> None:
    """The file is the photo, at whose edges there is a step."""
    ratios: list[float] = []
    for tileable in (True, False):
        options: dict[str, Any] = {"init": "start.png", "color": "style", "tileable": tileable}
        job = Stylize(content="photo", styles=(Style(path="painting"),), size=64, scales={1.0: 1}, **options)
        sources = Sources(Picture(painting), [Picture(painting)], Picture(photo))
        started = next(paint(job, sources, VGG19(weights), CPU))
        assert isinstance(started, Started)
        across, within = seam(started.start)
        ratios.append(across / within)
    assert ratios[0] < 2
    assert ratios[1] > 10


def test_from_scale_to_scale_it_is_resized_across_the_edges(noise: Tensor) -> None:
    jobs = [
        Stylize(content="photo", styles=(Style(path="art"),), tileable=tileable) for tileable in (True, False)
    ]
    wrapped, plain = (resize_between(job, noise, 96, 128) for job in jobs)
    assert torch.equal(wrapped, resize_wrapped(noise, 96, 128))
    assert torch.equal(plain, resize(noise, 96, 128, "bicubic"))


@pytest.mark.parametrize("tileable", [True, False])
def test_the_detail_of_a_finer_scale_wraps_too(
    weights: Weights, photo: Tensor, painting: Tensor, tileable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def looked_at(*given: Any, wrap: bool) -> Tensor:
        asked.append(wrap)
        return missing_detail(*given, wrap=wrap)

    monkeypatch.setattr(engine, "missing_detail", looked_at)
    job = Stylize(
        content="photo",
        styles=(Style(path="painting"),),
        size=64,
        steps=2,
        coarsest=16,
        scales={0.5: 1, 1.0: 1},
        style_detail=True,
        tileable=tileable,
        content_layers={"block2_conv1": 1.0},
        style_layers={"block1_conv2": 1.0},
    )
    finished(paint(job, Sources(Picture(photo), [Picture(painting)]), VGG19(weights), CPU))
    assert asked == [tileable]


def test_the_option_is_seen_on_the_command_line(desk: Desk) -> None:
    plain, tileable = desk.painted(size=40), desk.painted(size=40, tileable=True)
    assert plain.shape == (30, 40, 3)
    assert tileable.shape == (32, 48, 3)
