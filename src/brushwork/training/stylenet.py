"""A painting becomes a network: the style network as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from brushwork.errors import InputError
from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.plan import opacity
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings
from brushwork.losses import total_variation
from brushwork.training.jobs import StyleNetTrain
from brushwork.training.learner import Learner, cosine, mean_decay
from brushwork.training.perceptual import STROKES, Criterion

INPUTS = ("strength", "stroke_size")
WARMUP = 50  # steps
NOISE = 0.03  # deviation of what a video's grain is like
SHIFTS = 4  # pixels: the network halves twice, so that it works on one of so many phases
MARGIN = 8  # pixels
INPUTS_FASTER = 10.0  # times the rate of the other weights
FULL = 0.5  # share of the pictures painted at full strength: what most will ask for


class Stylise:
    """Johnson et al.'s training (arXiv 1603.08155) with strength and stroke size as inputs of the network.

    At strength s the style weighs s², and the photo shows through as it does when one paints.
    """

    name = "stylenet"

    def __init__(
        self, job: StyleNetTrain, network: StyleNet, criterion: Criterion, shown: Mapping[str, Tensor]
    ) -> None:
        """``shown`` are pictures (N, 3, h, w) by what they are, ``photo`` among them, for ``look``."""
        strange = set(network.settings.conditions) - set(INPUTS)
        if strange:
            raise InputError(f"a network with the input {min(strange)!r} cannot be trained on one painting")
        self.network, self.criterion = network, criterion
        self.learning_rate = job.learning_rate
        self._job, self._shown = job, shown
        schedule = cosine(job.steps, warmup=min(WARMUP, job.steps // 10))
        average = mean_decay(job.average, job.steps)
        optimizer = _adam(unfrozen(network, job.freeze), job.learning_rate)
        self.learners: Mapping[str, Learner] = {
            "network": Learner(network, optimizer, schedule=schedule, average=average)
        }
        self.steps = (self.step,)

    def step(self, batch: Tensor) -> Mapping[str, Tensor]:
        """Learn from photos (N, 3, side, side), each at a strength of its own, all at one stroke size."""
        job, criterion = self._job, self.criterion
        batch = batch.contiguous(memory_format=torch.channels_last)
        strengths, stroke = self._drawn(len(batch), batch.device)
        condition = conditions(self.network.settings, strengths, STROKES[stroke])
        painted = shown_through(batch, self.network(batch, condition).float(), strengths)
        features = criterion.features(painted)
        content = criterion.content(features, criterion.of_photos(batch)).mean()
        style = criterion.weighted(criterion.style(features, stroke))
        style = job.style_weight * (strengths.square() * style).mean()
        loss = job.content_weight * content + style
        loss = loss + job.tv_weight * total_variation(painted, form="mean") / len(batch)
        losses = {"content": content, "style": style}
        if job.steadiness:
            losses["unsteadiness"] = unsteady = self.unsteadiness(batch, painted, condition, strengths)
            loss = loss + job.steadiness * unsteady
        self.learners["network"].minimise(loss)
        return {name: each.detach() for name, each in {"loss": loss, **losses}.items()}

    def unsteadiness(
        self, batch: Tensor, painted: Tensor, condition: Tensor | None, strengths: Tensor
    ) -> Tensor:
        """How much pictures change when their photos move by a few pixels and have other grain, as in a film.

        What stands still while the photo moves is also the lattice that upsampling leaves.
        """
        down, across = torch.randint(SHIFTS, (2,)).tolist()
        moved = batch[..., down:, across:]
        again = self.network(moved + NOISE * torch.randn_like(moved), condition).float()
        again = shown_through(moved, again, strengths)
        change = painted[..., down:, across:] - again
        return change[..., MARGIN:-MARGIN, MARGIN:-MARGIN].square().mean()  # edges may differ

    def _drawn(self, count: int, device: torch.device) -> tuple[Tensor, int]:
        """Strengths (N,) and the number of a stroke size."""
        names = self.network.settings.conditions
        strengths = torch.ones(count, device=device)
        if "strength" in names:
            draws = torch.rand(2, count, device=device)
            strengths = torch.where(draws[0] < FULL, strengths, draws[1])
        stroke = STROKES.index(1.0)
        if "stroke_size" in names and float(torch.rand(())) >= FULL:
            stroke = int(torch.randint(len(STROKES), ()))
        return strengths, stroke

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        """The photos held back, painted: at full and half strength, with broad strokes, by the optimiser."""
        photos = self._shown["photo"]
        made = {"network": self.painted(photos)}
        if "strength" in self.network.settings.conditions:
            made["half strength"] = self.painted(photos, strength=0.5)
        if "stroke_size" in self.network.settings.conditions:
            made["broad strokes"] = self.painted(photos, stroke=STROKES[-1])
        return {"photo": photos, **made, **{k: v for k, v in self._shown.items() if k != "photo"}}

    def to_bytes(self, about: Mapping[str, Any]) -> bytes:
        """The averaged network as a file."""
        with self.learners["network"].averaged():
            return to_bytes(self.network, about)

    @torch.no_grad()
    def painted(self, photos: Tensor, *, strength: float = 1.0, stroke: float = 1.0) -> Tensor:
        """Photos (N, 3, H, W) as the averaged network paints them, 0..1."""
        with self.learners["network"].averaged():
            return paint(self.network, photos, strength=strength, stroke=stroke)


@torch.no_grad()
def paint(network: StyleNet, photos: Tensor, *, strength: float = 1.0, stroke: float = 1.0) -> Tensor:
    """Photos (N, 3, H, W) as a network of one style paints them, 0..1."""
    strengths = torch.full((1,), float(strength), device=photos.device)
    condition = conditions(network.settings, strengths, stroke)
    made = torch.cat([network(photo, condition) for photo in photos.split(1)]).float().clamp(0, 1)
    return shown_through(photos, made, strengths) if "strength" in network.settings.conditions else made


def shown_through(photos: Tensor, painted: Tensor, strengths: Tensor) -> Tensor:
    """Painted pictures (N, 3, h, w) through which their photos show at low strengths (N,) or (1,)."""
    shares = strengths.new_tensor([opacity(strength) for strength in strengths.tolist()])
    return photos.lerp(painted, shares.view(-1, 1, 1, 1))


def conditions(settings: StyleNetSettings, strengths: Tensor, stroke: float) -> Tensor | None:
    """What the network is told, (N, n): strengths (N,) as they are, the stroke size by its logarithm."""
    known = {"strength": strengths, "stroke_size": torch.full_like(strengths, stroke).log2()}
    names = settings.conditions
    return torch.stack([known[name] for name in names], dim=1) if names else None


def _adam(parameters: Mapping[str, nn.Parameter], rate: float) -> torch.optim.Adam:
    """Adam, faster for what the inputs change: numbers about 1, where kernels are about 0.05."""
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in parameters.items():
        groups[name.endswith("_by")].append(parameter)
    rates = {False: rate, True: INPUTS_FASTER * rate}
    return torch.optim.Adam([{"params": group, "lr": rates[key]} for key, group in groups.items() if group])


def unfrozen(network: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
    """The parameters to learn by name: all but those a pattern names (``down``, ``blocks.0``, ``*.conv``).

    Raises InputError for a pattern that names nothing, and when nothing is left to learn.
    """
    named = dict(network.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        found = {name for name in named if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")}
        if not found:
            parts = dict.fromkeys(name.partition(".")[0] for name in named)
            raise InputError(
                f"--freeze {pattern}: the network has no such layer; it has {', '.join(parts)}, *.conv"
            )
        frozen |= found
    if len(frozen) == len(named):
        raise InputError(f"--freeze {' '.join(patterns)}: nothing is left to learn")
    return {name: parameter for name, parameter in named.items() if name not in frozen}
