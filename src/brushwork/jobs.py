"""What a user asks for: frozen, checked when it is built, to JSON and back unchanged.

Every option is written once, here: its name, default, bounds and help.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, model_validator

from brushwork.errors import InputError
from brushwork.fields import (
    Degrees,
    Frozen,
    LayerWeights,
    Scales,
    StyleScale,
    Weight,
    build,
    bytes_of,
    number,
    option,
    several,
)
from brushwork.idle import PHOTO_STARTS, check_typed
from brushwork.recipes import merge, read_recipe
from brushwork.styles import Styles, check_networks, is_network

STARTS = (*PHOTO_STARTS, "noise", "style", "feedforward")
"""The starts that ``init`` can name; anything else is a picture file."""


class Settings(Frozen):
    """Everything that decides how the picture looks; a recipe sets some of it, explicit options the rest."""

    size: Annotated[int, Field(ge=16, le=65536)] | Literal["original"] = option(
        "long side of the result in pixels, or 'original'", "PX|original", default=512
    )
    rows: int | None = option(
        "height of the result, instead of --size; a recipe's gives way to --size",
        "PX",
        default=None,
        ge=16,
        le=65536,
    )
    strength: float = option("from the photo (0) to the painting (1)", "0..1", default=0.5, ge=0, le=1)
    stroke_size: float = option(
        "size of the style's detail relative to the picture, the same at every --size",
        "PERCENT",
        default=100,
        ge=10,
        le=1000,
    )
    style_scales: Annotated[tuple[StyleScale, ...], BeforeValidator(several)] = option(
        "size of each painting relative to --stroke-size, repeatable: its strokes at several sizes",
        "F",
        default=(1.0,),
        min_length=1,
    )
    style_enlarge: bool = option(
        "enlarge paintings of fewer pixels than their strokes would take; else these are smaller and crisp",
        default=True,
    )
    style_detail: bool = option(
        "begin finer scales with the painting's detail, as far as it lowers the loss: 3 evaluations more",
        default=False,
    )
    style_rotations: Annotated[tuple[Degrees, ...], BeforeValidator(several)] = option(
        "turn of each painting, counterclockwise, repeatable: its strokes in several directions",
        "DEGREES",
        default=(0.0,),
        min_length=1,
    )
    color: Literal["style", "palette", "content", "luminance", "match", "histogram", "lock"] = option(
        "colours: as painted; no more of them than the painting has; the photo's put back; the photo's round "
        "lightness painted alone; the painting's matched to the photo's by mean and covariance or histogram; "
        "the photo's moved to the painting's palette",
        default="style",
    )
    color_amount: float = option("how far --color goes", "0..1", default=1.0, ge=0, le=1)
    content_weight: Weight = option("weight of the content loss", "W", default=1.0)
    style_weight: Weight = option("weight of the style loss", "W", default=1.0)
    tv_weight: Weight = option("weight of the total variation loss", "W", default=0.0)
    content_layers: LayerWeights = option(
        "layer whose features keep the content, repeatable", "NAME[:W]", default={"block4_conv2": 1.0}
    )
    style_layers: LayerWeights = option(
        "layer whose statistics are the style, repeatable",
        "NAME[:W]",
        default={f"block{block}_conv1": 0.2 for block in range(1, 6)},
    )
    content_loss: Literal["mean", "sum", "half-sum", "relative"] = option(
        "squared feature differences: their mean, sum, half their sum, or over the photo's own mean square",
        default="mean",
    )
    style_loss: Literal["gram", "gatys", "keras", "relative", "covariance", "w2", "sliced", "nearest"] = (
        option(
            "Gram matrices compared (mean square per position, Gatys's E_l, the Keras example's, over the "
            "painting's own), covariances and means, Gaussians by Wasserstein distance, whole "
            "distributions by sliced Wasserstein distance, or each position with the painting's most similar",
            default="gram",
        )
    )
    style_unit: Literal["none", "photo"] = option(
        "divide each layer's style loss by what the photo itself has, so that every painting pulls alike",
        default="none",
    )
    tv_loss: Literal["l1", "keras", "mean"] = option(
        "total variation: sum of absolute differences, the Keras example's power 1.25, or mean square",
        default="mean",
    )
    units: Annotated[Literal[1, 255], BeforeValidator(number)] = option(
        "range in which learning rate, epsilon and total variation are given", default=1
    )
    optimizer: Literal["lbfgs", "adam", "sgd"] = option("what moves the pixels", default="lbfgs")
    learning_rate: float = option("step of adam and sgd", "LR", default=0.02, gt=0, allow_inf_nan=False)
    decay_rate: float = option(
        "the rate is multiplied by this every --decay-steps", "F", default=1.0, gt=0, le=1
    )
    decay_steps: int = option("steps between decays (continuous)", "N", default=100, ge=1)
    beta1: float = option("adam's first decay", "B", default=0.9, ge=0, lt=1)
    beta2: float = option("adam's second decay", "B", default=0.999, ge=0, lt=1)
    epsilon: float = option("adam's epsilon", "E", default=1e-8, gt=0, allow_inf_nan=False)
    adam: Literal["torch", "tensorflow"] = option(
        "where adam's epsilon stands: inside the bias correction (torch) or outside (tensorflow)",
        default="torch",
    )
    history: int = option("pairs that lbfgs remembers", "N", default=20, ge=1, le=200)
    first_step: float = option(
        "largest change of a pixel in lbfgs's first step", "0..1", default=0.02, gt=0, le=1
    )
    steps: int = option("loss evaluations in all", "N", default=100, ge=1, le=1_000_000)
    epochs: int | None = option("with --steps-per-epoch: length instead of --steps", "N", default=None, ge=1)
    steps_per_epoch: int | None = option("evaluations an epoch", "N", default=None, ge=1)
    scales: Scales = option(
        "coarse-to-fine: fraction of the largest, which is the size, and its share of the steps, repeatable",
        "F[:SHARE]",
        default={1.0: 1.0},
    )
    coarsest: int = option(
        "scales whose long side is shorter are left out", "PX", default=16, ge=16, le=65536
    )
    init: str = option(
        "start from the content, the content in the painting's colours (as far as twice the strength), "
        "noise, the style, what --engine feedforward paints, or a picture file",
        "content|recolored|noise|style|feedforward|FILE",
        default="content",
        min_length=1,
    )
    init_noise: float = option(
        "deviation of noise added to a start from the content (less below strength 0.5), so that plain "
        "grounds get no weave",
        "0..1",
        default=0.0,
        ge=0,
        le=1,
    )
    seed: int = option(
        "seed of the start's noise and of sliced's and nearest's draws", "N", default=0, ge=0, le=2**63 - 1
    )
    pooling: Literal["max", "avg"] = option("the network's pooling", default="max")
    padding: Literal["zeros", "repeat"] = option(
        "what the network sees beyond its layers' edges: zeros, as published, which frame the picture, or "
        "the edge itself",
        default="zeros",
    )
    clip: bool = option("keep pixels in range after each step", default=False)
    keep: Literal["last", "best", "after-best"] = option(
        "which picture is the result: the last, the one of lowest loss, or the one after the step "
        "taken from the lowest loss",
        default="last",
    )
    resize: Literal["nearest", "bilinear", "bicubic", "lanczos", "lanczos8", "area"] = option(
        "filter that resizes photo and painting; lanczos8 rounds to 8 bits on the way", default="lanczos"
    )
    size_rounding: Literal["round", "floor"] = option("how the short side is rounded", default="round")
    style_shape: Literal["own", "photo"] = option(
        "the painting keeps its own aspect or is squeezed to the photo's size", default="own"
    )
    style_margin: Literal["keep", "crop"] = option(
        "what a scan shows around a painting, a tenth of a side at most: part of the style, or cut off",
        default="keep",
    )
    tileable: bool = option(
        "the result wraps around without a seam; its sides become multiples of 16", default=False
    )
    rounding: Literal["round", "truncate"] = option("how results become whole numbers", default="round")
    snapshot_every: int | None = option(
        "steps between snapshots of --grid and --record", "N", default=None, ge=1
    )
    snapshot_offset: int = option("a snapshot when the step leaves this remainder", "N", default=0, ge=0)
    snapshot_start: bool = option("the starting picture is the first snapshot", default=False)

    @model_validator(mode="after")
    def _check_epochs(self) -> Self:
        if (self.epochs is None) != (self.steps_per_epoch is None):
            raise ValueError("epochs and steps_per_epoch go together: give both, or neither and steps")
        return self

    @property
    def evaluations(self) -> int:
        """Loss evaluations in all: ``steps``, or epochs × steps per epoch."""
        if self.epochs and self.steps_per_epoch:
            return self.epochs * self.steps_per_epoch
        return self.steps


class Stylize(Settings):
    """Paint one photo in the manner of one or several paintings.

    Unset settings come from ``recipe`` (a built-in name or a TOML file), then from the defaults. A job
    that states every setting, as ``to_json`` writes it, needs no recipe file any more.
    """

    content: str = option("the photo", "PHOTO", min_length=1)
    styles: Styles = option(
        "painting, repeatable, with its weight among several; with --engine feedforward also builtin:N (see "
        "`brushwork styles`) or a file of a trained network",
        "ART[:WEIGHT]",
        min_length=1,
    )
    engine: Literal["optimize", "feedforward"] = option(
        "the best picture, its pixels optimised; or one pass of a network, in a fraction of a second, for "
        "which only sizes, strength [1 there], stroke size and colours count",
        default="optimize",
    )
    recipe: str = option("named recipe, or a TOML file of one's own", "NAME|FILE.toml", default="default")
    device: str = option(
        "where to compute; several GPUs, as in cuda:0,cuda:1, share a large picture's tiles; cpu,cpu looks "
        "at two of them at once",
        "auto|cpu|cuda[:N][,...]|mps",
        default="auto",
        pattern=r"^(auto|mps|cpu(,cpu)*|cuda(:\d+)?(,cuda(:\d+)?)*)$",
    )
    precision: Literal["auto", "float32", "bfloat16"] = option("arithmetic of the network", default="auto")
    backend: Literal["auto", "torch", "onnxruntime"] = option(
        "what runs a network that paints in one pass; auto takes what `brushwork doctor --measure` found "
        "faster on the processor, else onnxruntime up to a megapixel; torch for tiles and on a GPU",
        default="auto",
    )
    threads: int | None = option("processor threads", "N", default=None, ge=1, le=1024)
    memory: Annotated[Annotated[int, Field(ge=500_000_000)] | None, BeforeValidator(bytes_of)] = option(
        "the most memory to use; with little the picture takes longer, each evaluation the same to rounding",
        "4GB|1500MB",
        default=None,
    )
    tile: int | None = option(
        "side of the tiles that a picture is worked on in, instead of what fits",
        "PX",
        default=None,
        ge=64,
        le=8192,
    )
    weights: str | None = option(
        "VGG19 weights of one's own: Keras .h5, torchvision .pth, safetensors; with --engine feedforward "
        "Magenta's network of full width, .npz",
        "FILE",
        default=None,
    )
    max_pixels: int = option("refuse larger pictures that must be read whole", "N", default=250_000_000, ge=1)

    @model_validator(mode="wrap")
    @classmethod
    def _merge_recipe(cls, data: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return check(data)
        explicit = cast("dict[str, Any]", data)
        if set(Settings.model_fields) <= explicit.keys():
            return check(explicit)  # a whole job says everything itself
        explicit = of_engine(explicit.get("engine")) | explicit
        recipe = explicit.get("recipe", "default")
        job = check(merge(_settings(recipe, explicit), explicit) if isinstance(recipe, str) else explicit)
        check_typed(explicit, Settings.model_fields, optimizer=job.optimizer, init=job.init)
        return job

    @model_validator(mode="after")
    def _check_device(self) -> Self:
        if self.engine == "feedforward" and "," in self.device:
            raise ValueError(
                f"--device {self.device}: several share the tiles of --engine optimize; name one for a pass"
            )
        return self

    @model_validator(mode="after")
    def _check_styles(self) -> Self:
        networks = [style.path for style in self.styles if is_network(style.path)]
        if not networks:
            return self
        name = Path(networks[0]).name  # in a studio the folder is nobody's business
        if self.engine == "optimize":
            raise ValueError(
                f"--style {name} is a network, which paints in one pass: add --engine feedforward"
            )
        check_networks(self.styles, self.weights)
        if self.color in ("match", "histogram", "lock") and self.color_amount:
            raise ValueError(
                f"--color {self.color} needs a painting's colours, which {name} has not: use content"
            )
        return self

    def to_json(self) -> str:
        """The whole job as JSON; ``from_json`` gives an equal job back."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Stylize:
        """Read a job that ``to_json`` wrote. Raises InputError when it is not one."""
        try:
            return build(cls, json.loads(text))
        except json.JSONDecodeError as error:
            raise InputError(f"not a job: {error}") from error


def of_engine(engine: object) -> dict[str, Any]:
    """The settings that an engine has whatever recipe: a network paints at its full strength.

    The dial's middle is where optimising balances photo and painting; a network has no such place.
    """
    return {"strength": 1.0} if engine == "feedforward" else {}


def _settings(recipe: str, explicit: dict[str, Any]) -> dict[str, Any]:
    """A recipe's settings; in a file of the user's own a bad one is told with the file's name.

    When the user asks for another optimiser, what the recipe says goes with that one counts.
    """
    found = read_recipe(recipe)
    settings = merge(found.settings, found.instead.get(str(explicit.get("optimizer")), {}))
    if recipe.endswith(".toml"):
        try:
            build(Settings, settings)
        except InputError as error:
            raise InputError(f"{recipe}: {error}") from error
    return settings


class Variations(Frozen):
    """A sheet of variations of one job: two options, one across and one down."""

    across: str | None = option(
        "an option and its columns' values, as in strength=0.3,0.5,0.7; repeatable options join theirs "
        "with +; any look option, or recipe",
        "NAME=V,V,...",
        default=None,
    )
    down: str | None = option("an option and its rows' values", "NAME=V,V,...", default=None)
    cell: int = option(
        "long side of each preview; --size is the commands'", "PX", default=192, ge=32, le=2048
    )
    output: str | None = option("the sheet [PHOTO-ART-sheet.png]", "SHEET", default=None)
    overwrite: bool = option("replace a file that exists", default=False)
    metadata: bool = option("write the commands into the sheet", default=True)


class Evaluate(Frozen):
    """Score pictures by their photo and painting, which their names tell when there are several."""

    content: str = option("the photo, or a folder of photos", "PHOTO|DIR", min_length=1)
    style: str = option("the painting, or a folder of paintings", "ART|DIR", min_length=1)
    results: tuple[str, ...] = option("pictures to score, or folders of them", "OUT|DIR", min_length=1)
    metric_weights: tuple[str, ...] = option(
        "torchvision's VGG16 and LPIPS's linear layers, in one file or repeated, instead of the downloaded",
        "FILE",
        default=(),
    )
    artfid_weights: str | None = option(
        "also score whole folders by ArtFID, with the art-fid package's Inception-v3 (art_inception.pth); "
        "its LPIPS is VGG16's here and AlexNet's in published values, so the two do not compare",
        "FILE",
        default=None,
    )
    metric_seed: int = option("seed of the random directions", "N", default=0, ge=0, le=2**31)


class Export(Frozen):
    """A style of the one-pass engine as an ONNX file, for other programs."""

    styles: Styles = option(
        "painting, builtin:N or a file of `train stylenet`, repeatable, with its weight among several",
        "ART[:WEIGHT]",
        min_length=1,
    )
    numbers: Literal["float32", "float16", "int8"] = option(
        "how weights are kept: whole, in half the bytes, or a quarter", default="float32"
    )
    weights: str | None = option(
        "Magenta's network of full width, .npz, instead of the embedded one", "FILE", default=None
    )
    output: str | None = option("the file [ART.onnx]", "MODEL.onnx", default=None)
    overwrite: bool = option("replace a file that exists", default=False)

    @model_validator(mode="after")
    def _check_styles(self) -> Self:
        check_networks(self.styles, self.weights)
        return self
