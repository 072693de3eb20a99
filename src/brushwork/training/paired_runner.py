"""A job of ``train paired`` becomes events."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brushwork.context import context_for
from brushwork.encoders import VGG19
from brushwork.errors import InputError
from brushwork.feedforward.unet import UNet, UNetSettings, read_unet
from brushwork.training.events import Event
from brushwork.training.gates import Gate, Verdict, of_pixels
from brushwork.training.jobs import PairedTrain
from brushwork.training.loop import in_steps, train
from brushwork.training.paired import Translate
from brushwork.training.pairings import PairCrops, Pairing, match
from brushwork.training.photos import middle, set_aside, split
from brushwork.training.processes import Processes

REMEDIES = {
    "black": "black patches: train longer, or half the --learning-rate",
    "blown out": "saturated patches: train longer, or half the --learning-rate",
    "checkerboard": "a lattice of 2 or 4 pixels: train longer, or without --adversarial-weight",
    "frame": "a frame along the edges: train longer, or check the pairs for margins",
}


@dataclass(frozen=True)
class PairedRun:
    """A training that is ready: its task, the pairs' troubles, its events, and the judge of its end."""

    task: Translate
    troubles: list[str]
    notes: list[str]
    events: Generator[Event]
    given: Tensor  # held back, (N, 3, crop, crop), as the targets
    wanted: Tensor
    reference: dict[str, Any] | None = None  # nothing is measured before

    def verdict(self) -> Verdict:
        """How near the network comes to targets that it has not seen, beside the inputs themselves."""
        made = self.task.translated(self.given)
        scores = {"network": self._score(made), "input itself": self._score(self.given)}
        learnt = scores["network"]["perceptual"] / max(scores["input itself"]["perceptual"], 1e-9)
        remedy = "hardly nearer to the targets than the inputs are: train longer, or on more pairs"
        gates = (
            Gate("not learnt", learnt, 0.85, remedy),
            *of_pixels((self.wanted, self.given), self.wanted, made, REMEDIES),
        )
        return Verdict(scores, gates)

    @torch.no_grad()
    def _score(self, made: Tensor) -> dict[str, float]:
        distance = float(self.task.perceptual(made, self.wanted))
        return {"l1": float((made - self.wanted).abs().mean()), "perceptual": distance}


def run_paired(
    job: PairedTrain,
    state: dict[str, Any] | None = None,
    *,
    look_every: int | None = None,
    together: Processes | None = None,
) -> PairedRun:
    """Prepare a training; it begins with the first event asked for. Raises BrushworkError."""
    context = context_for(job)
    pairing = match(job.inputs, job.targets)
    held = set_aside(pairing, split(len(pairing), job.held_back, job.seed), pairing.look, "pairs")
    if not (learnt := [index for index in range(len(pairing)) if index not in held]):
        raise InputError(f"{job.inputs}: all pairs that can be read are held back to judge by: give more")
    given, wanted = (
        torch.cat([middle(pair[side], job.crop) for pair in held.values()]).to(context.device)
        for side in (0, 1)
    )
    encoder = VGG19.load(job.weights, dtype=context.dtype, device=context.device)
    torch.manual_seed(job.seed)
    network = _network(job).to(context.device, memory_format=torch.channels_last)  # pyright: ignore
    task = Translate(job, network, encoder, {"input": given, "target": wanted})
    crops = PairCrops(pairing, learnt, job.crop, job.batch, job.seed)
    events = train(task, crops, in_steps(job, look_every, together), context, state)
    return PairedRun(task, pairing.troubles, _notes(pairing), events, given, wanted)


def _network(job: PairedTrain) -> UNet:
    if job.from_network:
        return read_unet(Path(job.from_network)).train().requires_grad_()
    return UNet(UNetSettings(width=job.width, depth=job.depth))


def _notes(pairing: Pairing) -> list[str]:
    few = f"{len(pairing)} pairs are few: the network will know little else; give hundreds"
    return [few] if len(pairing) < 100 else []
