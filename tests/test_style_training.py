"""A painting becomes a network: the balance of the losses, strength and strokes, what is learnt, options."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from safetensors.torch import load
from torch import Tensor

from brushwork.encode import to_image
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.feedforward.plan import learnt, opacity, strokes
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings, read_stylenet
from brushwork.fields import build
from brushwork.jobs import Stylize
from brushwork.losses import Moments
from brushwork.training.events import Checkpoint, Finished, Looked, Stepped
from brushwork.training.jobs import StyleNetTrain
from brushwork.training.perceptual import STYLE, Criterion, calibrated, make_criterion
from brushwork.training.stylenet import NOISE, Stylise, conditions, paint, unfrozen
from brushwork.training.stylenet_runner import StyleNetRun, run_stylenet
from brushwork.weights import Weights

SMALL = StyleNetSettings.of_width(4, blocks=1, conditions=("strength", "stroke_size"))
QUICK: dict[str, Any] = {
    "photos": "photos", "style": "painting.png", "steps": 2, "batch": 2, "crop": 64, "width": 4,
    "blocks": 1, "style_size": 64, "threads": 1, "device": "cpu", "compare_steps": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def encoder(weights: Weights) -> VGG19:
    return VGG19(weights)


@pytest.fixture(scope="module")
def criterion(encoder: VGG19, painting: Tensor) -> Criterion:
    return make_criterion(encoder, painting, 64, "covariance")


@pytest.fixture(scope="module")
def photos(photo: Tensor) -> Tensor:
    return torch.cat([photo[..., :48], photo[..., -48:].flip(-1)])


def blended(photos: Tensor, painting: Tensor) -> Tensor:
    return photos.lerp(painting[..., :48, :48], 0.5)


def test_a_photo_has_its_own_content_and_the_painting_its_style(
    criterion: Criterion, photos: Tensor, painting: Tensor
) -> None:
    own = criterion.features(photos)
    assert criterion.content(own, criterion.of_photos(photos)).abs().max() < 1e-6
    art = criterion.features(painting)
    assert criterion.style(art, 2).max() < 0.3 < criterion.style(own, 2).mean()
    assert criterion.style(own, 2).shape == (2, len(STYLE))


def test_each_picture_is_judged_alone(criterion: Criterion, photos: Tensor) -> None:
    both = criterion.style(criterion.features(photos), 2)
    alone = [criterion.style(criterion.features(one), 2) for one in photos.split(1)]
    torch.testing.assert_close(both, torch.cat(alone), rtol=1e-4, atol=1e-5)


def lengths(criterion: Criterion, photos: Tensor, painted: Tensor) -> list[float]:
    """Of the balanced losses' gradients: content, style, and each layer's part of the style."""
    found: list[list[float]] = []
    for photo, one in zip(photos.split(1), painted.split(1), strict=True):
        x = one.clone().requires_grad_()
        features = criterion.features(x)
        style = criterion.style(features, 2)
        parts = [criterion.balance.style[n] * style[0, i] for i, n in enumerate(STYLE)]
        content = criterion.content(features, criterion.of_photos(photo))[0]
        terms = [criterion.balance.content * content, criterion.weighted(style)[0], *parts]
        found.append([float(torch.autograd.grad(t, x, retain_graph=True)[0].norm()) for t in terms])
    return torch.tensor(found).mean(0).tolist()


def test_calibrated_losses_pull_alike(criterion: Criterion, photos: Tensor, painting: Tensor) -> None:
    painted = blended(photos, painting)
    before = lengths(criterion, photos, painted)
    assert before[0] != pytest.approx(before[1], rel=0.1)
    content, style, *layers = lengths(calibrated(criterion, photos, painted), photos, painted)
    assert style == pytest.approx(content, rel=0.02)
    assert layers == pytest.approx([layers[0]] * len(layers), rel=0.02)


def test_the_balance_does_not_depend_on_the_networks_scale(
    encoder: VGG19, photos: Tensor, painting: Tensor
) -> None:
    painted = blended(photos, painting)
    for form in ("covariance", "relative", "w2"):
        criterion = calibrated(make_criterion(encoder, painting, 64, form), photos, painted)
        content, style, *_ = lengths(criterion, photos, painted)
        assert style == pytest.approx(content, rel=0.02), form


def test_a_painting_is_never_enlarged_and_not_tiny(encoder: VGG19, painting: Tensor) -> None:
    def means(size: int, stroke: int) -> Tensor:
        target = make_criterion(encoder, painting, size, "covariance").targets[stroke][STYLE[0]]
        assert isinstance(target, Moments)
        return target.mean

    assert torch.equal(means(4000, 0), means(4000, 4))
    assert not torch.equal(means(64, 0), means(64, 2))
    with pytest.raises(InputError, match="64×31 pixels: give one of 32 at least"):
        make_criterion(encoder, torch.rand(1, 3, 31, 64), 64, "covariance")


# ------------------------------------------------------------------------------------------ the network


def test_conditions_are_told_as_painting_tells_them() -> None:
    told = conditions(SMALL, torch.tensor([0.25, 1.0]), 2.0)
    assert told is not None
    assert told.tolist() == [[0.25, 1.0], [1.0, 1.0]]
    assert conditions(StyleNetSettings(), torch.ones(1), 1.0) is None


def test_at_strength_0_there_is_the_photo_itself(photos: Tensor) -> None:
    network = StyleNet(SMALL).eval()
    assert torch.equal(paint(network, photos, strength=0.0), photos)
    assert not torch.equal(paint(network, photos, strength=0.5), photos)
    assert [opacity(s) for s in (0.0, 0.25, 0.5, 1.0)] == [0, 0.4375, 0.75, 1]


def test_strokes_that_a_network_knows_are_told_and_not_painted_small() -> None:
    def job(stroke: float) -> Stylize:
        return build(Stylize, {"content": "a", "styles": "b", "stroke_size": stroke})

    ratios = [strokes(job(s), (300, 1024), StyleNetSettings()) for s in (100, 25, 400)]
    assert ratios == [2, 0.5, 8]
    assert [learnt(ratio) for ratio in (*ratios, 0.1)] == [2, 0.5, 2, 0.5]


def test_frozen_layers_are_left_out() -> None:
    network = StyleNet(SMALL)
    every = dict(network.named_parameters())
    assert len(unfrozen(network, [])) == len(every)
    assert unfrozen(network, ["down", "*.conv"]).keys() == {
        n for n in every if not n.startswith("down.") and ".conv." not in n
    }
    with pytest.raises(InputError, match=r"no such layer; it has down, blocks, up, last, \*\.conv"):
        unfrozen(network, ["dwon"])
    with pytest.raises(InputError, match="nothing is left to learn"):
        unfrozen(network, ["*"])


# ------------------------------------------------------------------------------------------ whole runs


@pytest.fixture
def place(
    tmp_path: Path, photo: Tensor, painting: Tensor, monkeypatch: pytest.MonkeyPatch
) -> Generator[Path]:
    """A folder with painting.png and photos/ of eight."""
    (tmp_path / "photos").mkdir()
    for number in range(8):
        shifted = photo.roll(7 * number, -1)
        to_image(shifted if number % 2 else shifted.flip(-2)).save(tmp_path / "photos" / f"{number}.png")
    to_image(painting).save(tmp_path / "painting.png")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def prepared(options: Mapping[str, Any], reference: dict[str, Any] | None = None, **more: Any) -> StyleNetRun:
    preparing = run_stylenet(build(StyleNetTrain, {**QUICK, **options}), None, reference, **more)
    while True:
        try:
            next(preparing)
        except StopIteration as stop:
            return stop.value


def reference(crop: int = 64) -> dict[str, Any]:
    return {"optimised": torch.rand(1, 3, crop, crop), "style": dict.fromkeys(STYLE, 0.5)}


def weights_of(run: StyleNetRun) -> dict[str, bytes]:
    """The network that is written, to the bit."""
    return {name: t.numpy().tobytes() for name, t in load(run.task.to_bytes({})).items()}


def result(run: StyleNetRun) -> list[float]:
    """What a run ends with: its losses and weights."""
    *_, last = run.events
    assert isinstance(last, Finished)
    weights = [float(p.detach().double().abs().sum()) for p in run.task.network.parameters()]
    return [*last.means.values(), *weights]


CHANGES: Mapping[str, Any] = {
    "steps": 3, "batch": 3, "crop": 80, "style_size": 96, "style_weight": 2.0, "content_weight": 0.5,
    "tv_weight": 9.0, "style_loss": "w2", "steadiness": 0.0, "adjustable": "none", "width": 5, "blocks": 2,
    "depthwise": True, "learning_rate": 1e-4, "seed": 1, "precision": "bfloat16",
}  # fmt: skip
ELSEWHERE = {
    "photos", "style", "device", "threads", "weights", "accumulate", "average", "held_back", "compare_steps",
    "from_network", "freeze",
}  # fmt: skip


@pytest.mark.slow
def test_every_option_changes_the_network(place: Path) -> None:
    assert CHANGES.keys() | ELSEWHERE == StyleNetTrain.model_fields.keys()
    usual = result(prepared({}, reference()))
    assert usual == result(prepared({}, reference()))
    for name, value in CHANGES.items():
        changed = prepared({name: value}, reference(CHANGES["crop"] if name == "crop" else 64))
        assert result(changed) != usual, name


@pytest.mark.slow
def test_options_seen_elsewhere(place: Path) -> None:
    averaged, plain = (prepared({"average": a, "steps": 12}, reference()) for a in (0.9, 0.0))
    assert result(averaged) == result(plain)
    assert weights_of(averaged) != weights_of(plain)
    few, more = (prepared({"held_back": n, "steps": 1}, reference()) for n in (1, 1))
    assert len(few.held_back) == len(more.held_back) == 1  # a tenth of eight at most
    parts = prepared({"accumulate": 2, "adjustable": "none", "steadiness": 0}, reference())
    whole = prepared({"adjustable": "none", "steadiness": 0}, reference())
    assert result(parts) == pytest.approx(result(whole), rel=1e-3, abs=2e-3)  # Adam enlarges rounding
    with pytest.raises(InputError, match="--accumulate 3 parts of a batch of 2"):
        prepared({"accumulate": 3})
    short, long = (prepared({"compare_steps": n}) for n in (5, 9))
    assert short.reference["style"] != long.reference["style"]


@pytest.mark.slow
def test_a_network_goes_on_from_another_with_some_layers_frozen(place: Path) -> None:
    first = prepared({"steps": 2}, reference())
    result(first)
    (place / "one.safetensors").write_bytes(first.task.to_bytes({}))
    started = read_stylenet(place / "one.safetensors")[0].state_dict()
    base = {name: value for name, value in QUICK.items() if name not in ("width", "blocks")}
    job = build(StyleNetTrain, {**base, "from_network": "one.safetensors", "freeze": ["down", "*.conv"]})
    preparing = run_stylenet(job, None, reference())
    with pytest.raises(StopIteration) as stop:
        next(preparing)
    run = stop.value.value
    result(run)
    for name, value in run.task.network.state_dict().items():
        is_frozen = name.startswith("down.") or ".conv." in name
        assert torch.equal(value, started[name]) == is_frozen, name
    wrong = run_stylenet(job.model_copy(update={"freeze": ("nosuch",)}))
    with pytest.raises(InputError, match="--freeze nosuch"):
        next(wrong)  # before any photo is painted
    with pytest.raises(InputError, match="--blocks is decided by the network of --from"):
        build(StyleNetTrain, {**QUICK, "from_network": "one.safetensors"})
    with pytest.raises(InputError, match="--freeze keeps layers of another network"):
        build(StyleNetTrain, {**QUICK, "freeze": ["down"]})


@pytest.mark.slow
def test_a_training_goes_on_with_other_photos(place: Path) -> None:
    """What was held back stays so, and is what the network is judged by, whatever becomes of its files."""
    job = build(StyleNetTrain, {**QUICK, "steps": 5, "held_back": 1})
    run = prepared({"steps": 5, "held_back": 1})
    state = next(event.state() for event in run.events if isinstance(event, Checkpoint))
    (held,) = run.reference["names"]
    names = sorted(path.name for path in (place / "photos").iterdir())
    for gone in ([held], [name for name in names if name != held][:4], ["added"]):
        for name in gone:
            path = place / "photos" / name
            path.unlink() if path.exists() else Image.new("RGB", (64, 64)).save(path.with_suffix(".png"))
        preparing = run_stylenet(job, state, run.reference)
        with pytest.raises(StopIteration) as stop:
            next(preparing)
        again: StyleNetRun = stop.value.value
        assert torch.equal(again.held_back, run.held_back)
        assert len(result(again)) > 1
        assert again.verdict().scores.keys() == run.verdict().scores.keys()


@pytest.mark.slow
def test_it_learns_and_ends_where_a_resumed_one_does(place: Path) -> None:
    run = prepared({"steps": 30, "steadiness": 0, "learning_rate": 3e-3}, reference(), look_every=10)
    states: list[dict[str, Any]] = []
    losses: list[float] = []
    looks = 0
    for event in run.events:
        if isinstance(event, Checkpoint) and event.step == 28:
            states.append(_copied(event.state()))
        looks += isinstance(event, Looked)
        losses += [event.losses["loss"]] if isinstance(event, Stepped) else []
    assert looks == 3
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    verdict = run.verdict()
    assert verdict.scores.keys() == {"network", "optimise engine"}
    assert all(math.isfinite(gate.value) for gate in verdict.gates)
    job = build(StyleNetTrain, {**QUICK, "steps": 30, "steadiness": 0, "learning_rate": 3e-3})
    preparing = run_stylenet(job, states[0], run.reference)
    with pytest.raises(StopIteration) as stop:
        next(preparing)
    again = stop.value.value
    result(again)
    assert weights_of(again) == weights_of(run)


def _copied(state: Any) -> Any:
    """A state as it is now: its tensors go on changing."""
    if isinstance(state, Tensor):
        return state.clone(memory_format=torch.preserve_format)
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in cast("dict[str, Any]", state).items()}
    return [_copied(each) for each in cast("list[Any]", state)] if isinstance(state, list) else state


def test_a_lattice_is_unsteady_and_a_moved_picture_is_not(criterion: Criterion, photos: Tensor) -> None:
    class Lattice(StyleNet):
        """Gives the photo back, and over it a lattice that does not move with it."""

        depth = 0.0

        def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
            wave = torch.cos(torch.pi / 2 * torch.arange(image.shape[-1]))
            return image + self.depth * wave

    job = build(StyleNetTrain, QUICK)
    network = Lattice(StyleNetSettings.of_width(4, blocks=1))
    task = Stylise(job, network, criterion, {})

    def unsteadiness(depth: float) -> float:
        network.depth = depth
        made = network(photos, None)
        torch.manual_seed(4)  # moves by some pixels
        return float(task.unsteadiness(photos, made, None, torch.ones(2)))

    assert unsteadiness(0.0) == pytest.approx(NOISE**2, rel=0.1)
    assert unsteadiness(0.3) > 10 * NOISE**2


def test_a_network_of_many_styles_is_refused(criterion: Criterion) -> None:
    network = StyleNet(SMALL.model_copy(update={"conditions": ("style 0",)}))
    with pytest.raises(InputError, match="input 'style 0' cannot be trained on one painting"):
        Stylise(build(StyleNetTrain, QUICK), network, replace(criterion), {})
