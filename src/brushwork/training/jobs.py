"""What a user asks of a training: frozen jobs, each option written once, as in ``brushwork.jobs``."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from brushwork.errors import InputError
from brushwork.jobs import Frozen, build, option
from brushwork.recipes import read_recipe

RECIPES = "brushwork.training.recipes"
"""The package that holds the recipes of GANs."""


class GanSettings(Frozen):
    """What a recipe of a GAN decides."""

    batch: int = option("pictures a step", "N", default=512, ge=2, le=65536)
    loss: Literal["probabilities", "logits", "hinge"] = option(
        "cross-entropy of clipped probabilities as published, of logits, or hinge", default="probabilities"
    )
    label_noise: float = option(
        "the labels are raised by up to this, at random", "F", default=0.05, ge=0, le=0.5
    )
    discriminator_rate: float = option(
        "Adam's rate for the discriminator", "LR", default=1e-4, gt=0, allow_inf_nan=False
    )
    generator_rate: float = option(
        "Adam's rate for the generator", "LR", default=1e-4, gt=0, allow_inf_nan=False
    )
    beta1: float = option("Adam's first decay", "B", default=0.9, ge=0, lt=1)
    dropout: float = option(
        "share of the discriminator's last features dropped in a step", "F", default=0.0, ge=0, lt=1
    )
    normalisation: Literal["none", "spectral"] = option(
        "of the discriminator's weights: none, or each divided by its largest singular value", default="none"
    )
    average: float = option(
        "decay of the running mean of the generator's weights, which then makes the samples; 0 for none",
        "F",
        default=0.0,
        ge=0,
        lt=1,
    )


class GanTrain(GanSettings):
    """Train a generator and a discriminator on pictures of 28×28 pixels, grey."""

    recipe: str = option(
        "named recipe, or a TOML file of one's own", "NAME|FILE.toml", default="fashion-dcgan"
    )
    data: str | None = option(
        "folder with IDX files (.gz or not) or with pictures [Fashion-MNIST, installed or downloaded]",
        "DIR",
        default=None,
    )
    epochs: int = option("epochs in all, those before --resume included", "N", default=100, ge=1, le=100_000)
    limit: int | None = option("take only so many pictures, for a quick look", "N", default=None, ge=2)
    accumulate: int = option(
        "parts that a batch is computed in, for less memory", "N", default=1, ge=1, le=1024
    )
    seed: int = option("seed of weights, order and latents", "N", default=0, ge=0, le=2**63 - 1)
    device: str = option(
        "where to compute", "auto|cpu|cuda[:N]|mps", default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"
    )
    precision: Literal["float32", "bfloat16"] = option("arithmetic of the networks", default="float32")
    threads: int | None = option("processor threads", "N", default=None, ge=1, le=1024)

    @model_validator(mode="before")
    @classmethod
    def _merge_recipe(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        explicit = cast("dict[str, Any]", data)
        recipe = explicit.get("recipe", "fashion-dcgan")
        if set(GanSettings.model_fields) <= explicit.keys() or not isinstance(recipe, str):
            return explicit  # a whole job says everything itself
        return read_recipe(recipe, RECIPES).settings | explicit

    @model_validator(mode="after")
    def _check_parts(self) -> GanTrain:
        if self.accumulate > self.batch:
            raise ValueError(
                f"--accumulate {self.accumulate} parts of a batch of {self.batch}: at most that many"
            )
        return self

    @classmethod
    def from_json(cls, text: str) -> GanTrain:
        """Read a job back. Raises InputError when it is not one."""
        try:
            return build(cls, json.loads(text))
        except json.JSONDecodeError as error:
            raise InputError(f"not a job: {error}") from error


class TrainingFiles(Frozen):
    """Where a training's files go and how often."""

    output: str | None = option(
        "folder for the networks, the pictures and what --resume goes on from", "DIR", default=None
    )
    resume: bool = option("go on with the training in the folder", default=False)
    overwrite: bool = option("replace the training in the folder", default=False)
    checkpoint_every: float = option(
        "seconds between checkpoints; there is also one at the end",
        "SECONDS",
        default=60,
        gt=0,
        allow_inf_nan=False,
    )
    film_every: int = option("steps between the frames of the film of one latent", "N", default=10, ge=1)


class GanScore(Frozen):
    """Score trained generators against pictures that no training saw."""

    generators: tuple[str, ...] = Field(min_length=1)
    data: str | None = option(
        "folder with MNIST's four IDX files (.gz or not) [Fashion-MNIST, where it is installed]",
        "DIR",
        default=None,
    )
    samples: int = option("pictures of each to compare", "N", default=5000, ge=200, le=10_000)
    classifier_epochs: int = option(
        "epochs of the classifier whose features are compared", "N", default=2, ge=1, le=100
    )
    limit: int | None = option("train the classifier on only so many pictures", "N", default=None, ge=100)
    seed: int = option("seed of the classifier and of the latents", "N", default=0, ge=0, le=2**63 - 1)
    threads: int | None = option("processor threads", "N", default=None, ge=1, le=1024)


class GanSample(Frozen):
    """Pictures from a trained generator."""

    generator: str = Field(min_length=1)
    count: int = option(
        "pictures, or latents that an interpolation goes through", "N", default=64, ge=1, le=10_000
    )
    interpolate: int | None = option(
        "pictures from each latent to the next, along the sphere; one row a pair",
        "N",
        default=None,
        ge=2,
        le=1000,
    )
    columns: int | None = option("pictures across", "N", default=None, ge=1, le=1000)
    zoom: int = option("side of each of their pixels", "PX", default=2, ge=1, le=32)
    seed: int = option("seed of the latents", "N", default=0, ge=0, le=2**63 - 1)
    output: str = option(
        "the sheet; of an interpolation also a film", "OUT.png|OUT.mp4", default="samples.png"
    )
    overwrite: bool = option("replace a file that exists", default=False)
