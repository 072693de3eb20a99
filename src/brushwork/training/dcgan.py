"""The two networks of the course notebook's DCGAN, for grey pictures of 28×28 pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from brushwork.training.same import SameConv2d, SameConvTranspose2d, initialise

SIDE = 28  # pixels of a picture's sides
LATENT = 64  # numbers of a latent vector
SLOPE = 0.2  # of the leaky ReLUs


class Generator(nn.Module):
    """Latents (N, 64) to pictures (N, 1, 28, 28), 0..1; 310,849 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT, 7 * 7 * 64)
        self.layers = nn.Sequential(
            SameConvTranspose2d(64, 64, 4, 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SameConvTranspose2d(64, 32, 4, 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SameConvTranspose2d(32, 16, 4, 1),
            nn.LeakyReLU(SLOPE),  # not in place: cropped features are a view
            SameConv2d(16, 1, 5),
            nn.Sigmoid(),
        )
        initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Make pictures."""
        # TensorFlow's order: channels last, which is also the faster one in memory.
        features = self.dense(latents).view(-1, 7, 7, 64).permute(0, 3, 1, 2)
        return self.layers(features)


class Discriminator(nn.Module):
    """Pictures (N, 1, 28, 28), 0..1, to logits (N, 1) of being generated; 396,609 parameters."""

    def __init__(self, *, dropout: float = 0.0, spectral: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SameConv2d(1, 64, 4, 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SameConv2d(64, 128, 4, 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            SameConv2d(128, 128, 4, 2),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * 4 * 128, 1),
        )
        initialise(self)
        if spectral:  # Miyato et al., arXiv 1802.05957
            for layer in self.layers:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    parametrizations.spectral_norm(layer)

    def forward(self, pictures: Tensor) -> Tensor:
        """Judge pictures."""
        return self.layers(pictures)


def latents(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Points (count, 64) of a standard normal distribution."""
    return torch.randn(count, LATENT, generator=generator)


def between(first: Tensor, second: Tensor, count: int) -> Tensor:
    """``count`` latents (count, 64) on the arc from one (64,) to another: spherical interpolation.

    On the straight line the middle would be shorter than what the generator has ever seen.
    """
    cosine = torch.dot(first, second) / (first.norm() * second.norm())
    angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).arccos()
    share = torch.linspace(0, 1, count)[:, None]
    return ((1 - share) * angle).sin() / angle.sin() * first + (share * angle).sin() / angle.sin() * second
