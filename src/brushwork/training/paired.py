"""Pairs of pictures become a network: image translation as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brushwork.encoders import VGG19
from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.unet import UNet
from brushwork.losses import content_loss
from brushwork.training.jobs import PairedTrain
from brushwork.training.learner import Learner, cosine, mean_decay

LAYERS = ("block1_conv2", "block2_conv2", "block3_conv2")
WARMUP = 50  # steps


class PatchDiscriminator(nn.Module):
    """Inputs and outputs (N, 3, h, w) to logits (N, 1, h', w'), one for each patch (arXiv 1611.07004)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        spectral = nn.utils.parametrizations.spectral_norm
        self.layers = nn.Sequential(
            spectral(nn.Conv2d(6, width, 4, 2, 1)),
            nn.LeakyReLU(0.2, inplace=True),
            spectral(nn.Conv2d(width, 2 * width, 4, 2, 1)),
            nn.LeakyReLU(0.2, inplace=True),
            spectral(nn.Conv2d(2 * width, 4 * width, 4, 1, 1)),
            nn.LeakyReLU(0.2, inplace=True),
            spectral(nn.Conv2d(4 * width, 1, 4, 1, 1)),
        )

    def forward(self, given: Tensor, made: Tensor) -> Tensor:
        """Judge outputs beside their inputs."""
        return self.layers(torch.cat([given, made], dim=1) * 2 - 1)


class Translate:
    """Supervised: L1 and a perceptual loss, and if wanted a discriminator of patches with hinge loss."""

    name = "paired"

    def __init__(self, job: PairedTrain, network: UNet, encoder: VGG19, shown: Mapping[str, Tensor]) -> None:
        """``shown`` are pictures (N, 3, h, w) by what they are, ``input`` among them, for ``look``."""
        self.network, self.learning_rate = network, job.learning_rate
        self._job, self._encoder, self._shown = job, encoder, shown
        schedule = cosine(job.steps, warmup=min(WARMUP, job.steps // 10))

        def learner(net: nn.Module, average: float = 0.0) -> Learner:
            optimizer = torch.optim.Adam(net.parameters(), job.learning_rate, (0.5, 0.999))
            return Learner(net, optimizer, schedule=schedule, average=average)

        learners = {"network": learner(network, mean_decay(job.average, job.steps))}
        self.discriminator: PatchDiscriminator | None = None
        if job.adversarial_weight:
            self.discriminator = PatchDiscriminator().to(next(network.parameters()).device)
            learners["discriminator"] = learner(self.discriminator)
        self.learners: Mapping[str, Learner] = learners
        self.steps = (self.step,)

    def step(self, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Learn from inputs and targets, (N, 3, side, side) each."""
        job, (given, wanted) = self._job, batch
        made = self.network(given.contiguous(memory_format=torch.channels_last)).float()
        losses: dict[str, Tensor] = {}
        if self.discriminator is not None:
            losses["d_loss"] = self._discriminator_loss(given, wanted, made.detach())
            losses["g_loss"] = -self.discriminator(given, made).float().mean()
        losses["l1"] = (made - wanted).abs().mean()
        losses["perceptual"] = self.perceptual(made, wanted)
        loss = job.l1_weight * losses["l1"] + job.perceptual_weight * losses["perceptual"]
        loss = loss + job.adversarial_weight * losses.get("g_loss", 0.0)
        # Both move after both losses: of a batch's last part neither sees the other moved already.
        self.learners["network"].minimise(loss)
        if self.discriminator is not None:
            self.learners["discriminator"].minimise(losses["d_loss"])
        return {name: each.detach() for name, each in {"loss": loss, **losses}.items()}

    def _discriminator_loss(self, given: Tensor, wanted: Tensor, made: Tensor) -> Tensor:
        assert self.discriminator is not None
        true, false = self.discriminator(given, wanted).float(), self.discriminator(given, made).float()
        return (1 - true).relu().mean() + (1 + false).relu().mean()

    def perceptual(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Mean distance of VGG19's features of pictures (N, 3, h, w), each layer's over its target's energy.

        Picture by picture: a dark one counts as much, and in whatever parts a batch is worked on.
        """
        with torch.autocast(made.device.type, enabled=False):
            mine = self._encoder.features(made, LAYERS, padding="repeat")
            with torch.no_grad():
                theirs = self._encoder.features(wanted, LAYERS, padding="repeat")
        batches = ((mine[name].float().split(1), theirs[name].float().split(1)) for name in LAYERS)
        pairs = (pair for batch in batches for pair in zip(*batch, strict=True))
        return torch.stack([content_loss(*pair, form="relative") for pair in pairs]).mean()

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        """The inputs held back, what the network makes of them, and their targets."""
        return {
            "input": self._shown["input"],
            "network": self.translated(self._shown["input"]),
            **self._shown,
        }

    @torch.no_grad()
    def translated(self, given: Tensor) -> Tensor:
        """What the averaged network makes of inputs (N, 3, H, W), 0..1."""
        with self.learners["network"].averaged():
            return torch.cat([self.network(one) for one in given.split(1)]).float()

    def to_bytes(self, about: Mapping[str, Any]) -> bytes:
        """The averaged network as a file."""
        with self.learners["network"].averaged():
            return to_bytes(self.network, about)
