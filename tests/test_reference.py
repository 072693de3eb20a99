from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import reference as ref

WEIGHTS = ref.random_weights(narrow=16)
LOSSES = [ref.loss_keras_example, ref.loss_tf_blog, ref.loss_tf_tutorial, ref.loss_course]


def picture(seed: int, rows: int = 32, columns: int = 48) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, rows, columns)))


def near(a: object, b: object) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-10, atol=1e-12)


def test_gram_of_the_worked_example() -> None:
    filters = torch.tensor([[[1.0, 2], [4, 5]], [[5, 7], [2, 3]]])
    expected = torch.tensor([[46.0, 42], [42, 87]])
    assert torch.equal(ref.gram(filters), expected)
    assert torch.equal(ref.gram(filters[None]), expected)
    assert torch.equal(ref.gram_mean(filters), expected / 4)
    assert ref.gatys_layer_loss(filters, torch.zeros(2, 2)).item() == (46**2 + 2 * 42**2 + 87**2) / (
        4 * 4 * 16
    )


def test_total_variations_of_a_small_picture() -> None:
    image = torch.tensor([[[[0.0, 3, 1], [4, 0, 0]]]], dtype=torch.float64)
    assert ref.total_variation(image).item() == (3 + 2 + 4 + 0) + (4 + 3 + 1)
    near(ref.total_variation_power(image), (3**2 + 4**2) ** 1.25 + (2**2 + 3**2) ** 1.25)


def test_preprocessing_is_centred_bgr() -> None:
    image = torch.tensor([10.0, 20, 30], dtype=torch.float64).view(1, 3, 1, 1)
    near(ref.preprocess(image).flatten(), [30 - 103.939, 20 - 116.779, 10 - 123.68])
    near(ref.deprocess(ref.preprocess(image)), image)
    assert ref.to_uint8(image + torch.tensor([0.9, 300, -300]).view(1, 3, 1, 1)).tolist() == [[[10, 255, 0]]]


def test_features_halve_from_block_to_block() -> None:
    found = ref.encode(picture(1, 35, 50), WEIGHTS)
    assert [tuple(found[name].shape[1:]) for name in ref.STYLE_LAYERS] == [
        (4, 35, 50), (8, 17, 25), (16, 8, 12), (32, 4, 6), (32, 2, 3)
    ]  # fmt: skip
    assert min(value.min().item() for value in found.values()) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_terms_add_up_and_have_the_right_gradient(loss: ref.Loss) -> None:
    image, photo, art = (picture(seed, 16, 16) for seed in range(3))
    image.requires_grad_()
    terms = loss(image, photo, art, WEIGHTS)
    assert set(terms) == {"total", "content", "style", "tv"}
    near(terms["total"].item(), sum(terms[name].item() for name in ("content", "style", "tv")))
    (gradient,) = torch.autograd.grad(terms["total"], image)
    with torch.no_grad():
        way = torch.from_numpy(np.random.default_rng(9).normal(size=image.shape)) * 1e-6
        ahead, behind = (loss(image + s * way, photo, art, WEIGHTS)["total"] for s in (1, -1))
    np.testing.assert_allclose(((ahead - behind) / 2).item(), (gradient * way).sum().item(), rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_flat_picture_against_itself_costs_nothing(loss: ref.Loss) -> None:
    flat = torch.full((1, 3, 16, 16), 99.0, dtype=torch.float64)
    assert loss(flat, flat, flat, WEIGHTS)["total"].item() == 0


def test_torch_adam_is_torchs() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=7)
    leaf = torch.nn.Parameter(torch.from_numpy(x.copy()))
    theirs = torch.optim.Adam([leaf], lr=0.3, betas=(0.9, 0.99), eps=0.1)
    m, v = np.zeros(7), np.zeros(7)
    for t in range(1, 6):
        g = rng.normal(size=7)
        x, m, v = ref.torch_adam_step(x, g, m, v, t, 0.3, 0.9, 0.99, 0.1)
        leaf.grad = torch.from_numpy(g)
        theirs.step()
        near(x, leaf.detach().numpy())


def test_tensorflow_adam_has_its_epsilon_outside_the_correction() -> None:
    x, g, zero = np.array([1.0, -2.0]), np.array([0.5, 0.01]), np.zeros(2)
    first, m, v = ref.tf_adam_step(x, g, zero, zero, 1, 5.0, 0.99, 0.999, 0.1)
    near(first, x - 5 * g / (np.abs(g) + 0.1 / np.sqrt(0.001)))
    for t in (2, 3):
        same = ref.torch_adam_step(x, g, m, v, t, 5.0, 0.99, 0.999, 0.1 / np.sqrt(1 - 0.999**t))
        near(ref.tf_adam_step(x, g, m, v, t, 5.0, 0.99, 0.999, 0.1), same)


def test_adam_in_0_to_1_is_the_same_with_lr_and_epsilon_rescaled() -> None:
    x, g, zero = np.array([100.0, 7.0]), np.array([0.5, -3.0]), np.zeros(2)
    wide, _, _ = ref.tf_adam_step(x, g, zero, zero, 1, 5.0, 0.99, 0.999, 0.1)
    unit, _, _ = ref.tf_adam_step(x / 255, g * 255, zero, zero, 1, 5 / 255, 0.99, 0.999, 0.1 * 255)
    near(unit * 255, wide)


def test_sgd_decays_smoothly() -> None:
    one, zero = np.ones(1), np.zeros(1)
    rates = [-ref.sgd_step(zero, one, step)[0] for step in (0, 50, 100, 250)]
    near(rates, [100, 100 * np.sqrt(0.96), 96, 100 * 0.96**2.5])


def test_runs_start_at_the_photo_and_stay_in_range() -> None:
    photo, art = picture(1), picture(2)
    runs = [
        ref.run_keras_example(photo, art, WEIGHTS, 3),
        ref.run_tf_blog(photo, art, WEIGHTS, 3),
        ref.run_tf_tutorial(photo, art, WEIGHTS, 3),
        ref.run_course(photo, art, WEIGHTS, 3, lr=2.0),
    ]
    for run, loss in zip(runs, LOSSES, strict=True):
        near(run.path[0], photo)
        near(run.losses[1], loss(run.path[1], photo, art, WEIGHTS)["total"].item())
        assert len(run.losses) == 3
        assert len(run.path) == 4
    assert runs[0].losses == sorted(runs[0].losses, reverse=True)
    for run in runs[1:]:
        assert run.image.min() >= -1e-9
        assert run.image.max() <= 255 + 1e-9


def test_the_blog_keeps_the_picture_after_the_step_of_the_lowest_loss() -> None:
    run = ref.run_tf_blog(
        picture(1), picture(2), WEIGHTS, 4
    )  # its content weight makes this loss rise at once
    assert run.losses[0] == min(run.losses)
    assert torch.equal(run.image, run.path[1])
    assert not torch.equal(run.image, run.path[-1])


def test_the_documents_own_saving_cuts_and_clips() -> None:
    wild = ref.run_keras_example(picture(1), picture(2), WEIGHTS, 2, tv_weight=1e-3).image
    assert wild.max() > 255 or wild.min() < 0  # never clipped on the way
    assert (ref.to_uint8(wild) == np.clip(wild[0].permute(1, 2, 0).numpy(), 0, 255) // 1).all()
