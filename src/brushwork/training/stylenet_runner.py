"""A job of ``train stylenet`` becomes events."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brushwork.context import Context, context_for
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.events import finished
from brushwork.feedforward.files import read_network
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings
from brushwork.fields import build
from brushwork.images import Picture, Sources, read_picture
from brushwork.jobs import Stylize
from brushwork.margins import without_margin
from brushwork.optimize.engine import paint as optimise
from brushwork.training.events import Event, Preparing
from brushwork.training.gates import Verdict, judge
from brushwork.training.jobs import StyleNetTrain
from brushwork.training.loop import in_steps, train
from brushwork.training.perceptual import Balance, Criterion, calibrated, make_criterion
from brushwork.training.photos import Crops, Photos, middle, open_photos, set_aside, split
from brushwork.training.processes import Processes
from brushwork.training.stylenet import INPUTS, Stylise, unfrozen

COMPARED = 4  # photos that the optimise engine paints too: it takes its time
RUNAWAY = 3.0


@dataclass(frozen=True)
class StyleNetRun:
    """A training that is ready: its task, photos, events, and the judge of its end."""

    task: Stylise
    troubles: list[str]  # what was left out of the photos; more may come while they are read
    reference: dict[str, Any]  # what was measured before; a training that is resumed needs it
    notes: list[str]
    events: Generator[Event]
    painting: Tensor
    held_back: Tensor  # (N, 3, crop, crop)

    def verdict(self) -> Verdict:
        """What the network is worth on photos that it has not seen."""
        made = self.task.painted(self.held_back)
        optimised = self.reference["optimised"].to(made.device)
        count = len(optimised)
        whole = judge(self.task.criterion, self.painting, self.held_back, made)
        # The scores of both are those of the same photos.
        beside = judge(self.task.criterion, self.painting, self.held_back[:count], made[:count], optimised)
        return Verdict(beside.scores, (*beside.gates[:2], *whole.gates[2:]))


def run_stylenet(
    job: StyleNetTrain,
    state: dict[str, Any] | None = None,
    reference: dict[str, Any] | None = None,
    *,
    look_every: int | None = None,
    together: Processes | None = None,
) -> Generator[Preparing, None, StyleNetRun]:
    """Prepare a training, telling of what takes its time; it begins with the first of the run's events.

    Raises BrushworkError for what the user can mend.
    """
    context = context_for(job)
    photos = open_photos(job.photos)
    learnt, kept = _divided(photos, job, reference)
    held_back = kept["held_back"].to(context.device)
    encoder = VGG19.load(job.weights, dtype=context.dtype, device=context.device)
    painting = without_margin(read_picture(job.style).pixels).to(context.device)
    criterion = make_criterion(encoder, painting, job.style_size, job.style_loss)
    network = _network(job)
    unfrozen(network, job.freeze)  # a pattern that names nothing is told before photos are painted
    if reference is None:
        measured = yield from _measured(job, criterion, held_back[:COMPARED], painting, context)
        reference = kept | measured
    criterion = replace(criterion, balance=Balance(1.0, reference["style"]))
    shown = {"photo": held_back, "optimise engine": reference["optimised"].to(context.device)}
    network = network.to(context.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    task = Stylise(job, network, criterion, shown)
    crops = Crops(photos, learnt, job.crop, job.batch, job.seed)
    plan = in_steps(job, look_every, together, runaway=RUNAWAY)
    events = train(task, crops, plan, context, state)
    notes = _notes(job, len(learnt), painting)
    return StyleNetRun(task, photos.troubles, reference, notes, events, painting, held_back)


def _divided(
    photos: Photos, job: StyleNetTrain, reference: dict[str, Any] | None
) -> tuple[list[int], dict[str, Any]]:
    """Numbers of photos to learn from; middles (N, 3, crop, crop) and names of those held back.

    A training that goes on keeps the ones that it held back, whatever photos there are by now.
    """
    learnt, kept = split(len(photos), job.held_back, job.seed)
    if reference is None or "held_back" not in reference:
        found = set_aside(photos, (learnt, kept), photos.look, "pictures")
        middles = torch.cat([middle(each, job.crop) for each in found.values()])
        reference = {"held_back": middles, "names": [_name(photos, index) for index in found]}
    if [_name(photos, index) for index in kept] != reference["names"]:
        before = set(reference["names"])
        learnt = [index for index in range(len(photos)) if _name(photos, index) not in before]
    if not learnt:
        raise InputError(
            f"{job.photos}: all that are left were held back to judge by: give others to learn from"
        )
    return learnt, {name: reference[name] for name in ("held_back", "names")}


def _name(photos: Photos, index: int) -> str:
    return Path(photos.name(index)).name


def _network(job: StyleNetTrain) -> StyleNet:
    """The network to begin with."""
    torch.manual_seed(job.seed)
    if job.from_network:
        network = read_network(Path(job.from_network)).train().requires_grad_()
        network.settings = network.settings.model_copy(update={"natural": job.style_size})
        return network
    wanted = {"both": INPUTS, "strength": INPUTS[:1], "stroke": INPUTS[1:], "none": ()}[job.adjustable]
    settings = StyleNetSettings.of_width(
        job.width,
        blocks=job.blocks,
        depthwise=job.depthwise,
        conditions=wanted,
        natural=job.style_size,
    )
    return StyleNet(settings)


def _measured(
    job: StyleNetTrain, criterion: Criterion, photos: Tensor, painting: Tensor, context: Context
) -> Generator[Preparing, None, dict[str, Any]]:
    """Photos (N, 3, h, w) as the optimise engine paints them, and the balance of the losses there."""
    painted: list[Tensor] = []
    for number, photo in enumerate(photos.split(1)):
        yield Preparing("the optimise engine paints photos to compare with", number, len(photos))
        painted.append(_optimised(job, criterion.encoder, photo, painting, context))
    optimised = torch.cat(painted)
    balance = calibrated(criterion, photos, optimised.to(photos)).balance
    return {"optimised": optimised.cpu(), "style": dict(balance.style)}


def _optimised(
    job: StyleNetTrain, encoder: VGG19, photo: Tensor, painting: Tensor, context: Context
) -> Tensor:
    """What ``stylize`` makes of a photo (1, 3, h, w), with strokes of the size that is learnt."""
    asked: Mapping[str, Any] = {
        "content": "photo",
        "styles": "painting",
        "size": job.crop,
        "steps": job.compare_steps,
        "stroke_size": min(1000.0, max(10.0, 100 * job.style_size / job.crop)),
        "seed": job.seed,
    }
    sources = Sources(Picture(photo.cpu()), [Picture(painting.cpu())])
    return finished(optimise(build(Stylize, dict(asked)), sources, encoder, context)).picture.pixels


def _notes(job: StyleNetTrain, count: int, painting: Tensor) -> list[str]:
    """What a user should know before it takes hours."""
    notes: list[str] = []
    if count < 100:
        notes.append(
            f"{count} photos to learn from are few: the network will know little else; give hundreds"
        )
    height, width = painting.shape[-2:]
    if max(height, width) < job.style_size:
        notes.append(
            f"the painting has {width}×{height} pixels, less than --style-size {job.style_size}: "
            "its strokes are learnt as if the picture were that small"
        )
    return notes
