"""Trained generators beside real pictures: one classifier, trained now, judges them all."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.context import Context
from brushwork.training.classifier import Classifier, Classify
from brushwork.training.datasets import Labelled, LabelledSet, read_labelled
from brushwork.training.dcgan import SIDE, latents
from brushwork.training.dcgan import Generator as Network
from brushwork.training.events import Event
from brushwork.training.jobs import GanScore
from brushwork.training.loop import Plan, train
from brushwork.training.scores import SampleScores, compare

BATCH = 128


@dataclass(frozen=True)
class Scored:
    """Scores by name; the first row is real pictures, which no generator should beat by much."""

    accuracy: float  # of the classifier, on pictures it has not seen
    rows: Mapping[str, SampleScores]


def score(job: GanScore, weights: Mapping[str, dict[str, Tensor]]) -> Generator[Event, None, Scored]:
    """Train the classifier, yielding its events, then score generators by name.

    Samples are compared with held-back pictures, and so are as many pictures of the training set: the row
    ``real`` says what a perfect generator would get. Raises InputError for missing files.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    pictures = read_labelled(job.data, SIDE)
    judge = yield from _classifier(pictures, job)
    held_back = pictures.held_back.float() / 255
    accuracy = judge.accuracy(held_back, pictures.their_classes)
    target = judge.features(held_back[: job.samples])
    count = len(target)
    points = latents(count, torch.Generator().manual_seed(job.seed))
    seen = judge.features(pictures.pictures[:count].float() / 255)
    rows = {"real": compare(target, seen)}
    for name, each in weights.items():
        rows[name] = compare(target, judge.features(_samples(each, points)))
    return Scored(accuracy, rows)


def _classifier(pictures: LabelledSet, job: GanScore) -> Generator[Event, None, Classifier]:
    shown, classes = pictures.pictures[: job.limit], pictures.classes[: job.limit]
    batches = Labelled(shown, classes, BATCH, job.seed)
    torch.manual_seed(job.seed)
    task = Classify(int(pictures.classes.max()) + 1, job.classifier_epochs * batches.steps)
    context = Context(torch.device("cpu"), torch.float32)
    yield from train(task, batches, Plan(job.classifier_epochs, job.seed), context)
    return task.network


@torch.no_grad()
def _samples(weights: dict[str, Tensor], points: Tensor) -> Tensor:
    network = Network()
    network.load_state_dict(weights)
    # Eight bits, as the real pictures have: the classifier might tell by less.
    return torch.cat([network(part) for part in points.split(500)]).mul(255).round() / 255
