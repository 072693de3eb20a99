"""Scores of samples against textbook cases, the classifier, and `brushwork gan score`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brushwork.metrics.artfid import frechet_distance
from brushwork.training.scores import compare, coverage
from gan_bench import QUICK, Bench, idx


@given(st.floats(-3, 3), st.floats(0.2, 4), st.integers(0, 20))
@settings(deadline=None, max_examples=20)
def test_frechet_distance_of_scaled_and_shifted_features(shift: float, scale: float, seed: int) -> None:
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = (x - x.mean(0)) / x.std()
    mean, spread = x.mean(0), torch.cov(x.T)
    moved = ((scale * mean + shift) - mean).square().sum()
    # Gaussians that differ by a factor: tr(Σ) (s - 1)²
    expected = float(moved + spread.trace() * (scale - 1) ** 2)
    assert frechet_distance(x, scale * x + shift) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_frechet_distance_of_rotated_gaussians_against_the_matrix_root() -> None:
    torch.manual_seed(0)
    one, two = torch.randn(500, 4) @ torch.randn(4, 4), torch.randn(600, 4) @ torch.randn(4, 4) + 1
    a, b = (np.cov(each.double().numpy().T) for each in (one, two))
    values, vectors = np.linalg.eig(a @ b)  # not symmetric: the root by its own eigenvectors
    root = (vectors * np.sqrt(values)) @ np.linalg.inv(vectors)
    gap = one.double().mean(0) - two.double().mean(0)
    expected = float(gap.square().sum()) + np.trace(a + b - 2 * root.real)
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-6)


def test_coverage_by_hand() -> None:
    support = torch.tensor([[0.0], [1.0], [2.0], [3.0], [10.0]])
    # The third neighbours are 3, 2, 2, 3 and 9 away.
    points = torch.tensor([[-3.0], [-3.1], [1.5], [18.9], [19.1]])
    assert coverage(support, points) == pytest.approx(3 / 5)


def test_precision_and_recall_tell_collapse_from_noise() -> None:
    torch.manual_seed(0)
    real = torch.randn(1000, 8)
    collapsed = compare(real, 0.05 * torch.randn(1000, 8))
    noise = compare(real, 4 * torch.randn(1000, 8))
    alike = compare(real, torch.randn(1000, 8))
    assert collapsed.precision > 0.95 > 0.05 > collapsed.recall
    assert noise.precision < 0.2
    assert noise.recall > noise.precision
    assert min(alike.precision, alike.recall) > 0.7
    assert alike.fid < min(collapsed.fid, noise.fid) / 10


def labelled_set(folder: Path) -> None:
    """Two classes, bars and discs, in MNIST's four files."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:28, 0:28]
    for stem, count in (("train", 600), ("t10k", 240)):
        classes = np.arange(count, dtype=np.uint8) % 2
        at = rng.uniform(8, 20, (count, 1, 1))
        kind = classes[:, None, None] == 0
        shapes = np.where(kind, np.abs(x - at) < 3, np.hypot(x - at, y - 14) < 6)
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx((shapes * 200).astype(np.uint8)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx(classes))


def test_score_sets_generators_beside_real_pictures(bench: Bench) -> None:
    labelled_set(bench.folder / "data")
    bench.train("--epochs", "1", "-o", "run", "--limit", "40")
    line = ["--data", "data", "--quiet", "--threads", "1"]
    told = bench.gan("score", "run", *line, "--samples", "200", "--json").json
    assert told["classifier_accuracy"] > 0.95
    assert told["scores"].keys() == {"real", "run"}
    assert told["scores"]["real"]["fid"] < told["scores"]["run"]["fid"]
    assert told["scores"]["real"]["precision"] > 0.5 > told["scores"]["run"]["recall"]
    table = bench.gan("score", "run", *line).out
    assert [row.split()[0] for row in table.splitlines()] == ["fid", "real", "run"]
    for changes in (["--seed", "1"], ["--classifier-epochs", "1"], ["--limit", "100"], ["--samples", "220"]):
        more = changes if "--samples" in changes else [*changes, "--samples", "200"]
        assert bench.gan("score", "run", *line, *more, "--json").json["scores"] != told["scores"]


def test_score_says_what_is_missing(bench: Bench) -> None:
    assert "DIR is missing" in bench.gan("score").complaint
    bench.gan("train", *QUICK, "--epochs", "1", "-o", "run")
    assert "train-labels-idx1-ubyte is missing" in bench.gan("score", "run", "--data", "data").complaint
    assert "is missing" in bench.gan("score", "nowhere", "--data", "data").complaint
