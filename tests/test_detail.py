"""A painting's finest detail: what is laid over an enlarged picture, and how much of it."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brushwork.context import Context
from brushwork.encoders import VGG19
from brushwork.events import Checkpoint, Finished, Progress
from brushwork.fields import build
from brushwork.images import Picture, Sources, resize
from brushwork.jobs import Stylize
from brushwork.optimize import detail
from brushwork.optimize.detail import PATCH, STRIDE, best_amount, examples_of, missing_detail
from brushwork.optimize.engine import paint
from brushwork.optimize.forecast import forecast
from brushwork.optimize.objective import Objective, make_target
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale
from brushwork.weights import Weights

CPU = Context(torch.device("cpu"), torch.float32)


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def softened(picture: Tensor) -> Tensor:
    """Shrunk to half its size and enlarged again."""
    height, width = picture.shape[-2:]
    return resize(resize(picture, height // 2, width // 2, "bicubic"), height, width, "bicubic")


# ------------------------------------------------------------------------------------------- what is laid


@given(st.integers(3, 8), st.integers(3, 8), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_a_softened_painting_gets_its_own_detail_back(rows: int, columns: int, seed: int) -> None:
    painting = noise(STRIDE * rows, STRIDE * columns, seed)
    soft = softened(painting)
    found = missing_detail(soft, [painting], [1.0], 0.5)
    inner = slice(STRIDE, -STRIDE)  # a patch that reaches beyond the edge sees the edge repeated there
    expected = (painting - soft)[..., inner, inner]
    torch.testing.assert_close(found[..., inner, inner], expected, atol=1e-5, rtol=0)


def test_each_patch_takes_the_most_similar_examples_detail() -> None:
    """Against a plain search, patch by patch, at a size that is no multiple of anything."""
    picture, painting = softened(noise(42, 54, 1)), noise(64, 48, 2)
    plain, lost = examples_of(painting, 0.5, 4096)
    fade = np.hanning(PATCH + 1)[:-1]
    wide = np.pad(picture[0].numpy(), ((0, 0), (STRIDE, 2 * PATCH), (STRIDE, 2 * PATCH)), mode="edge")
    expected = np.zeros_like(wide)
    for top in range(0, 42 + STRIDE, STRIDE):
        for left in range(0, 54 + STRIDE, STRIDE):
            place = np.s_[:, top : top + PATCH, left : left + PATCH]
            distances = ((plain.numpy() - wide[place].reshape(1, -1)) ** 2).sum(1)
            best = int(distances.argmin())
            mine, theirs = (
                np.sqrt(each.reshape(3, -1).var(1).mean()) + 1 / 255
                for each in (wide[place], plain[best].numpy())
            )
            laid = lost[best].numpy().reshape(3, PATCH, PATCH) * min(1.0, mine / theirs)
            expected[place] += laid * fade[:, None] * fade
    found = missing_detail(picture, [painting], [1.0], 0.5)
    np.testing.assert_allclose(found[0], expected[:, STRIDE : STRIDE + 42, STRIDE : STRIDE + 54], atol=1e-5)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, painting = noise(90, 70), noise(80, 100, 1)
    whole = missing_detail(picture, [painting], [1.0], 0.5)
    monkeypatch.setattr(detail, "AT_ONCE", 1)
    torch.testing.assert_close(missing_detail(picture, [painting], [1.0], 0.5), whole)


@given(st.integers(0, 5), st.integers(0, 7))
@settings(deadline=None, max_examples=10)
def test_a_picture_that_wraps_has_no_seam(down: int, across: int) -> None:
    """Wherever it is cut open, the detail is the same."""
    picture, painting, cut = noise(48, 64), noise(80, 100, 1), (STRIDE * down, STRIDE * across)
    whole = missing_detail(picture, [painting], [1.0], 0.5, wrap=True)
    rolled = missing_detail(picture.roll(cut, (-2, -1)), [painting], [1.0], 0.5, wrap=True)
    torch.testing.assert_close(rolled, whole.roll(cut, (-2, -1)))


def test_paintings_give_examples_by_their_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def counted(painting: Tensor, ratio: float, count: float) -> detail.Examples:
        asked.append(count)
        return examples_of(painting, ratio, count)

    monkeypatch.setattr(detail, "examples_of", counted)
    picture, one, other = softened(noise(64, 64)), noise(64, 64), noise(64, 64, 1)
    missing_detail(picture, [one, other], [3.0, 1.0], 0.5)
    assert asked == [3 * detail.EXAMPLES / 4, detail.EXAMPLES / 4]
    alone = missing_detail(picture, [one], [3.0], 0.5)
    assert torch.equal(missing_detail(picture, [one, other], [3.0, 0.0], 0.5), alone)
    assert not torch.equal(missing_detail(picture, [other], [1.0], 0.5), alone)


def test_a_large_painting_gives_no_more_examples() -> None:
    found = [len(examples_of(noise(side, side), 0.5, 100).plain) for side in (80, 200, 500)]
    assert found[0] <= found[1] <= 100
    assert 64 <= found[2] <= 100


@pytest.mark.parametrize("painting", [torch.full((1, 3, 60, 60), 0.4), noise(15, 40), noise(1, 1)])
def test_nothing_is_known_of_flat_and_tiny_paintings(painting: Tensor) -> None:
    found = missing_detail(noise(40, 30), [painting], [1.0], 0.5)
    assert found.shape == (1, 3, 40, 30)
    assert found.abs().max() < 1e-6


# ------------------------------------------------------------------------------------------- how much of it


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_the_amount_is_where_the_loss_is_lowest(none: float, linear: float, square: float) -> None:
    """Of any parabola in the square of the amount, against a plain search."""
    amounts = np.linspace(0, 1, 2001)
    losses = none + linear * amounts**2 + square * amounts**4
    found = best_amount(losses[0], losses[1000], losses[2000])
    assert 0 <= found <= 1
    assert none + linear * found**2 + square * found**4 <= losses.min() + 1e-5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_takes_none_of_it(bad: float) -> None:
    assert best_amount(1.0, 0.7, bad) == best_amount(1.0, bad, 0.5) == 0


# --------------------------------------------------------------------------------------------- in the engine


def job_of(**options: object) -> Stylize:
    look = {
        "size": 96,
        "steps": 6,
        "coarsest": 16,
        "scales": {0.25: 1.0, 0.5: 1.0, 1.0: 1.0},
        "content_layers": {"block2_conv1": 1.0},
        "style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.5},
    }
    return build(Stylize, {"content": "photo", "styles": "art", **look, **options})


@pytest.fixture(scope="module")
def sources() -> Sources:
    """A photo of soft greys, and greys of the same kind hatched: lines as thick as they are dark."""
    soft, other = (resize(noise(7, 9, seed), 72, 96, "bicubic").mean(1, keepdim=True) for seed in (3, 4))
    lines = torch.sin(torch.arange(96) * (2 * torch.pi / 5)) / 4 + 0.5
    photo, painting = (each.repeat(1, 3, 1, 1) for each in (soft, (other > lines).float()))
    return Sources(Picture(photo), [Picture(painting)])


def losses_at_the_first_step(job: Stylize, sources: Sources, weights: Weights) -> list[float]:
    events = paint(job, sources, VGG19(weights), CPU)
    return [e.losses.total for e in events if isinstance(e, Progress) and e.step == 1]


def test_finer_scales_begin_lower(sources: Sources, weights: Weights) -> None:
    """Of a photo without detail and a painting that is nothing else."""
    with_detail = losses_at_the_first_step(job_of(strength=0.9), sources, weights)
    without = losses_at_the_first_step(job_of(strength=0.9, style_detail=False), sources, weights)
    assert with_detail[0] == without[0]
    assert with_detail[1] < 0.9 * without[1]


def test_a_photo_that_is_to_stay_gets_none(sources: Sources, weights: Weights) -> None:
    """Content alone counts, and it is lowest without."""
    job = job_of(style_weight=1e-9)
    kept = [e for e in paint(job, sources, VGG19(weights), CPU) if isinstance(e, Checkpoint)]
    assert [event.detail for event in kept if event.rung] == pytest.approx([0.0] * 4, abs=0.01)


def test_the_amount_is_decided_once_and_kept_with_the_state(sources: Sources, weights: Weights) -> None:
    """And a run taken up from any state ends as the whole one."""
    job, encoder = job_of(), VGG19(weights)
    *events, end = paint(job, sources, encoder, CPU)
    kept = [event for event in events if isinstance(event, Checkpoint)]
    assert [event.detail is None for event in kept] == [event.rung == 0 for event in kept]
    assert all(one.detail == other.detail for one, other in pairwise(e for e in kept if e.rung))
    assert isinstance(end, Finished)
    for state in kept[1:-1]:
        *_, resumed = paint(job, sources, encoder, CPU, state)
        assert isinstance(resumed, Finished)
        assert torch.equal(resumed.picture.pixels, end.picture.pixels)


@pytest.mark.parametrize("clip", [True, False])
def test_with_the_detail_a_clipped_picture_stays_in_range(
    sources: Sources, weights: Weights, clip: bool
) -> None:
    """What the first evaluation of a finer scale looks at, and keeps."""
    job = job_of(strength=0.9, clip=clip, keep="best", scales={0.5: 1.0, 1.0: 1.0}, steps=2)
    events = paint(job, sources, VGG19(weights), CPU)
    (first,) = (e.kept for e in events if isinstance(e, Checkpoint) and (e.rung, e.step) == (1, 1))
    assert (float(first.min()) >= 0 and float(first.max()) <= 1) == clip


@pytest.mark.parametrize("form", ["covariance", "gram", "w2", "sliced", "nearest"])
def test_a_trial_has_the_losses_of_an_evaluation(weights: Weights, form: str) -> None:
    """It does without the gradient, which is half the work."""
    encoder, job = VGG19(weights), job_of(style_loss=form)
    photo, painting, picture = (noise(48, 64, seed) for seed in range(3))
    objective = Objective(encoder, make_target(encoder, job, photo, [painting], [1.0]), job)
    whole = objective.evaluate(picture).losses
    assert astuple(objective.losses(picture)) == pytest.approx(astuple(whole), rel=1e-5)


@pytest.mark.parametrize(("tile", "evaluations"), [(None, 6.5), (64, 8)])
def test_a_forecast_counts_the_trials(tile: int | None, evaluations: float) -> None:
    """At the second scale, the first finer one; in tiles they have gradients."""
    scales, plans = [Scale(30, 40, 4), Scale(60, 80, 4), Scale(120, 160, 4)], [Plan(tile=tile)] * 3
    with_detail, without = (
        [rung.seconds for rung in forecast(job_of(style_detail=is_on), scales, plans, 1e-6).rungs]
        for is_on in (True, False)
    )
    assert without == pytest.approx([5 * s.height * s.width * 1e-6 for s in scales])
    assert [a / b for a, b in zip(with_detail, without, strict=True)] == pytest.approx(
        [1, evaluations / 5, 1]
    )


def test_tiles_change_nothing(sources: Sources, weights: Weights) -> None:
    """Neither the amount nor the picture, beyond rounding."""
    encoder = VGG19(weights)

    def painted(**options: object) -> tuple[float, Tensor]:
        *events, end = paint(job_of(size=192, strength=0.9, steps=4, **options), sources, encoder, CPU)
        assert isinstance(end, Finished)
        amounts = [e.detail for e in events if isinstance(e, Checkpoint) and e.detail is not None]
        return amounts[-1], end.picture.pixels

    (amount, whole), (other, tiled) = painted(), painted(tile=64)
    assert 0 < amount < 1
    assert other == pytest.approx(amount, abs=1e-3)
    torch.testing.assert_close(tiled, whole, atol=2e-3, rtol=0)


@pytest.mark.parametrize("colour", ["luminance", "content", "match"])
def test_colours_stay_as_asked(sources: Sources, weights: Weights, colour: str) -> None:
    """A photo in greys, whose colours the result keeps although the painting's detail is in others."""
    tint = torch.tensor([0.9, 0.4, 0.1]).view(1, 3, 1, 1)
    tinted = Sources(sources.content, [Picture(sources.styles[0].pixels * tint)])
    *_, end = paint(job_of(strength=0.9, color=colour), tinted, VGG19(weights), CPU)
    assert isinstance(end, Finished)
    pixels = end.picture.pixels
    assert (pixels - pixels.mean(1, keepdim=True)).abs().mean() < 0.03
