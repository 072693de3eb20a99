"""The GAN as a task: a discriminator that tells pictures from samples, a generator that deceives it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from brushwork.training.dcgan import LATENT, Discriminator, Generator, latents
from brushwork.training.jobs import GanSettings
from brushwork.training.learner import Learner

CLIP = 1e-7  # Keras's epsilon: of clipped probabilities, and of Adam
MONITORED, STRIP = 10, 8  # samples looked at each epoch; samples of a strip


class Gan:
    """The notebook's ``GAN`` with what a recipe changes of it. Labels: 1 generated, 0 real."""

    name = "gan"

    def __init__(self, settings: GanSettings, device: torch.device | str = "cpu") -> None:
        self._settings = settings
        is_spectral = settings.normalisation == "spectral"
        self.generator = Generator().to(device)
        self.discriminator = Discriminator(dropout=settings.dropout, spectral=is_spectral).to(device)
        for network in (self.generator, self.discriminator):  # on CPUs a step takes 0.9 of the time so
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._watched = latents(1).to(device)  # the latent of the film
        d_optimizer = self._adam(self.discriminator, settings.discriminator_rate)
        g_optimizer = self._adam(self.generator, settings.generator_rate)
        self.learners: Mapping[str, Learner] = {
            "discriminator": Learner(self.discriminator, d_optimizer),
            "generator": Learner(self.generator, g_optimizer, average=settings.average),
        }
        self.steps = (self.discriminate, self.generate)

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), rate, (self._settings.beta1, 0.999), CLIP)

    def discriminate(self, batch: Tensor) -> Mapping[str, Tensor]:
        """The discriminator learns from pictures (N, 1, 28, 28) and as many samples."""
        settings, count = self._settings, len(batch)
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            fakes = self.generator(self._draw(batch))
        labels = torch.cat([batch.new_ones(count, 1), batch.new_zeros(count, 1)])
        labels = labels + settings.label_noise * torch.rand_like(labels)
        logits = self.discriminator(torch.cat([fakes, batch])).float()
        d_loss = discriminator_loss(logits, labels, settings.loss)
        self.learners["discriminator"].minimise(d_loss)
        return {"d_loss": d_loss.detach()}

    def generate(self, batch: Tensor) -> Mapping[str, Tensor]:
        """The generator learns from as many samples as there are pictures."""
        self.discriminator.requires_grad_(False)  # nor are its gradients wanted here
        logits = self.discriminator(self.generator(self._draw(batch))).float()
        self.discriminator.requires_grad_(True)
        g_loss = generator_loss(logits, self._settings.loss)
        self.learners["generator"].minimise(g_loss)
        return {"g_loss": g_loss.detach()}

    @staticmethod
    def _draw(batch: Tensor) -> Tensor:
        return torch.randn(len(batch), LATENT, device=batch.device)

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        """``film``: the watched latent; at an epoch's end also ``monitor`` (10) and ``strip`` (8), fresh."""
        if not epoch_end:
            return {"film": self.samples(self._watched)}
        fresh = latents(MONITORED + STRIP).to(self._watched.device)
        made = self.samples(torch.cat([self._watched, fresh]))
        return {"film": made[:1], "monitor": made[1 : MONITORED + 1], "strip": made[MONITORED + 1 :]}

    @torch.no_grad()
    def samples(self, points: Tensor) -> Tensor:
        """Pictures (N, 1, 28, 28) of latents (N, 64), by the averaged weights when there are such."""
        with self.learners["generator"].averaged():
            return self.generator(points)


def discriminator_loss(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """How wrong logits (N, 1) are; labels (N, 1) near 1 stand for generated, near 0 for real."""
    if kind == "probabilities":
        return clipped_cross_entropy(logits.sigmoid(), labels)
    if kind == "logits":
        return functional.binary_cross_entropy_with_logits(logits, labels)
    signs = 2 * labels.round() - 1  # hinge (arXiv 1705.02894): no more is asked than a margin of 1
    return (1 - signs * logits).relu().mean()


def generator_loss(logits: Tensor, kind: str) -> Tensor:
    """How far samples with these logits (N, 1) are from being taken for pictures."""
    if kind == "hinge":
        return logits.mean()
    return discriminator_loss(logits, torch.zeros_like(logits), kind)


def clipped_cross_entropy(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Keras's ``BinaryCrossentropy`` of probabilities (N, 1); labels may leave 0..1, as noisy ones do.

    torch's own refuses such labels.
    """
    p = probabilities.clamp(CLIP, 1 - CLIP)
    return -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
