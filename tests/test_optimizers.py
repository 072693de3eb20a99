"""Optimisers: each step against NumPy's and torch's, units, and L-BFGS on problems with a known answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reference as ref
from brushwork.jobs import Settings
from brushwork.optimize.curvature import at_once, one_by_one, precondition
from brushwork.optimize.optimizers import LBFGS, LONGEST_STEP, SGD, Adam, Optimizer, make_optimizer
from brushwork.optimize.vault import Vault

Problem = Callable[[Tensor], tuple[float, Tensor]]  # a point to its loss and gradient


def slopes(count: int = 8, seed: int = 0) -> Iterator[Tensor]:
    """Gradients (1, 3, 2, 2) of very different sizes."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield torch.from_numpy(rng.normal(size=(1, 3, 2, 2)) * 10.0 ** rng.uniform(-4, 2, (1, 3, 2, 2)))


def start() -> Tensor:
    return torch.from_numpy(np.random.default_rng(9).uniform(size=(1, 3, 2, 2)))


def path(optimizer: Optimizer, x: Tensor, gradients: Iterator[Tensor]) -> list[Tensor]:
    points = [x]
    for gradient in gradients:
        points.append(optimizer.step(points[-1], math.nan, gradient))
    return points[1:]


def torchs_path(make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> list[Tensor]:
    leaf, points = torch.nn.Parameter(start()), list[Tensor]()
    optimizer = make([leaf])
    for gradient in slopes():
        leaf.grad = gradient
        optimizer.step()
        points.append(leaf.detach().clone())
    return points


def near(found: list[Tensor], expected: list[Any], rtol: float = 1e-10) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), rtol=rtol, atol=1e-12)


# ------------------------------------------------------------------------------------------- SGD and Adam


def test_sgd_is_the_references() -> None:
    x, expected = start().numpy(), list[Any]()
    for step, gradient in enumerate(slopes()):
        expected.append(x := ref.sgd_step(x, gradient.numpy(), step, 3.0, 0.9, 4))
    near(path(SGD(3.0, 0.9, 4), start(), slopes()), expected)


def test_sgd_is_torchs() -> None:
    near(path(SGD(0.3), start(), slopes()), torchs_path(lambda p: torch.optim.SGD(p, lr=0.3)))


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
@pytest.mark.parametrize("tensorflow", [True, False])
def test_adam_is_the_references(tensorflow: bool, epsilon: float) -> None:
    step = ref.tf_adam_step if tensorflow else ref.torch_adam_step
    x, expected = start().numpy(), list[Any]()
    m = v = np.zeros_like(x)
    for t, gradient in enumerate(slopes(), 1):
        x, m, v = step(x, gradient.numpy(), m, v, t, 0.3, 0.99, 0.999, epsilon)
        expected.append(x)
    near(path(Adam(0.3, 0.99, 0.999, epsilon, tensorflow=tensorflow), start(), slopes()), expected)


def test_adam_is_torchs() -> None:
    ours = path(Adam(0.3, 0.9, 0.99, 0.1), start(), slopes())
    near(ours, torchs_path(lambda p: torch.optim.Adam(p, lr=0.3, betas=(0.9, 0.99), eps=0.1)))


def test_the_conventions_of_epsilon_differ() -> None:
    one, other = (path(Adam(0.3, epsilon=0.1, tensorflow=t), start(), slopes()) for t in (True, False))
    assert not torch.allclose(one[-1], other[-1], rtol=0.01)


def test_adams_rate_decays_too() -> None:
    steady, decaying = (
        path(Adam(1.0, decay_rate=rate, decay_steps=2), torch.zeros(1), iter([torch.ones(1)] * 4))
        for rate in (1.0, 0.25)
    )
    lengths = torch.stack(decaying).diff(dim=0) / torch.stack(steady).diff(dim=0)
    torch.testing.assert_close(lengths.ravel(), torch.tensor([0.5, 0.25, 0.125]), rtol=1e-4, atol=0)


# -------------------------------------------------------------------------------------------------- units


RUNS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "learning_rate": 100.0, "decay_rate": 0.9, "decay_steps": 3},
    {"optimizer": "adam", "learning_rate": 5.0, "epsilon": 0.1, "adam": "tensorflow", "beta1": 0.99},
    {"optimizer": "adam", "learning_rate": 5.0, "epsilon": 0.1, "adam": "torch", "decay_rate": 0.5},
]


@pytest.mark.parametrize("options", RUNS)
def test_a_rate_for_0_to_255_makes_the_same_run_in_0_to_1(options: dict[str, Any]) -> None:
    wide = path(make_optimizer(Settings(units=1, **options)), start() * 255, slopes())
    unit = path(make_optimizer(Settings(units=255, **options)), start(), (255 * g for g in slopes()))
    near([255 * x for x in unit], wide)


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adam", Adam), ("lbfgs", LBFGS)])
def test_a_job_names_its_optimizer(name: Any, kind: type) -> None:
    assert type(make_optimizer(Settings(optimizer=name))) is kind


def test_every_option_reaches_its_optimizer() -> None:
    shared: dict[str, Any] = {"learning_rate": 0.5, "decay_rate": 0.7, "decay_steps": 9, "units": 1}
    assert make_optimizer(Settings(optimizer="sgd", **shared)) == SGD(0.5, 0.7, 9)
    job = Settings(optimizer="adam", adam="tensorflow", beta1=0.8, beta2=0.95, epsilon=0.2, **shared)
    assert make_optimizer(job) == Adam(0.5, 0.8, 0.95, 0.2, tensorflow=True, decay_rate=0.7, decay_steps=9)
    assert make_optimizer(Settings(history=7, first_step=0.1)) == LBFGS(7, 0.1)


# ------------------------------------------------------------------------------------------------- L-BFGS


def quadratic(x: Tensor) -> tuple[float, Tensor]:
    """½Σ c(x − 1)², its curvatures c from 1 to 1000."""
    curvatures = torch.logspace(0, 3, x.numel(), dtype=x.dtype).view_as(x)
    return float((curvatures * (x - 1).square()).sum() / 2), curvatures * (x - 1)


def rosenbrock(x: Tensor) -> tuple[float, Tensor]:
    leaf = x.clone().requires_grad_()
    a, b = leaf.ravel()
    loss = (1 - a).square() + 100 * (b - a.square()).square()
    return loss.item(), torch.autograd.grad(loss, leaf)[0]


def descend(problem: Problem, x: Tensor, steps: int, optimizer: Optimizer) -> tuple[Tensor, list[float]]:
    losses: list[float] = []
    for _ in range(steps):
        loss, gradient = problem(x)
        losses.append(loss)
        x = optimizer.step(x, loss, gradient)
    return x, losses


def test_lbfgs_solves_a_quadratic() -> None:
    _, losses = descend(quadratic, torch.zeros(1, 3, 2, 2, dtype=torch.float64), 80, LBFGS())
    assert min(losses) < 1e-10 * losses[0]


def test_lbfgs_solves_rosenbrocks_valley() -> None:
    _, losses = descend(rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64), 150, LBFGS())
    assert min(losses) < 1e-10


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_lbfgs_takes_the_same_way_whatever_the_losss_unit(unit: float) -> None:
    def scaled(x: Tensor) -> tuple[float, Tensor]:
        loss, gradient = quadratic(x)
        return unit * loss, unit * gradient

    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    plain, there = (descend(problem, zero, 12, LBFGS())[0] for problem in (quadratic, scaled))
    torch.testing.assert_close(there, plain, rtol=1e-6, atol=1e-9)


def test_lbfgs_goes_far_beyond_gradient_descent() -> None:
    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    _, ours = descend(quadratic, zero, 40, LBFGS())
    _, plain = descend(quadratic, zero, 40, SGD(1e-3))
    assert min(ours) < 1e-2 * min(plain)


def test_lbfgss_first_step_moves_no_pixel_further_than_asked() -> None:
    x = start()
    gradient = next(slopes())
    after = LBFGS(first_step=0.03).step(x, 1.0, gradient)
    assert (after - x).abs().max().item() == pytest.approx(0.03)
    torch.testing.assert_close((x - after) / gradient, torch.full_like(x, 0.03) / gradient.abs().max())


def test_lbfgss_first_step_goes_by_what_a_coarser_scale_learnt() -> None:
    """A bowl of curvature 5 at 4 pixels; four times the pixels have a quarter of the gradient each."""
    coarse = LBFGS()
    descend(lambda x: (float((2.5 * x.square()).sum()), 5 * x), torch.full((1, 3, 2, 2), 0.1), 3, coarse)
    learnt = coarse.learn()
    assert learnt == pytest.approx(1 / (5 * 12), rel=1e-4)
    fine, x = LBFGS(learnt=learnt), torch.full((1, 3, 4, 4), 0.1)
    assert fine.learn() == learnt  # until it knows better
    step = 5 / 4 * x * (4 / 5)
    precondition(step)
    torch.testing.assert_close(fine.step(x, 1.0, 5 / 4 * x), x - step)
    far = LBFGS(learnt=1e3).step(x, 1.0, 5 / 4 * x)
    assert (far - x).abs().max().item() == pytest.approx(0.5)


def test_lbfgs_moves_no_pixel_further_than_half_the_range() -> None:
    """Of a flat place it has learnt that the next minimum is far off: the direction stays, the length not."""
    optimizer, x, gradient = LBFGS(), start(), next(slopes())
    after = optimizer.step(x, 1.0, gradient)
    farther = optimizer.step(after, 0.9, gradient * (1 - 1e-6))
    assert len(optimizer.pairs) == 1
    assert (farther - after).abs().max().item() == pytest.approx(LONGEST_STEP)
    assert LONGEST_STEP == 0.5


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 9), (1, 1)])
def test_the_first_guess_favours_areas_and_colour(height: int, width: int) -> None:
    """Grey areas twice, coloured ones three times, grey grain once, coloured grain one and a half times."""
    even = torch.ones(1, 1, height, width, dtype=torch.float64)
    grain = (-1.0) ** (torch.arange(height)[:, None] + torch.arange(width))[None, None].double()
    grey, red = (torch.tensor(c, dtype=torch.float64).view(1, 3, 1, 1) for c in ([1, 1, 1], [2, -1, -1]))
    cases = [(grey * even, 2.0), (red * even, 3.0)]
    if height % 8 == width % 8 == 0:  # else the last cell's grain has a mean
        cases += [(grey * grain, 1.0), (red * grain, 1.5)]
    for direction, factor in cases:
        longer = direction.clone()
        precondition(longer)
        torch.testing.assert_close(longer, factor * direction)


@pytest.mark.parametrize("worse", [2.0, math.nan, math.inf])
def test_lbfgs_halves_a_step_that_raises_the_loss(worse: float) -> None:
    optimizer, x, gradient = LBFGS(), start(), next(slopes())
    far = optimizer.step(x, 1.0, gradient)
    half = optimizer.step(far, worse, gradient)
    torch.testing.assert_close(half, x + (far - x) / 2)
    quarter = optimizer.step(half, worse, gradient)
    torch.testing.assert_close(quarter, x + (far - x) / 4)
    assert optimizer.pairs == []  # what was taken back is not learnt from


def test_lbfgs_ends_no_higher_than_it_began_whatever_the_step() -> None:
    x, losses = descend(quadratic, torch.zeros(1, 3, 2, 2, dtype=torch.float64), 60, LBFGS(first_step=1.0))
    assert max(losses[5:]) <= losses[0]
    assert quadratic(x)[0] < losses[0]


def test_lbfgs_stays_where_there_is_no_gradient() -> None:
    x, zero = start(), torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    optimizer = LBFGS()
    for _ in range(3):
        assert torch.equal(optimizer.step(x, 1.0, zero), x)
    warm = LBFGS()
    point, _ = descend(quadratic, zero, 10, warm)
    assert warm.pairs
    assert torch.equal(warm.step(point, -1.0, zero), point)


def test_lbfgs_learns_only_from_bends_upwards() -> None:
    """Where the loss curves down, a pair would turn the next direction uphill."""
    optimizer, x, gradient = LBFGS(), start(), next(slopes())
    after = optimizer.step(x, 1.0, gradient)
    optimizer.step(after, 0.5, gradient + (x - after))  # the gradient fell along −s
    assert optimizer.pairs == []
    last = optimizer.step(after, 0.4, gradient)
    assert last.isfinite().all()


def test_lbfgs_remembers_as_many_pairs_as_it_may() -> None:
    optimizer = LBFGS(history=4)
    descend(quadratic, torch.zeros(1, 3, 2, 2, dtype=torch.float64), 30, optimizer)
    assert len(optimizer.pairs) == 4


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_gpus_way_through_lbfgss_pairs_ends_where_a_processors_does(count: int) -> None:
    optimizer, x = LBFGS(history=count), start()
    for step, gradient in enumerate(slopes(2 * count + 2)):
        x = optimizer.step(x, -float(step), x * gradient.square())
    assert len(optimizer.pairs) == count
    gradient, pairs = next(slopes(1, seed=5)), optimizer.pairs
    near([at_once(gradient, pairs)], [one_by_one(gradient, pairs, Vault())], rtol=1e-6)


def test_lbfgs_copes_with_points_that_were_clipped() -> None:
    """The minimum, 1, lies outside 0..0.5: clipped steps come to within 1 % of the lowest loss there."""
    x, optimizer, losses = torch.zeros(1, 3, 2, 2, dtype=torch.float64), LBFGS(), list[float]()
    for _ in range(40):
        loss, gradient = quadratic(x)
        losses.append(loss)
        x = optimizer.step(x, loss, gradient).clamp(0, 0.5)
    assert min(losses) < 1.01 * quadratic(torch.full_like(x, 0.5))[0]
