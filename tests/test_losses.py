"""Losses: each form against its formula in NumPy, its gradient, its refusals, and what must not change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from brushwork.errors import InputError
from brushwork.losses import (
    Moments,
    Patches,
    Projections,
    content_loss,
    gram_matrix,
    high_pass,
    nearest_loss,
    sliced_loss,
    style_loss,
    total_variation,
)
from brushwork.losses.content import ContentForm
from brushwork.losses.statistics import blend, in_float64, levels
from brushwork.losses.style import StyleForm
from brushwork.losses.variation import VariationForm

Array = NDArray[np.float64]
CONTENT_FORMS: tuple[ContentForm, ...] = get_args(ContentForm)
STYLE_FORMS: tuple[StyleForm, ...] = get_args(StyleForm)
TV_FORMS: tuple[VariationForm, ...] = get_args(VariationForm)
GRAM_FORMS = ("none", "positions", "elements")
PIXELS = 120


def maps(seed: int, channels: int = 3, height: int = 4, width: int = 5, dtype: Any = torch.float64) -> Tensor:
    values = np.random.default_rng(seed).normal(size=(1, channels, height, width))
    return torch.from_numpy(values).to(dtype)


def near(found: Tensor | float, expected: float | Array, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=rtol, atol=1e-15)


def gram_of(features: Tensor) -> Array:
    """The undivided Gram matrix by its definition, Σ over positions, one entry at a time."""
    planes = features[0].numpy()
    return np.array([[(a * b).sum() for b in planes] for a in planes])


def checked(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, leaves)


# ------------------------------------------------------------------------------------------ Gram matrices


@settings(deadline=None)
@given(size=st.integers(1, 600), count=st.integers(1, 600), seed=st.integers(0, 99))
def test_levels_lie_evenly_in_a_distribution(size: int, count: int, seed: int) -> None:
    ordered = torch.rand(2, size, generator=torch.Generator().manual_seed(seed)).sort(1).values
    at = (np.arange(count) + 0.5) / count  # numpy's "hazen" puts the i-th of n at (i + ½) / n
    expected = np.quantile(ordered.double().numpy(), at, axis=1, method="hazen").T
    np.testing.assert_allclose(levels(ordered, count).numpy(), expected, atol=1e-6)


def test_an_apple_gpu_s_sums_are_added_up_on_the_processor() -> None:
    found = in_float64(torch.ones(2), torch.device("mps"))  # no such device is needed: it has no float64
    assert (found.device.type, found.dtype) == ("cpu", torch.float64)


def test_gram_matrix_of_the_worked_example() -> None:
    filters = torch.tensor([[[1.0, 2], [4, 5]], [[5, 7], [2, 3]]])
    expected = torch.tensor([[46.0, 42], [42, 87]])
    assert torch.equal(gram_matrix(filters, normalize="none"), expected)
    assert torch.equal(gram_matrix(filters[None], normalize="none"), expected)
    assert torch.equal(gram_matrix(filters), expected / 4)
    assert torch.equal(gram_matrix(filters, normalize="elements"), expected / 8)


@pytest.mark.parametrize(("form", "divisor"), [("none", 1), ("positions", 20), ("elements", 60)])
def test_gram_matrix_is_the_inner_products(form: Any, divisor: int) -> None:
    near(gram_matrix(maps(1), normalize=form), gram_of(maps(1)) / divisor)


@pytest.mark.parametrize("form", GRAM_FORMS)
def test_gradient_of_gram_matrix(form: Any) -> None:
    checked(lambda f: gram_matrix(f, normalize=form), maps(1))


def test_gram_matrix_of_half_precision_is_summed_in_float32() -> None:
    features = torch.ones(1, 2, 64, 64, dtype=torch.bfloat16)
    assert torch.equal(gram_matrix(features, normalize="none"), torch.full((2, 2), 4096.0))


@pytest.mark.parametrize("shape", [(4,), (4, 5), (2, 3, 4, 5), (1, 1, 3, 4, 5)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(1, C, h, w\)"):
        gram_matrix(torch.zeros(shape))
    with pytest.raises(InputError, match=r"\(1, C, h, w\)"):
        Moments.of(torch.zeros(shape))


def test_an_unknown_normalisation_is_refused() -> None:
    with pytest.raises(InputError, match=r"normalize='rows': choose none, positions or elements"):
        gram_matrix(maps(1), normalize=cast("Any", "rows"))


# ---------------------------------------------------------------------------------------------- moments


def assert_same(found: Moments, expected: Moments, tolerance: float = 1e-12) -> None:
    assert found.weight == pytest.approx(expected.weight, rel=tolerance)
    torch.testing.assert_close(found.first, expected.first, rtol=tolerance, atol=1e-12)
    torch.testing.assert_close(found.second, expected.second, rtol=tolerance, atol=1e-12)


def test_moments_are_raw_sums() -> None:
    moments = Moments.of(maps(1))
    assert moments.weight == 20
    near(moments.first, maps(1)[0].numpy().sum((1, 2)))
    near(moments.second, gram_of(maps(1)))
    near(moments.mean, maps(1)[0].numpy().mean((1, 2)))
    near(moments.gram, gram_of(maps(1)) / 20)
    assert_same(moments.normalised(), Moments(1.0, moments.first / 20, moments.second / 20))


@given(st.integers(0, 99), st.integers(1, 6), st.integers(2, 9), st.data())
@settings(deadline=None, max_examples=30)
def test_moments_of_tiles_add_up_to_the_whole(
    seed: int, height: int, width: int, data: st.DataObject
) -> None:
    features = maps(seed, 3, height, width)
    cut = data.draw(st.integers(1, width - 1))
    left, right = Moments.of(features[..., :cut]), Moments.of(features[..., cut:])
    assert_same(left + right, Moments.of(features))


@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(0.01, 100))
@settings(deadline=None, max_examples=30)
def test_a_blend_is_the_weighted_mean_of_the_styles(seed: int, one: float, two: float) -> None:
    first, second = Moments.of(maps(seed)), Moments.of(maps(seed + 100, height=7))
    mixed = blend([first, second], [one, two])
    expected = (one * gram_of(maps(seed)) / 20 + two * gram_of(maps(seed + 100, height=7)) / 35) / (one + two)
    near(mixed.gram, expected, rtol=1e-10)
    assert mixed.weight == pytest.approx(1)
    assert_same(blend([first], [one]), first.normalised())
    assert_same(blend([first, first], [one, two]), first.normalised())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("parts", [("first", "second"), ("first",), ("second",), ()])
@pytest.mark.parametrize("is_last", [True, False])
def test_forked_moments_pull_like_plain_ones(
    layout: torch.memory_format, parts: tuple[str, ...], is_last: bool
) -> None:
    """The features' gradient, with and without one from a next layer, whatever of the moments is used."""
    x = maps(1).contiguous(memory_format=layout).requires_grad_()
    kernel = torch.linspace(-1, 1, 6 * 3, dtype=x.dtype).view(6, 3, 1, 1)

    def loss(moments: Moments, onward: Tensor) -> Tensor:
        total = sum((getattr(moments, part).square().sum() for part in parts), x.sum() * 0)
        return total if is_last else total + functional.conv2d(onward, kernel).square().sum()

    forked, plain = loss(*Moments.fork(x)), loss(Moments.of(x), x)
    torch.testing.assert_close(forked, plain)
    gradients = [torch.autograd.grad(each, x)[0] for each in (forked, plain)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("exact", "bound"), [(True, 1e-6), (False, 2e-3)])
@pytest.mark.parametrize("size", [(37, 41), (3, 4)])
def test_forked_moments_of_half_precision(exact: bool, bound: float, size: tuple[int, int]) -> None:
    """Sums are float32's, or near; gradients are rounded to bfloat16. Sides are and are not whole parts."""
    x = torch.rand(1, 8, *size, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    moments, onward = Moments.fork(x, exact=exact)
    fine = Moments.of(x.detach().double().requires_grad_())
    for found, expected in ((moments.first, fine.first), (moments.second, fine.second)):
        assert found.dtype == torch.float32
        assert (found - expected).norm().detach() < bound * expected.norm().detach()
    total = moments.second.square().sum() + moments.first.sum() + onward.square().sum()
    (gradient,) = torch.autograd.grad(total, x)
    double = x.detach().double().requires_grad_()
    moments = Moments.of(double)
    total = moments.second.square().sum() + moments.first.sum() + double.square().sum()
    (expected,) = torch.autograd.grad(total, double)
    assert (gradient - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize("part", ["first", "second"])
def test_gradient_of_moments(part: str) -> None:
    checked(lambda f: getattr(Moments.of(f), part), maps(1))


# ------------------------------------------------------------------------------------------------ style


def expected_style(form: str, mine: Tensor, theirs: Tensor) -> float:
    channels, places = mine.shape[1], mine.shape[2] * mine.shape[3]
    per_place = gram_of(theirs) / (theirs.shape[2] * theirs.shape[3])
    undivided = ((gram_of(mine) - per_place * places) ** 2).sum()
    mean = ((gram_of(mine) / places - per_place) ** 2).mean()
    return {
        "gram": mean,
        "gatys": undivided / (4 * channels**2 * places**2),
        "keras": undivided / (4 * 3**2 * PIXELS**2),
        "relative": mean / (per_place**2).mean(),
        "covariance": expected_covariance(mine, theirs),
        "w2": expected_w2(mine, theirs),
    }[form]


def gaussian(features: Tensor) -> tuple[Array, Array]:
    """Mean and covariance of the positions, as NumPy has them."""
    matrix = features[0].flatten(1).numpy()
    return matrix.mean(1), np.cov(matrix, bias=True)


def expected_covariance(mine: Tensor, theirs: Tensor) -> float:
    (mean, covariance), (other_mean, other) = gaussian(mine), gaussian(theirs)
    size = np.trace(gram_of(theirs)) / theirs[0, 0].numel()
    return (np.sqrt(((covariance - other) ** 2).sum()) + ((mean - other_mean) ** 2).sum()) / size


def expected_w2(mine: Tensor, theirs: Tensor) -> float:
    """By the eigenvalues of ΣΣ', whose roots are those of Σ'^½ΣΣ'^½."""
    (mean, covariance), (other_mean, other) = gaussian(mine), gaussian(theirs)
    size = np.trace(gram_of(theirs)) / theirs[0, 0].numel()
    ridge = 1e-4 * np.trace(other) / len(other) * np.eye(len(other))
    roots = np.sqrt(np.linalg.eigvals((covariance + ridge) @ (other + ridge)).real)
    traces = np.trace(covariance + other + 2 * ridge)
    return (((mean - other_mean) ** 2).sum() + traces - 2 * roots.sum()) / size


@pytest.mark.parametrize("form", STYLE_FORMS)
@pytest.mark.parametrize("height", [4, 7])
def test_style_loss_is_its_formula(form: StyleForm, height: int) -> None:
    mine, theirs = maps(1), maps(2, height=height)
    expected = expected_style(form, mine, theirs)
    near(style_loss(mine, theirs, form=form, pixels=PIXELS), expected, rtol=1e-9)
    near(style_loss(Moments.of(mine), Moments.of(theirs), form=form, pixels=PIXELS), expected, rtol=1e-9)
    assert style_loss(mine, mine, form=form, pixels=PIXELS).item() == pytest.approx(0, abs=1e-12)


def test_w2_of_equal_pictures_is_never_below_0() -> None:
    drawn = (torch.randn(1, 8, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in range(30))
    losses = [float(style_loss(each, each, form="w2")) for each in drawn]
    assert min(losses) >= 0 and max(losses) < 1e-5


def test_w2_of_fewer_positions_than_channels_is_finite() -> None:
    mine, theirs = (maps(seed, channels=8, height=1, width=3) for seed in (1, 2))
    leaf = mine.clone().requires_grad_()
    loss = style_loss(leaf, theirs, form="w2")
    near(loss.detach(), expected_w2(mine, theirs), rtol=1e-5)
    assert torch.autograd.grad(loss, leaf)[0].isfinite().all()


# ------------------------------------------------------------------------------------ sliced and nearest


@pytest.mark.parametrize("width", [5, 9])
def test_sliced_loss_is_the_distance_of_sorted_projections(width: int) -> None:
    mine, theirs = maps(1, width=5), maps(2, width=width)
    target = Projections.of([theirs], [1.0], seed=7)
    assert target.directions.norm(dim=1).numpy() == pytest.approx(1)
    total, size = 0.0, 0.0
    for direction in target.directions.numpy():
        ours, others = (np.sort(direction @ f[0].flatten(1).numpy()) for f in (mine, theirs))
        levels = (np.arange(len(ours)) + 0.5) / len(ours) * len(others) - 0.5
        total += ((ours - np.interp(levels, np.arange(len(others)), others)) ** 2).mean()
        size += (others**2).mean()
    near(sliced_loss(mine, target), total / size, rtol=1e-9)
    checked(lambda f: sliced_loss(f, target), mine)
    near(sliced_loss(theirs, target), 0)


def test_sliced_directions_follow_the_seed() -> None:
    one, same, other = (Projections.of([maps(2)], [1.0], seed=seed).directions for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_sliced_mixes_several_paintings_by_weight() -> None:
    low, high = torch.zeros(1, 1, 10, 10), torch.ones(1, 1, 10, 10)
    quantiles = Projections.of([low, high], [3.0, 1.0]).quantiles.abs()
    near(quantiles.mean(1), 0.25)


def test_sliced_keeps_what_the_largest_of_several_paintings_tells() -> None:
    small, large = torch.zeros(1, 2, 2, 3), torch.ones(1, 2, 10, 12)
    for paintings in ([small, large], [large, small]):
        assert Projections.of(paintings, [1.0, 1.0]).quantiles.shape[1] == 120


def test_nearest_loss_is_the_distance_to_the_most_similar() -> None:
    mine, theirs = maps(1), maps(2, height=7)
    target = Patches.of([theirs], [1.0])
    ours, others = (f[0].flatten(1).numpy().T for f in (mine, theirs))
    cosines = np.array([[_cosine(a - ours.mean(0), b - others.mean(0)) for b in others] for a in ours])
    distances = ((ours - others[cosines.argmax(1)]) ** 2).sum(1)
    near(nearest_loss(mine, target), distances.mean() / (others**2).sum(1).mean(), rtol=1e-9)
    checked(lambda f: nearest_loss(f, target), mine)
    near(nearest_loss(theirs, target), 0)


def _cosine(a: Array, b: Array) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_nearest_draws_positions_by_weight() -> None:
    low, high = torch.zeros(1, 2, 64, 64), torch.ones(1, 2, 64, 64)
    vectors = Patches.of([low, high], [3.0, 1.0]).vectors
    assert vectors.shape == (4096, 2)
    near(vectors.mean(), 0.25)


def test_nearest_draws_positions_by_weight_from_small_paintings_too() -> None:
    """At deep layers and coarse scales there are fewer positions than would be drawn."""
    vectors = Patches.of([torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)], [9.0, 1.0]).vectors
    assert float(vectors.mean()) == pytest.approx(0.1, abs=0.01)


def test_sliced_and_nearest_of_other_channels_are_refused() -> None:
    with pytest.raises(InputError, match="4 channels for features of 3"):
        sliced_loss(maps(1), Projections.of([maps(2, channels=4)], [1.0]))
    with pytest.raises(InputError, match="4 channels for features of 3"):
        nearest_loss(maps(1), Patches.of([maps(2, channels=4)], [1.0]))


@pytest.mark.parametrize("form", STYLE_FORMS)
def test_gradient_of_style_loss(form: StyleForm) -> None:
    checked(lambda f: style_loss(f, maps(2, height=7), form=form, pixels=PIXELS), maps(1))


def test_style_of_other_channels_is_refused() -> None:
    with pytest.raises(InputError, match="4 channels for features of 3"):
        style_loss(maps(1), maps(2, channels=4))


def test_an_unknown_style_form_is_refused() -> None:
    with pytest.raises(InputError, match="'w9': choose gram, gatys, keras, relative, covariance or w2"):
        style_loss(maps(1), maps(2), form=cast("Any", "w9"))
    with pytest.raises(InputError, match=r"'keras' .* give pixels="):
        style_loss(maps(1), maps(2), form="keras")


# ---------------------------------------------------------------------------------------------- content


@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_content_loss_is_its_formula(form: ContentForm) -> None:
    squares = (maps(1).numpy() - maps(2).numpy()) ** 2
    energy = (maps(2).numpy() ** 2).sum()
    expected = {"mean": squares.mean(), "sum": squares.sum(), "half-sum": squares.sum() / 2}
    near(content_loss(maps(1), maps(2), form=form), {**expected, "relative": squares.sum() / energy}[form])
    assert content_loss(maps(1), maps(1), form=form).item() == 0


@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_gradient_of_content_loss(form: ContentForm) -> None:
    checked(lambda f: content_loss(f, maps(2), form=form), maps(1))


def test_content_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(1, 3, 4, 5\) against \(1, 3, 4, 6\)"):
        content_loss(maps(1), maps(1, width=6))


def test_an_unknown_content_form_is_refused() -> None:
    with pytest.raises(InputError, match="'max': choose mean, sum, half-sum or relative"):
        content_loss(maps(1), maps(2), form=cast("Any", "max"))


@pytest.mark.parametrize("form", ["relative", "covariance", "w2"])
def test_relative_losses_know_neither_size_nor_the_networks_scale(form: StyleForm) -> None:
    """Twice the picture, or features ten times as large, cost the same."""
    mine, theirs = maps(1), maps(2)
    style, content = style_loss(mine, theirs, form=form), content_loss(mine, theirs, form="relative")
    for variant in (lambda f: torch.cat([f, f], dim=-1), lambda f: 10 * f):
        near(style_loss(variant(mine), variant(theirs), form=form), style.item(), rtol=1e-9)
        near(content_loss(variant(mine), variant(theirs), form="relative"), content.item())


# -------------------------------------------------------------------------------------- total variation


def expected_variation(form: str, image: Array) -> float:
    dx, dy = np.diff(image, axis=3), np.diff(image, axis=2)
    inner = dx[:, :, :-1] ** 2 + dy[:, :, :, :-1] ** 2
    return {
        "l1": np.abs(dx).sum() + np.abs(dy).sum(),
        "keras": (inner**1.25).sum(),
        "mean": (dx**2).mean() + (dy**2).mean(),
    }[form]


@pytest.mark.parametrize("form", TV_FORMS)
def test_total_variation_is_its_formula(form: VariationForm) -> None:
    near(total_variation(maps(1), form=form), expected_variation(form, maps(1).numpy()))


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[[[0.0, 3, 1], [4, 0, 0]]]], dtype=torch.float64)
    assert total_variation(image).item() == (3 + 2 + 4 + 0) + (4 + 3 + 1)
    near(total_variation(image, form="keras"), 25**1.25 + 13**1.25)
    near(total_variation(image, form="mean"), (9 + 4 + 16 + 0) / 4 + (16 + 9 + 1) / 3)


@pytest.mark.parametrize("form", TV_FORMS)
def test_gradient_of_total_variation(form: VariationForm) -> None:
    checked(lambda image: total_variation(image, form=form), maps(1))


def test_an_unknown_variation_form_is_refused() -> None:
    with pytest.raises(InputError, match="'l2': choose l1, keras or mean"):
        total_variation(maps(1), form=cast("Any", "l2"))


def test_high_pass_keeps_the_size_and_ends_in_zeros() -> None:
    image = maps(1)
    dx, dy = high_pass(image)
    assert dx.shape == dy.shape == image.shape
    near(dx[..., :-1], np.diff(image.numpy(), axis=3))
    near(dy[..., :-1, :], np.diff(image.numpy(), axis=2))
    assert not dx[..., -1].any()
    assert not dy[..., -1, :].any()
    near(dx.abs().sum() + dy.abs().sum(), total_variation(image).item())


# -------------------------------------------------------------------------------------------- flat pictures


@pytest.mark.parametrize("value", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flat_pictures_have_finite_losses_and_gradients(value: float, dtype: torch.dtype) -> None:
    flat = torch.full((1, 3, 6, 6), value, dtype=dtype)
    calls: list[Callable[[Tensor], Tensor]] = [
        *(lambda f, form=form: content_loss(f, flat, form=form) for form in CONTENT_FORMS),
        *(lambda f, form=form: style_loss(f, flat, form=form, pixels=36) for form in STYLE_FORMS),
        *(lambda f, form=form: total_variation(f, form=form) for form in TV_FORMS),
        lambda f: sliced_loss(f, Projections.of([flat], [1.0])),
        lambda f: nearest_loss(f, Patches.of([flat], [1.0])),
    ]
    for call in calls:
        for start in (flat, maps(1, 3, 6, 6, dtype)):
            image = start.clone().requires_grad_()
            loss = call(image)
            (gradient,) = torch.autograd.grad(loss, image)
            assert loss.isfinite()
            assert gradient.isfinite().all()
            assert start is not flat or abs(loss) < 1e-6


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 1, 5), (1, 3, 5, 1)])
@pytest.mark.parametrize("form", TV_FORMS)
def test_a_line_of_pixels_has_a_finite_variation(shape: tuple[int, ...], form: VariationForm) -> None:
    assert total_variation(torch.rand(shape), form=form).isfinite()
