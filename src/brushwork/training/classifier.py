"""A small classifier of 28×28 pictures: the features by which samples are compared with real pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from brushwork.training.learner import Learner, cosine

FEATURES = 128


class Classifier(nn.Module):
    """Pictures (N, 1, 28, 28), 0..1, to logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, FEATURES), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Tell the classes."""
        return self.head(self.layers(pictures))

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """What the last layer sees: (N, 128)."""
        return torch.cat([self.layers(part) for part in pictures.split(500)])

    @torch.no_grad()
    def accuracy(self, pictures: Tensor, classes: Tensor) -> float:
        """The share of pictures (N, 1, 28, 28), 0..1, told right."""
        told = torch.cat([self(part).argmax(1) for part in pictures.split(500)])
        return float((told == classes).float().mean())


class Classify:
    """The classifier as a task."""

    name = "classify"

    def __init__(self, classes: int, steps: int) -> None:
        self.network = Classifier(classes)
        optimizer = torch.optim.Adam(self.network.parameters(), 2e-3)
        self.learners: Mapping[str, Learner] = {
            "classifier": Learner(self.network, optimizer, schedule=cosine(steps, warmup=20))
        }
        self.steps = (self.step,)

    def step(self, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """Learn from pictures (N, 1, 28, 28) and classes (N,)."""
        pictures, classes = batch
        loss = functional.cross_entropy(self.network(pictures).float(), classes)
        self.learners["classifier"].minimise(loss)
        return {"loss": loss.detach()}

    def look(self, *, epoch_end: bool) -> Mapping[str, Tensor]:
        """Nothing to see."""
        return {}
