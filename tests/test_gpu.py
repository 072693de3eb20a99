"""On a GPU, where there is one: the same picture twice, the processor's numbers, tiles, pairs on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from brushwork.context import repeatable
from brushwork.encoders import VGG19
from brushwork.events import Checkpoint, Event, Finished
from brushwork.fields import build
from brushwork.images import Picture, Sources
from brushwork.jobs import Settings, Stylize
from brushwork.optimize.objective import Objective, make_target
from brushwork.optimize.optimizers import LBFGS
from brushwork.optimize.vault import Vault
from brushwork.outputs.checkpoint import load, save
from brushwork.runner import run
from brushwork.weights import Weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

LOSSES = get_args(Settings.model_fields["style_loss"].annotation)
JOB: dict[str, Any] = {"content": "-", "styles": ["-"], "size": 96, "device": "cuda"}


def painted(photo: Tensor, painting: Tensor, state: Checkpoint | None = None, **options: Any) -> list[Event]:
    sources = Sources(Picture(photo), [Picture(painting)])
    return list(run(build(Stylize, JOB | options), sources, state))


def result(events: list[Event]) -> Tensor:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.picture.pixels.cpu()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_job_is_the_same_picture_twice(photo: Tensor, painting: Tensor, precision: str) -> None:
    one, other = (result(painted(photo, painting, precision=precision)) for _ in range(2))
    assert torch.equal(one, other)
    assert float((one - photo.mean()).abs().mean()) > 0.01


def test_a_resumed_job_ends_with_the_same_picture(photo: Tensor, painting: Tensor, tmp_path: Path) -> None:
    whole = painted(photo, painting)
    states = [event for event in whole if isinstance(event, Checkpoint)]
    state = states[len(states) // 2]
    save(path := tmp_path / "state", vars(state) | {"losses": None})
    stored: dict[str, Any] = load(path) | {"losses": state.losses}
    assert torch.equal(result(painted(photo, painting, Checkpoint(**stored))), result(whole))


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_the_processors(weights: Weights, photo: Tensor, painting: Tensor, loss: str) -> None:
    """Also recorded (the second call) and replayed (the third), of another picture each."""
    repeatable(exact=True)
    settings = build(Settings, {"style_loss": loss, "style_unit": "photo", "tv_weight": 1.0})
    ours, theirs = (
        Objective(
            encoder,
            make_target(encoder, settings, photo.to(device), [painting.to(device)], [1.0]),
            settings,
        )
        for device in ("cpu", "cuda")
        for encoder in [VGG19(weights, device=device)]
    )
    for mix in (0.2, 0.5, 0.8):
        image = photo.lerp(photo.flip(-1), mix)
        here, there = ours.evaluate(image), theirs.evaluate(image.cuda())
        assert there.losses.total == pytest.approx(here.losses.total, rel=1e-3)
        gradient = there.gradient.cpu()
        assert float((gradient - here.gradient).norm() / here.gradient.norm()) < 0.02


@pytest.mark.parametrize("more", [{"tile": 64}, {"tile": 64, "style_loss": "w2"}, {"memory": 900_000_000}])
def test_tiles_come_near_the_whole_picture(photo: Tensor, painting: Tensor, more: dict[str, Any]) -> None:
    one, other = (painted(photo, painting, **options)[-1] for options in ({**more, "tile": None}, more))
    assert isinstance(one, Finished)
    assert isinstance(other, Finished)
    assert other.losses.total == pytest.approx(one.losses.total, rel=0.1)


def test_lbfgs_goes_by_pairs_that_wait_on_disk() -> None:
    x = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)).cuda()
    bends = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)).cuda() + 0.1
    kept, stored = LBFGS(), LBFGS(vault=Vault(on_disk=True))
    one, other = x, x
    for step in range(8):
        one, other = kept.step(one, -step, bends * one), stored.step(other, -step, bends * other)
    assert stored.pairs[0][0].device.type == "cpu"
    assert torch.allclose(one, other, atol=1e-6)
