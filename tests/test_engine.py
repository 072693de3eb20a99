"""The engine: its events, and that every option changes what it says and nothing else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brushwork.context import Context
from brushwork.encode import to_image
from brushwork.encoders import VGG19
from brushwork.errors import DivergedError, InputError
from brushwork.events import Checkpoint, Event, Finished, Progress, Started
from brushwork.fields import build
from brushwork.images import Method, Picture, Source, Sources, resize
from brushwork.jobs import Settings, Stylize
from brushwork.optimize.engine import paint
from brushwork.optimize.objective import balance, make_target, variation_weight
from brushwork.optimize.scales import Scale, ladder, result_size, style_size
from brushwork.runner import run, sources_of
from brushwork.styles import Style
from brushwork.weights import Weights
from commands import PLAIN

CPU = Context(torch.device("cpu"), torch.float32)
# Two blocks are enough for the loop, and quick.
SHALLOW: dict[str, Any] = {
    **PLAIN,
    "content_layers": {"block2_conv1": 1.0},
    "style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.5},
    "scales": {1.0: 1.0},
    "size": 64,
    "steps": 4,
    "keep": "last",
}
COARSE_TO_FINE = {0.25: 1.0, 0.5: 1.0, 1.0: 2.0}


@pytest.fixture(scope="module")
def encoder(weights: Weights) -> VGG19:
    return VGG19(weights)


@pytest.fixture(scope="module")
def averaging(weights: Weights) -> VGG19:
    return VGG19(weights, pooling="avg")


class Seen:
    """What a run of the engine told."""

    def __init__(self, events: Iterable[Event]) -> None:
        first, *middle, last = events
        assert isinstance(first, Started)
        assert isinstance(last, Finished)
        self.started, self.finished = first, last
        self.steps = [event for event in middle if isinstance(event, Progress)]
        assert all(isinstance(event, Progress | Checkpoint) for event in middle)

    @property
    def totals(self) -> list[float]:
        return [step.losses.total for step in self.steps]

    @property
    def pixels(self) -> Tensor:
        return self.finished.picture.pixels

    @property
    def path(self) -> list[Tensor]:
        """The pictures whose losses were measured, then the last."""
        return [self.started.start, *(step.image for step in self.steps)]


def job_of(styles: int = 1, **options: Any) -> Stylize:
    weights = options.pop("style_weights", [1.0] * styles)
    named = tuple(Style(path=f"style{i}", weight=weight) for i, weight in enumerate(weights))
    return Stylize(content="photo", styles=named, **{**SHALLOW, **options})


def seen(
    encoder: VGG19, photo: Tensor, *paintings: Tensor, start: Tensor | None = None, **options: Any
) -> Seen:
    init = None if start is None else Picture(start)
    sources = Sources(Picture(photo), [Picture(painting) for painting in paintings], init)
    return Seen(paint(job_of(len(paintings), **options), sources, encoder, CPU))


def flat(value: float, height: int = 48, width: int = 64) -> Tensor:
    return torch.full((1, 3, height, width), value)


# ------------------------------------------------------------------------------------------------ events


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("scales", [{1.0: 1.0}, COARSE_TO_FINE], ids=["one", "three"])
def test_events_of_a_run(
    encoder: VGG19, photo: Tensor, painting: Tensor, optimizer: str, scales: dict[float, float]
) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "scales": scales, "steps": 8}
    options |= {} if optimizer == "lbfgs" else {"learning_rate": 1e-3}
    found = seen(encoder, photo, painting, **options)
    started, finished = found.started, found.finished
    assert (started.width, started.height, started.evaluations) == (64, 48, 8)
    assert (started.device, started.precision) == ("cpu", "float32")
    assert started.weights == encoder.weights.source
    assert [step.evaluation for step in found.steps] == list(range(1, 9))
    assert {step.evaluations for step in found.steps} == {8}
    assert finished.evaluations == 8
    assert finished.picture.pixels.shape == (1, 3, 48, 64)
    assert [step.scale for step in found.steps] == (
        [64] * 8 if len(scales) == 1 else [16] * 2 + [32] * 2 + [64] * 4
    )
    for scale, group in itertools.groupby(found.steps, lambda step: step.scale):
        steps = list(group)
        assert [step.step for step in steps] == list(range(1, len(steps) + 1))
        assert {max(step.image.shape) for step in steps} == {scale}
    for step in found.steps:
        losses = step.losses
        assert losses.total == pytest.approx(losses.content + losses.style + losses.tv, rel=1e-6)
        assert step.gradient_norm > 0
        assert not step.image.requires_grad


def test_events_keep_their_pictures(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """A picture in an event is not painted over by the steps after it, nor are the user's own."""
    before, kept = photo.clone(), list[Tensor]()
    sources = Sources(Picture(photo), [Picture(painting)])
    events: list[Event] = []
    for event in paint(job_of(clip=True), sources, encoder, CPU):
        events.append(event)
        if isinstance(event, Progress):
            kept.append(event.image.clone())
    assert torch.equal(photo, before)
    for image, step in zip(kept, Seen(events).steps, strict=True):
        assert torch.equal(image, step.image)


def test_losses_are_those_before_the_step(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    whole = seen(encoder, photo, painting)
    again = seen(encoder, photo, painting, start=whole.steps[1].image, init="file.png", steps=1)
    assert again.totals[0] == pytest.approx(whole.totals[2], rel=1e-5)


class Counting(VGG19):
    """Counts the pictures it is shown."""

    shown = 0

    def taken(self, image: Tensor, takers: Mapping[str, Any], **named: Any) -> dict[str, Any]:
        self.shown += 1
        return super().taken(image, takers, **named)


def test_closing_cancels(weights: Weights, photo: Tensor, painting: Tensor) -> None:
    counting = Counting(weights)
    events = paint(job_of(), Sources(Picture(photo), [Picture(painting)]), counting, CPU)
    assert isinstance(next(events), Started)
    assert counting.shown == 0  # a surface says what comes before the work begins
    assert isinstance(next(events), Progress)
    assert counting.shown == 3  # photo, painting, one evaluation
    events.close()
    assert list(events) == []
    assert counting.shown == 3


def test_the_same_job_paints_the_same_picture(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    one, two = (seen(encoder, photo, painting, scales=COARSE_TO_FINE) for _ in range(2))
    assert torch.equal(one.pixels, two.pixels)
    assert one.totals == two.totals


def test_lbfgs_paints_better_than_it_began(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    found = seen(encoder, photo, painting, steps=15, keep="best")
    assert found.finished.losses.total == min(found.totals)
    assert found.finished.losses.total < 0.5 * found.totals[0]


# ------------------------------------------------------------------------------------------------- starts


def test_a_start_is_the_photo_the_first_painting_or_a_file(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    other = photo.flip(3)

    def start(init: str, file: Tensor | None = None) -> Tensor:
        return seen(encoder, photo, painting, other, start=file, init=init, steps=1).started.start

    assert torch.equal(start("content"), photo)
    assert torch.equal(start("style"), resize(painting, 48, 64, "lanczos"))
    assert torch.equal(start("mine.png", painting), resize(painting, 48, 64, "lanczos"))
    with pytest.raises(InputError, match=r"--init mine.png: no picture"):
        start("mine.png")


def test_noise_depends_on_the_seed_alone(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    def noise(picture: Tensor, art: Tensor, **options: Any) -> Tensor:
        return seen(encoder, picture, art, init="noise", steps=1, **options).started.start

    first = noise(photo, painting, seed=7)
    assert torch.equal(noise(photo, painting, seed=7), first)
    assert torch.equal(noise(photo.flip(2), painting.flip(2), seed=7, strength=0.9, tv_weight=9.0), first)
    assert not torch.equal(noise(photo, painting, seed=8), first)
    assert 0 <= first.min() <= first.max() <= 1
    assert first.mean() == pytest.approx(0.5, abs=0.02)
    assert first.std() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("strength", "share"), [(0.9, 1.0), (0.5, 1.0), (0.2, 0.4), (0.05, 0.1)])
def test_a_start_gets_so_much_noise(encoder: VGG19, painting: Tensor, strength: float, share: float) -> None:
    """Less of it below strength ½, by the seed, and on top of any picture."""

    def noise(**options: Any) -> Tensor:
        return seen(encoder, flat(0.5), painting, steps=1, strength=strength, **options).started.start - 0.5

    first = noise(init_noise=0.08, seed=7)
    assert first.std() == pytest.approx(0.08 * share, rel=0.05)
    assert first.mean() == pytest.approx(0, abs=0.01)
    torch.testing.assert_close(noise(init_noise=0.04, seed=7), first / 2, rtol=0, atol=1e-6)
    assert not torch.equal(noise(init_noise=0.08, seed=8), first)
    assert not noise(init_noise=0.08, style_weight=0).any()


def test_a_file_is_begun_with_as_it_is(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """Also where the recipe's noise is for photos."""
    job = job_of(init="mine.png").model_copy(update={"init_noise": 0.08})
    sources = Sources(Picture(photo), [Picture(painting)], Picture(painting))
    start = Seen(paint(job, sources, encoder, CPU)).started.start
    assert torch.equal(start, resize(painting, 48, 64, "lanczos"))


def test_a_start_from_the_photo_needs_no_seed(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    one, two = (seen(encoder, photo, painting, seed=seed) for seed in (1, 2))
    assert torch.equal(one.pixels, two.pixels)


# ------------------------------------------------------------------------------------------ what is kept


@pytest.mark.parametrize("clip", [True, False])
def test_which_picture_is_kept(encoder: VGG19, photo: Tensor, painting: Tensor, clip: bool) -> None:
    options: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.15, "steps": 6, "clip": clip}
    runs = {
        keep: seen(encoder, photo, painting, keep=keep, **options) for keep in ("last", "best", "after-best")
    }
    totals, path = runs["last"].totals, runs["last"].path
    lowest = totals.index(min(totals))
    assert 0 < lowest < len(totals) - 1, totals  # else the three could not be told apart
    assert {tuple(each.totals) for each in runs.values()} == {tuple(totals)}
    for keep, expected in (("last", path[-1]), ("best", path[lowest]), ("after-best", path[lowest + 1])):
        assert torch.equal(runs[keep].pixels, expected.clamp(0, 1)), keep
    assert runs["last"].finished.losses == runs["last"].steps[-1].losses
    assert runs["best"].finished.losses == runs["best"].steps[lowest].losses
    assert runs["after-best"].finished.losses == runs["best"].finished.losses


def test_lbfgs_keeps_no_step_that_it_has_taken_back(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """Its first step is far too long and raises the loss: what is kept lies halfway back."""
    options: dict[str, Any] = {"optimizer": "lbfgs", "first_step": 1.0, "steps": 2, "clip": False}
    run = seen(encoder, photo, painting, keep="after-best", **options)
    assert run.totals[1] > run.totals[0], run.totals
    assert torch.equal(run.pixels, run.path[2].clamp(0, 1))
    assert run.finished.losses == run.steps[0].losses


def test_clipping(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    options: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.5}
    clipped = seen(encoder, photo, painting, clip=True, **options)
    assert all(0 <= image.min() <= image.max() <= 1 for image in clipped.path)
    free = seen(encoder, photo, painting, **options)
    assert any(image.min() < 0 or image.max() > 1 for image in free.path)
    assert 0 <= free.pixels.min() <= free.pixels.max() <= 1  # a result is a picture


def test_the_best_of_a_scale_begins_the_next(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    found = seen(encoder, photo, painting, scales={0.5: 1.0, 1.0: 1.0}, steps=6, keep="best")
    coarse = found.steps[:3]
    totals = [step.losses.total for step in coarse]
    best = found.path[totals.index(min(totals))]
    start = resize(best, 48, 64, "bicubic")
    again = seen(encoder, photo, painting, start=start, init="file.png", steps=1)
    assert again.totals[0] == pytest.approx(found.totals[3], rel=1e-5)


def test_the_result_has_the_photos_alpha_depth_and_resolution(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    alpha = torch.zeros(1, 1, 48, 64)
    alpha[..., 32:] = 1
    sources = Sources(Picture(photo, alpha, 16, (300.0, 72.0)), [Picture(painting)])
    picture = Seen(paint(job_of(size=32, steps=1), sources, encoder, CPU)).finished.picture
    assert (picture.bits, picture.dpi) == (16, (300.0, 72.0))
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, 24, 32)
    assert picture.alpha[..., :12].max() < 0.05
    assert picture.alpha[..., 20:].min() > 0.95


# ----------------------------------------------------------------------------------- strength and weights


def test_strength_0_gives_the_photo_back(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    found = seen(encoder, photo, painting, strength=0, tv_weight=0)
    assert torch.equal(found.pixels, photo)
    assert found.finished.evaluations == 1  # nothing pulls: it need not go on
    smoothed = seen(encoder, photo, painting, strength=0, tv_weight=1, steps=10)
    assert {step.losses.style for step in smoothed.steps} == {0}
    assert (smoothed.pixels - photo).abs().mean() < 0.02


@pytest.mark.slow
def test_strength_0_comes_close_from_a_coarse_start(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """The recipe's own ladder begins with a photo of a quarter of the size."""
    wide = resize(photo, 96, 128, "bicubic")
    job = Stylize(content="photo", styles=(Style(path="style"),), size=128, strength=0)
    found = Seen(paint(job, Sources(Picture(wide), [Picture(painting)]), encoder, CPU))
    assert {step.losses.style for step in found.steps} == {0}
    assert (found.pixels - wide).abs().mean() < 0.04


def test_strength_1_has_no_content(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    found = seen(encoder, photo, painting, strength=1)
    assert {step.losses.content for step in found.steps} == {0}
    assert min(step.losses.style for step in found.steps) > 0


def test_strength_walks_from_content_to_style() -> None:
    def ratio(strength: float) -> float:
        content, style = balance(Settings(strength=strength, content_weight=3.0, style_weight=5.0))
        return style / content

    assert balance(Settings(strength=0.5, content_weight=3.0, style_weight=5.0)) == (3.0, 5.0)
    assert balance(Settings(strength=0.0))[1] == 0
    assert balance(Settings(strength=1.0))[0] == 0
    ratios = [ratio(step / 20) for step in range(20)]
    assert ratios == sorted(ratios)
    assert len(set(ratios)) == 20


def test_variation_counts_in_full_from_the_dials_middle_on() -> None:
    """Below less and less: at 0 the photo is not smoothed."""
    weights = [variation_weight(Settings(strength=s, tv_weight=8.0)) for s in (0, 0.25, 0.5, 1)]
    assert weights == [0, 4, 8, 8]


def test_more_strength_is_more_style(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """Measured by one yardstick, the default weights, the style fits better and the photo worse."""
    ends = [
        seen(encoder, photo, painting, strength=strength, steps=12, keep="best").pixels
        for strength in (0.2, 0.5, 0.8)
    ]
    judged = [seen(encoder, photo, painting, start=end, init="file.png", steps=1).steps[0] for end in ends]
    styles = [step.losses.style for step in judged]
    contents = [step.losses.content for step in judged]
    assert styles == sorted(styles, reverse=True)
    assert contents == sorted(contents)


def test_a_weight_scales_its_term_and_0_removes_it(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    options: dict[str, Any] = {"init": "noise", "steps": 1, "tv_weight": 1.0}
    plain = seen(encoder, photo, painting, **options).steps[0].losses
    for name in ("content", "style", "tv"):
        weight = getattr(job_of(**options), f"{name}_weight")
        for factor in (0, 3):
            scaled = {**options, f"{name}_weight": factor * weight}
            found = seen(encoder, photo, painting, **scaled).steps[0].losses
            for term in ("content", "style", "tv"):
                expected = getattr(plain, term) * (factor if term == name else 1)
                assert getattr(found, term) == pytest.approx(expected, rel=1e-5), (name, term)


def test_without_any_weight_the_photo_stays(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    nothing: dict[str, Any] = {"content_weight": 0, "style_weight": 0, "tv_weight": 0}
    for optimizer in ("lbfgs", "adam", "sgd"):
        found = seen(encoder, photo, painting, optimizer=optimizer, **nothing)
        assert torch.equal(found.pixels, photo)
        assert found.totals == [0]


def test_a_layer_of_weight_0_is_not_measured(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    layers = {"block1_conv1": 1.0, "block5_conv1": 0.0}
    job = job_of(style_layers=layers, content_layers=layers)
    target = make_target(encoder, job, photo, [painting], [1.0])
    assert list(target.style) == list(target.content) == ["block1_conv1"]


# ----------------------------------------------------------------------------------------- several styles


def test_styles_are_blended_by_weight(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    def losses(*pairs: tuple[Tensor, float]) -> list[float]:
        paintings, shares = zip(*pairs, strict=True)
        return seen(encoder, photo, *paintings, style_weights=list(shares), steps=2).totals

    one, two = painting, flat(0.3, 40, 64)
    assert losses((one, 1), (two, 3)) == pytest.approx(losses((two, 6), (one, 2)), rel=1e-4)
    assert losses((one, 1), (one, 5)) == pytest.approx(losses((one, 1)), rel=1e-4)
    assert losses((one, 1), (two, 1e-9)) == pytest.approx(losses((one, 1)), rel=1e-4)
    assert losses((one, 1), (two, 1)) != pytest.approx(losses((one, 1)), rel=1e-2)


# ------------------------------------------------------------------------------------------- every option

ADAM: dict[str, Any] = {"optimizer": "adam"}
BALANCED: dict[str, Any] = {"content_weight": 1e5, "content_loss": "mean", "style_loss": "gram"}
CHANGES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({}, [{"strength": 0.7}, {"stroke_size": 50}, {"style_shape": "photo"}]),
    ({}, [{"content_weight": 1e5}, {"style_weight": 1e-5}, {"tv_weight": 1e9}]),
    ({}, [{"content_layers": {"block1_conv2": 1e5}}, {"content_layers": {"block2_conv1": 1e5}}]),
    ({}, [{"style_layers": {"block1_conv2": 1.0}}]),
    ({}, [{"style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.1}}]),
    (BALANCED, [{"content_loss": "sum"}, {"content_loss": "half-sum"}, {"content_loss": "relative"}]),
    (BALANCED, [{"style_loss": "gatys"}, {"style_loss": "keras"}, {"style_loss": "relative"}]),
    ({"tv_weight": 1e9}, [{"tv_loss": "l1"}, {"tv_loss": "keras"}]),
    # With 1e9 it is all there is, and the way of L-BFGS does not depend on the unit of a loss.
    ({"tv_weight": 1e4}, [{"units": 255}]),
    ({}, [{"optimizer": "adam"}, {"optimizer": "sgd", "learning_rate": 1.0}]),
    (ADAM, [{"learning_rate": 0.05}, {"decay_rate": 0.1}, {"units": 255}]),
    (ADAM, [{"beta1": 0.5}, {"beta2": 0.5}, {"epsilon": 0.5}]),
    (ADAM | {"decay_rate": 0.1}, [{"decay_steps": 3}]),
    (ADAM | {"epsilon": 1e-3}, [{"adam": "tensorflow"}]),
    ({"optimizer": "sgd", "learning_rate": 1.0}, [{"learning_rate": 2.0}, {"decay_rate": 0.1}]),
    ({"steps": 6}, [{"history": 1}, {"first_step": 0.1}, {"steps": 7}]),
    ({"steps": 6}, [{"epochs": 2, "steps_per_epoch": 4}]),
    ({"steps": 8}, [{"scales": {0.5: 1.0, 1.0: 1.0}}]),
    ({"steps": 8, "scales": {0.5: 1.0, 1.0: 1.0}}, [{"scales": {0.5: 3.0, 1.0: 1.0}}]),
    ({}, [{"init": "style"}, {"init": "noise"}, {"init": "noise", "seed": 1}]),
    ({"init": "noise"}, [{"seed": 1}]),
    ({"pooling": "max"}, [{"pooling": "avg"}]),
    (ADAM | {"learning_rate": 0.5}, [{"clip": True}]),
    ({"size": 41}, [{"resize": how} for how in ("nearest", "bilinear", "bicubic", "area")]),
    ({}, [{"size": 44}, {"rows": 40}]),
    ({"size": 45}, [{"size_rounding": "floor"}]),
]
OPTIONS = [(base, change) for base, changes in CHANGES for change in changes]


@pytest.mark.parametrize(("base", "change"), OPTIONS, ids=str)
def test_every_option_changes_the_picture(
    encoder: VGG19,
    averaging: VGG19,
    photo: Tensor,
    painting: Tensor,
    base: dict[str, Any],
    change: dict[str, Any],
) -> None:
    def painted(options: dict[str, Any]) -> Tensor:
        job: dict[str, Any] = {"pooling": "max", "size": 40, "steps": 3, "tv_weight": 0.0, **options}
        return seen(encoder if job["pooling"] == "max" else averaging, photo, painting, **job).pixels

    before, after = painted(base), painted(base | change)
    assert before.shape != after.shape or (before - after).abs().max() > 1e-4


# -------------------------------------------------------------------------------------------------- sizes


@given(
    steps=st.integers(1, 300),
    scales=st.dictionaries(st.floats(0.05, 1), st.floats(0.01, 100), min_size=1, max_size=5),
    height=st.integers(100, 900),
    width=st.integers(100, 900),
)
@settings(deadline=None)
def test_a_ladder_climbs_to_the_size_in_all_its_steps(
    steps: int, scales: dict[float, float], height: int, width: int
) -> None:
    job = Settings(steps=steps, scales=scales, size=512)
    rungs = ladder(job, (height, width))
    assert sum(rung.steps for rung in rungs) == steps
    assert min(rung.steps for rung in rungs) >= 1
    assert (rungs[-1].height, rungs[-1].width) == result_size(job, (height, width))
    assert [rung.long_side for rung in rungs] == sorted(rung.long_side for rung in rungs)


@pytest.mark.parametrize(
    ("size", "expected"), [(300, (200, 300)), (900, (600, 900)), ("original", (400, 600))]
)
def test_size_is_the_long_side(size: Any, expected: tuple[int, int]) -> None:
    assert result_size(Settings(size=size), (400, 600)) == expected
    assert result_size(Settings(size=size), (600, 400)) == expected[::-1]


@given(st.integers(1, 20000), st.sampled_from(["round", "floor"]), st.integers(16, 4096))
def test_the_long_side_is_the_size_whatever_the_photo(side: int, rounding: Any, size: int) -> None:
    job = Settings(size=size, size_rounding=rounding)
    assert result_size(job, (side, side)) == (size, size)
    assert style_size(job, Scale(size, size, 1), (side, side)) == (size, size)


def test_stroke_size_is_the_paintings_size_beside_the_pictures() -> None:
    def size(stroke: float, scale: Scale, **options: Any) -> tuple[int, int]:
        return style_size(Settings(stroke_size=stroke, **options), scale, (300, 600))

    assert size(100, Scale(48, 64, 1)) == (32, 64)
    assert size(50, Scale(48, 64, 1)) == (16, 32)
    assert size(200, Scale(48, 64, 1)) == (64, 128)
    assert size(50, Scale(96, 128, 1)) == (32, 64)  # the same proportion at every size
    assert size(50, Scale(48, 64, 1), style_shape="photo") == (24, 32)


def test_scales_are_sizes_on_the_way(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    found = seen(encoder, photo, painting, scales=COARSE_TO_FINE)
    assert [tuple(step.image.shape[2:]) for step in found.steps] == [(12, 16), (24, 32), (48, 64), (48, 64)]
    assert found.started.start.shape[2:] == (12, 16)
    assert (found.started.height, found.started.width) == (48, 64)


def test_a_finer_scale_begins_with_what_the_coarser_learnt(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    """Also when the run is taken up between the two."""
    job = job_of(optimizer="lbfgs", scales={0.5: 3.0, 1.0: 2.0}, steps=5)
    sources = Sources(Picture(photo), [Picture(painting)])
    events = list(paint(job, sources, encoder, CPU))
    kept = [event for event in events if isinstance(event, Checkpoint)]
    coarse, fine = (
        next(state for state in kept if (state.rung, state.step) == at) for at in ((0, 3), (1, 1))
    )
    change, bend = (each.ravel() for each in coarse.optimizer["pairs"][-1])
    assert fine.optimizer["learnt"] == pytest.approx(float(change @ bend / (bend @ bend)) / (3 * 24 * 32))
    assert coarse.optimizer["learnt"] is None
    *_, resumed = paint(job, sources, encoder, CPU, coarse)
    assert isinstance(resumed, Finished)
    assert isinstance(events[-1], Finished)
    assert torch.equal(resumed.picture.pixels, events[-1].picture.pixels)


def test_a_single_step_is_taken_at_the_size_asked_for(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    found = seen(encoder, photo, painting, scales=COARSE_TO_FINE, steps=1)
    assert [step.scale for step in found.steps] == [64]
    assert found.pixels.shape == (1, 3, 48, 64)


def test_coarse_scales_too_small_for_the_layers_are_left_out(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    """A quarter of 48 rows would leave block5_conv1 no position; its steps go to the others."""
    found = seen(encoder, photo, painting, scales=COARSE_TO_FINE, style_layers={"block5_conv1": 1.0}, steps=6)
    assert [step.scale for step in found.steps] == [32, 32, 64, 64, 64, 64]
    long = seen(encoder, flat(0.5, 10, 200), painting, size=200, scales=COARSE_TO_FINE, steps=4)
    assert found.started.evaluations == 6
    assert long.pixels.shape == (1, 3, 10, 200)


# ----------------------------------------------------------------------------------------- unusual pictures


@pytest.mark.parametrize("tv_weight", [0.0, 1.0])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_photo_that_is_its_own_painting_stays(
    encoder: VGG19, photo: Tensor, optimizer: str, tv_weight: float
) -> None:
    found = seen(encoder, photo, photo, optimizer=optimizer, tv_weight=tv_weight, keep="best", steps=5)
    losses = found.finished.losses
    # Smoothing may pull at it, by a fraction of what it gains itself.
    gained = found.steps[0].losses.tv - losses.tv
    assert losses.style + losses.content <= 0.1 * gained + 1e-9
    assert (found.pixels - photo).abs().mean() < 0.02


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_pictures(encoder: VGG19, photo: Tensor, painting: Tensor, value: float, optimizer: str) -> None:
    """Whichever picture is flat, with all five blocks: the losses are numbers, and the result a picture."""
    deep = {f"block{block}_conv1": 0.2 for block in range(1, 6)}
    for picture, art in ((flat(value), painting), (photo, flat(value)), (flat(value), flat(value))):
        found = seen(encoder, picture, art, style_layers=deep, optimizer=optimizer, steps=3, tv_weight=1.0)
        assert found.pixels.isfinite().all()
        assert max(found.totals) < float("inf")


def test_a_picture_twenty_times_as_long_as_high(encoder: VGG19, painting: Tensor) -> None:
    for height, width in ((10, 200), (200, 10)):
        found = seen(encoder, flat(0.5, height, width), painting, size=200, steps=2)
        assert found.pixels.shape == (1, 3, height, width)
        assert found.pixels.isfinite().all()


@pytest.mark.parametrize("options", [{"size": 512}, {"size": "original"}, {"rows": 400}])
@pytest.mark.parametrize(("height", "width"), [(10, 201), (4101, 205), (1, 50)])
def test_a_longer_picture_is_refused(options: dict[str, Any], height: int, width: int) -> None:
    with pytest.raises(InputError, match=rf"{width}×{height}, longer than 20:1: crop it"):
        result_size(Settings(**options), (height, width))


def test_a_picture_too_small_for_its_layers_is_refused_before_the_work(
    weights: Weights, painting: Tensor
) -> None:
    counting = Counting(weights)
    deep = {"block5_conv1": 1.0}
    with pytest.raises(
        InputError, match=r"20×15 pixels are too small for block5_conv1: the short side needs 16"
    ):
        seen(counting, flat(0.5, 15, 20), painting, style_layers=deep, size="original")
    assert counting.shown == 0
    assert (
        seen(counting, flat(0.5, 16, 20), painting, style_layers=deep, size="original", steps=1).pixels.shape[
            2
        ]
        == 16
    )


def test_a_painting_too_small_for_its_layers_is_refused(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    deep = {"block5_conv1": 1.0}
    with pytest.raises(
        InputError, match=r"14×16 pixels are too small for block5_conv1: the short side needs 16"
    ):
        seen(encoder, photo, painting, style_layers=deep, stroke_size=25)


# --------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    ("only", "term", "rate"),
    [
        ({"content_weight": 1.0, "init": "noise"}, "content", 1e12),
        ({"style_weight": 1.0, "style_loss": "relative"}, "style", 1e9),
        ({"tv_weight": 1.0, "tv_loss": "keras"}, "total variation", 1e12),
    ],
)
def test_a_run_that_diverges_names_the_term(
    encoder: VGG19, photo: Tensor, painting: Tensor, only: dict[str, Any], term: str, rate: float
) -> None:
    weights: dict[str, Any] = {"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0, **only}
    with pytest.raises(DivergedError, match=rf"evaluation \d+: .*the {term} loss .*lower --learning-rate"):
        seen(encoder, photo, painting, optimizer="sgd", learning_rate=rate, steps=30, **weights)


def test_lbfgs_has_no_rate_to_lower(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    with pytest.raises(DivergedError, match=r"; lower the weight of that term$"):
        seen(encoder, photo, painting, optimizer="lbfgs", style_weight=1e38, steps=2)


def test_what_is_no_number_is_named(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    with pytest.raises(DivergedError, match=re.escape("evaluation 1: the style loss is inf")):
        seen(encoder, photo, painting, style_weight=1e300)
    with pytest.raises(DivergedError, match="content loss is nan, the style loss is nan"):
        seen(encoder, photo, painting, start=photo * float("nan"), init="file.png")


def test_lbfgs_takes_back_a_step_that_runs_away(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    """Here the second full step leads pixels to 700 and the loss to 1e12: a detour, no failure."""
    options: dict[str, Any] = {"size": 40, "scales": {0.5: 1.0, 1.0: 1.0}, "tv_weight": 0.0}
    found = seen(encoder, photo, painting, steps=8, keep="best", **options)
    assert len(found.totals) == 8
    assert found.finished.losses.total == min(found.totals[4:])
    assert found.finished.losses.total < 0.6


# ---------------------------------------------------------------------------------- from files and in halves


def test_run_reads_the_jobs_files(
    weights: Weights, photo: Tensor, photo_file: Path, painting_file: Path, tmp_path: Path
) -> None:
    to_image(photo.flip(3)).save(start := tmp_path / "start.png")
    machine = {"device": "cpu", "precision": "float32"}
    options: dict[str, Any] = {**SHALLOW, **machine, "steps": 2, "init": str(start)}
    job = Stylize(
        content=str(photo_file),
        styles=(Style(path=str(painting_file)),),
        **options,
    )
    found = Seen(run(job))
    torch.testing.assert_close(found.started.start, photo.flip(3))
    assert (found.started.weights, found.finished.evaluations) == (weights.source, 2)
    again = Seen(run(Stylize.from_json(job.to_json())))
    assert torch.equal(again.pixels, found.pixels)


@pytest.mark.parametrize("missing", ["content", "styles", "init"])
def test_a_missing_file_is_named(photo_file: Path, painting_file: Path, missing: str) -> None:
    files: dict[str, Any] = {
        "content": str(photo_file),
        "styles": [str(painting_file)],
        "init": str(photo_file),
    }
    files[missing] = ["gone.png"] if missing == "styles" else "gone.png"
    with pytest.raises(InputError, match=r"gone.png: no such file"):
        next(run(Stylize(**(SHALLOW | files))))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_bfloat16_follows_float32(weights: Weights, photo: Tensor, painting: Tensor, optimizer: str) -> None:
    half = Context(torch.device("cpu"), torch.bfloat16)
    encoder = VGG19(weights, dtype=torch.bfloat16)
    sources = Sources(Picture(photo), [Picture(painting)])
    found = Seen(paint(job_of(steps=3, optimizer=optimizer), sources, encoder, half))
    single = seen(VGG19(weights), photo, painting, steps=3, optimizer=optimizer)
    assert found.started.precision == "bfloat16"
    assert found.steps[0].image.dtype == torch.float32
    assert found.totals[:2] == pytest.approx(single.totals[:2], rel=0.002)
    # L-BFGS's third step rests on differences of gradients, which rounding changes most: 5 % measured.
    assert found.totals[2] == pytest.approx(single.totals[2], rel=0.1 if optimizer == "lbfgs" else 0.002)


def test_a_ladder_ends_at_the_recipes_own_objective(encoder: VGG19) -> None:
    """With a filter that picks pixels the finest scale compares what a single scale would."""
    large = torch.rand(1, 3, 130, 170, generator=torch.Generator().manual_seed(1))
    options: dict[str, Any] = {"resize": "nearest", "size": 64, "optimizer": "sgd", "learning_rate": 1e-9}
    alone = seen(encoder, large, large.flip(3), steps=1, scales={1.0: 1.0}, **options)
    ladder = seen(encoder, large, large.flip(3), steps=2, scales={0.5: 1.0, 1.0: 1.0}, **options)
    height, width = alone.pixels.shape[-2:]
    start = resize(ladder.steps[0].image, height, width, "bicubic")
    again = seen(
        encoder, large, large.flip(3), steps=1, scales={1.0: 1.0}, start=start, init="f.png", **options
    )
    assert ladder.steps[1].losses.style == pytest.approx(again.steps[0].losses.style, rel=1e-4)
    assert alone.started.width == ladder.started.width == 64


@pytest.mark.parametrize("resize_by", ["lanczos", "nearest"])
@pytest.mark.parametrize("tileable", [False, True])
def test_pictures_are_shrunk_once(
    encoder: VGG19, photo: Tensor, painting: Tensor, resize_by: Method, tileable: bool
) -> None:
    """A camera's pixels give the picture that they give when the job's own filter has shrunk them."""
    large, wide = resize(photo, 144, 192, "bicubic"), resize(painting, 192, 168, "bicubic")
    options: dict[str, Any] = {"scales": COARSE_TO_FINE, "resize": resize_by, "tileable": tileable}
    whole = seen(encoder, large, wide, **options)
    job = job_of(**options)
    sources = sources_of(job, Picture(large), [Picture(wide)])
    assert sources.content.size == ((144, 192) if tileable else (48, 64))
    small = resize(wide, 64, 56, resize_by)
    shrunk = Seen(paint(job, replace(sources, styles=[Picture(small)]), encoder, CPU))
    assert torch.equal(whole.pixels, shrunk.pixels)


def test_a_long_painting_is_as_long_at_every_scale(encoder: VGG19) -> None:
    """At 194 pixels it has 16 rows, and 15 when it was shrunk to 777 before: the ladder reckons with that."""
    options: dict[str, Any] = {"scales": {0.25: 1, 1.0: 1}, "steps": 2, "size": 777, "strength": 0.9}
    options |= {"style_layers": {"block5_conv1": 1.0}, "content_layers": {"block1_conv1": 1.0}}
    found = seen(encoder, flat(0.5, 100, 1000), torch.rand(1, 3, 160, 1999), **options)
    assert [step.scale for step in found.steps] == [777, 777]


@pytest.mark.parametrize(
    "options",
    [{"engine": "feedforward", "styles": "builtin:1"}, {"init": "feedforward"}, {"size": "original"}],
)
def test_a_photo_that_is_needed_whole_stays_so(photo: Tensor, options: dict[str, Any]) -> None:
    """A network may paint larger than the result."""
    job = build(Stylize, {"content": "photo", "styles": "art", "size": 32} | options)
    styles: list[Source] = ["builtin:1"] if job.engine == "feedforward" else [Picture(photo)]
    assert sources_of(job, Picture(photo), styles).content.size == (48, 64)


def test_a_photo_that_is_nearly_too_long_is_painted(encoder: VGG19, painting: Tensor) -> None:
    """It is 19.9 times as long as wide, its result for rounding 20.2 times."""
    job = job_of(size=505, steps=1)
    sources = sources_of(job, Picture(flat(0.5, 201, 4000)), [Picture(painting)])
    assert Seen(paint(job, sources, encoder, CPU)).pixels.shape == (1, 3, 25, 505)
