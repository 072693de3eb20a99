"""What a user asks of a training: frozen jobs, each option written once, as in ``brushwork.jobs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from brushwork.fields import Frozen, flag, option, several
from brushwork.recipes import read_recipe

RECIPES = "brushwork.training.recipes"
"""The package that holds the recipes of GANs."""

HUGGING_FACE = "hf:"
"""How photos begin that are a Hugging Face data set."""

Accumulate = Annotated[int, option("parts that a batch is computed in, for less memory", "N", ge=1, le=1024)]
Device = Annotated[
    str, option("where to compute", "auto|cpu|cuda[:N]|mps", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
]
Precision = Annotated[Literal["float32", "bfloat16"], option("arithmetic of the networks")]
Threads = Annotated[int | None, option("processor threads", "N", ge=1, le=1024)]
Steps = Annotated[int, option("batches to learn from", "N", ge=1, le=10_000_000)]
Start = Annotated[str | None, option("start from this network instead of random weights", "NET.safetensors")]
Rate = Annotated[float, option("Adam's rate, warmed up, then a cosine to 0", "LR", gt=0, le=1)]
Average = Annotated[
    float,
    option("decay of the running mean of the weights, which is the result; 0 for none", "F", ge=0, lt=1),
]


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
    accumulate: Accumulate = 1
    seed: int = option("seed of weights, order and latents", "N", default=0, ge=0, le=2**63 - 1)
    device: Device = "auto"
    precision: Precision = "float32"
    threads: Threads = None

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
    def _check(self) -> GanTrain:
        _check_parts(self.accumulate, self.batch)
        return self


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


class Machine(Frozen):
    """Where and how a training computes."""

    accumulate: Accumulate = 1
    seed: int = option("seed of weights, order, crops and draws", "N", default=0, ge=0, le=2**63 - 1)
    device: Device = "auto"
    precision: Precision = "float32"
    threads: Threads = None
    weights: str | None = option(
        "VGG19 weights of one's own: Keras .h5, torchvision .pth, safetensors", "FILE", default=None
    )


class StyleNetTrain(Machine):
    """Train a network that paints photos in the manner of one painting, in one pass."""

    photos: str = option(
        "folder, .tar file or hf:NAME[@SPLIT] of photos to learn from", "PHOTOS", min_length=1
    )
    style: str = option("the painting", "ART", min_length=1)
    steps: Steps = 20_000
    batch: int = option("photos a step", "N", default=4, ge=1, le=1024)
    crop: int = option(
        "side of the squares cut from photos; a multiple of 16",
        "PX",
        default=256,
        ge=64,
        le=2048,
        multiple_of=16,
    )
    style_size: int = option(
        "long side at which the painting's strokes are learnt: they suit pictures of that size",
        "PX",
        default=512,
        ge=64,
        le=4096,
    )
    style_weight: float = option(
        "style against content, over what was measured", "W", default=1.0, ge=0, allow_inf_nan=False
    )
    content_weight: float = option("content against style", "W", default=1.0, ge=0, allow_inf_nan=False)
    tv_weight: float = option("weight of the total variation", "W", default=1.0, ge=0, allow_inf_nan=False)
    style_loss: Literal["covariance", "relative", "w2"] = option(
        "moments compared: covariances and means, Gram matrices, or Gaussians by Wasserstein distance",
        default="covariance",
    )
    steadiness: float = option(
        "weight of what changes when the photo moves or has noise, for video; 0 for none",
        "W",
        default=50.0,
        ge=0,
        allow_inf_nan=False,
    )
    adjustable: Literal["both", "strength", "stroke", "none"] = option(
        "which of --strength and --stroke-size the network takes as an input", default="both"
    )
    width: int = option("channels at full size; four times as many inside", "N", default=32, ge=4, le=256)
    blocks: int = option("residual blocks", "N", default=5, ge=1, le=32)
    depthwise: bool = option("depthwise convolutions: a small network for phones", default=False)
    from_network: Start = None
    freeze: Annotated[tuple[str, ...], BeforeValidator(several)] = option(
        "layer of --from that stays as it is, repeatable: down, blocks, blocks.0, up, last, *.conv",
        "LAYER",
        default=(),
    )
    learning_rate: Rate = 1e-3
    average: Average = 0.999
    held_back: int = option("photos to judge by that are not learnt from", "N", default=8, ge=1, le=64)
    compare_steps: int = option(
        "steps of the optimise engine on those, for the balance and to compare with",
        "N",
        default=60,
        ge=5,
        le=1000,
    )

    @model_validator(mode="after")
    def _check(self) -> StyleNetTrain:
        _check_parts(self.accumulate, self.batch)
        if self.freeze and not self.from_network:
            raise ValueError("--freeze keeps layers of another network: give it with --from NET")
        if self.from_network:
            _check_undecided(self, {"width", "blocks", "depthwise", "adjustable"})
        return self


def _check_parts(accumulate: int, batch: int) -> None:
    """Raise ValueError when a batch is to be divided into more parts than it has pictures."""
    if accumulate > batch:
        raise ValueError(f"--accumulate {accumulate} parts of a batch of {batch}: at most that many")


def _check_undecided(job: Frozen, names: set[str]) -> None:
    """Raise ValueError when one of these, which another network decides, is typed and not as usual."""
    fields = type(job).model_fields
    typed = names & job.model_fields_set
    changed = sorted(name for name in typed if getattr(job, name) != fields[name].default)
    if changed:
        raise ValueError(f"{flag(changed[0])} is decided by the network of --from: leave it out")


class PairedTrain(Machine):
    """Train a network that makes of inputs what their targets show, from pairs of pictures."""

    inputs: str = option("folder of inputs", "INPUTS", min_length=1)
    targets: str = option("folder of their targets, of the same names and sizes", "TARGETS", min_length=1)
    steps: Steps = 20_000
    batch: int = option("pairs a step", "N", default=4, ge=1, le=1024)
    crop: int = option(
        "side of the squares cut from both; a multiple of 16",
        "PX",
        default=256,
        ge=64,
        le=2048,
        multiple_of=16,
    )
    l1_weight: float = option(
        "weight of the pixels' absolute difference", "W", default=1.0, ge=0, allow_inf_nan=False
    )
    perceptual_weight: float = option(
        "weight of the difference of VGG19's features", "W", default=0.5, ge=0, allow_inf_nan=False
    )
    adversarial_weight: float = option(
        "weight of a discriminator of patches, for crisper strokes; 0 for none",
        "W",
        default=0.0,
        ge=0,
        le=100,
    )
    width: int = option("channels at full size, doubled with each halving", "N", default=32, ge=4, le=256)
    depth: int = option("how often the picture is halved", "N", default=4, ge=1, le=6)
    from_network: Start = None
    learning_rate: Rate = 5e-4
    average: Average = 0.999
    held_back: int = option("pairs to judge by that are not learnt from", "N", default=8, ge=1, le=64)

    @model_validator(mode="after")
    def _check(self) -> PairedTrain:
        _check_parts(self.accumulate, self.batch)
        if self.from_network:
            _check_undecided(self, {"width", "depth"})
        return self


class MakePairs(Frozen):
    """Paint photos as pairs to train from."""

    output: str | None = option(
        "folder for inputs/ and targets/; pairs that are there are kept", "DIR", default=None
    )
    count: int | None = option("paint only so many of the photos, drawn by the seed", "N", default=None, ge=1)


class NetworkFiles(Frozen):
    """Where a network's training writes and how often."""

    output: str | None = option(
        "the network; pictures, curves and what --resume goes on from are beside it, in a folder named .run",
        "NET.safetensors",
        default=None,
    )
    resume: bool = option("go on with the training of that network", default=False)
    overwrite: bool = option("replace a network and its training", default=False)
    checkpoint_every: float = option(
        "seconds between checkpoints; there is also one at the end",
        "SECONDS",
        default=120,
        gt=0,
        allow_inf_nan=False,
    )
    look_every: int | None = option(
        "steps between sheets of samples [a twentieth of all]", "N", default=None, ge=1
    )
    tensorboard: bool = option("also write losses and samples for TensorBoard", default=False)


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
    threads: Threads = None


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
