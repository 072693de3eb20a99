"""Every option of ``stylize`` is seen to change its target: the picture, its size, a file, a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from PIL import Image, ImageOps
from pydantic.fields import FieldInfo

from brushwork.encode import read_job
from brushwork.errors import InputError
from brushwork.jobs import Stylize
from brushwork.outputs.checkpoint import load
from brushwork.wanted import Wanted
from commands import Desk, Outcome, Value

OPTIONS: dict[str, FieldInfo] = Stylize.model_fields | Wanted.model_fields
STRIDES: Mapping[str, Value] = {"optimizer": "sgd", "learning_rate": 100, "steps": 2}  # too long
ADAM: Mapping[str, Value] = {"optimizer": "adam", "learning_rate": 0.02, "epsilon": 1e-3}
Look = Callable[[Desk, Outcome], object]


def picture(desk: Desk, outcome: Outcome) -> object:
    return desk.picture(outcome.json["output"]).tobytes()


def size(desk: Desk, outcome: Outcome) -> object:
    return desk.picture(outcome.json["output"]).shape


def files(desk: Desk, outcome: Outcome) -> object:
    assert outcome.status == 0, outcome.err
    return desk.outputs()


def status(desk: Desk, outcome: Outcome) -> object:
    return outcome.status


def weight(desk: Desk, outcome: Outcome) -> object:
    return Path(outcome.json["output"]).stat().st_size


def threads(desk: Desk, outcome: Outcome) -> object:
    return outcome.status, torch.get_num_threads()


def job(desk: Desk, outcome: Outcome) -> object:
    try:
        return read_job(Path(outcome.json["output"]))
    except InputError as error:
        return str(error)


def state(desk: Desk, outcome: Outcome) -> object:
    """After which evaluation the last checkpoint was made."""
    assert outcome.status == 0, outcome.err
    return load(desk.folder / "kept" / "checkpoint.safetensors")["engine"]["evaluation"]


def of_json(*keys: str) -> Look:
    return lambda desk, outcome: [outcome.json[key] for key in keys]


@dataclass(frozen=True)
class Change:
    """Values of one option; ``seen`` differs between any two of them. None: the option is not typed."""

    values: list[Value]
    given: Mapping[str, Value] = field(default_factory=dict[str, Value])
    seen: Look = picture


# The quick options that say how pixels are optimised, left out.
BARE: dict[str, Value] = dict.fromkeys(
    ("coarsest", "init", "steps", "scales", "content_layers", "style_layers", "weights"), None
)
PASS: dict[str, Value] = {**BARE, "engine": "feedforward"}
FILM: dict[str, Value] = {"record": "film"}
TABLE: dict[str, Change] = {
    # the job
    "content": Change(["photo.png", "painting.png"]),
    "styles": Change([["painting.png"], ["photo.png"], ["painting.png:1", "photo.png:3"]]),
    "engine": Change(["optimize", "feedforward"], BARE, seen=of_json("engine", "evaluations")),
    "backend": Change(["torch", "onnxruntime"], PASS, seen=of_json("plan")),
    "recipe": Change([None, "tf-blog", "keras-example"]),
    "device": Change(["cpu", "cuda:99"], seen=status),
    "precision": Change(["float32", "bfloat16"], seen=of_json("precision", "losses")),
    "seed": Change([None, 1], {"init": "noise"}),
    "memory": Change([None, "500MB"], seen=status),
    "tile": Change([None, 64], {"size": 96}, seen=of_json("plan")),
    "threads": Change([1, 2], seen=threads),
    "weights": Change(["network.safetensors", "other.safetensors"]),
    "max_pixels": Change([None, 100], seen=status),
    # sizes
    "size": Change([48, 32, "original"], seen=size),
    "rows": Change([None, 32], seen=size),
    "scales": Change([["1"], ["0.5", "1"], ["0.5:2", "1"]], {"steps": 4}),
    "coarsest": Change([16, 32], {"steps": 4, "scales": ["0.5", "1"]}),
    "stroke_size": Change([None, 50]),
    "style_scales": Change([None, ["0.6"], ["0.6", "1"]]),
    "style_enlarge": Change([True, False], {"stroke_size": 150}),
    "style_detail": Change([False, True], {"steps": 4, "scales": ["0.5", "1"]}),
    "style_rotations": Change([None, ["90"], ["0", "90"], ["30"]]),
    "size_rounding": Change(["round", "floor"], {"size": 50}, seen=size),
    "style_shape": Change(["own", "photo"]),
    "style_margin": Change(["keep", "crop"], {"styles": ["framed.png"]}),
    "resize": Change(["nearest", "bilinear", "bicubic", "lanczos", "lanczos8", "area"]),
    # colours
    "color": Change(["style", "palette", "content", "luminance", "match", "histogram", "lock"]),
    "color_amount": Change([None, 0.5, 0], {"color": "content"}),
    # what is compared
    "strength": Change([None, 0.1, 0.9]),
    "content_weight": Change([None, 20]),
    "style_weight": Change([None, 20]),
    "tv_weight": Change([None, 500]),
    "content_layers": Change(
        [["block2_conv2"], ["block1_conv2"], ["block1_conv2:9"], ["block1_conv2", "block2_conv2"]],
        {"init": "noise"},
    ),
    "style_layers": Change(
        [
            ["block2_conv1"],
            ["block2_pool"],
            ["block1_conv1", "block2_conv1"],
            ["block1_conv1:9", "block2_conv1"],
        ]
    ),
    "content_loss": Change(
        ["mean", "sum", "half-sum", "relative"], {"init": "noise"}, seen=of_json("losses")
    ),
    "style_loss": Change(
        ["gram", "gatys", "keras", "relative", "covariance", "w2", "sliced", "nearest"],
        {"style_unit": "none"},
        seen=of_json("losses"),
    ),
    "style_unit": Change(["none", "photo"]),
    "tv_loss": Change(["l1", "keras", "mean"]),
    "units": Change([1, 255], {"optimizer": "adam"}),
    "padding": Change(["zeros", "repeat"]),
    "pooling": Change(["max", "avg"]),
    # how the pixels move
    "optimizer": Change(["lbfgs", "adam", "sgd"]),
    "learning_rate": Change([None, 0.04], {"optimizer": "adam"}),
    "decay_rate": Change([None, 0.5], ADAM | {"decay_steps": 1}),
    "decay_steps": Change([1, 100], ADAM | {"decay_rate": 0.5}),
    "beta1": Change([None, 0.5], ADAM),
    "beta2": Change([None, 0.5], ADAM),
    "epsilon": Change([None, 1e-4], {"optimizer": "adam"}),
    "adam": Change(["torch", "tensorflow"], ADAM),
    "history": Change([1, 20], {"steps": 8}),
    "first_step": Change([None, 0.1]),
    "steps": Change([2, 3], seen=of_json("evaluations")),
    "epochs": Change([1, 2], {"steps_per_epoch": 2}, seen=of_json("evaluations")),
    "steps_per_epoch": Change([1, 2], {"epochs": 2}, seen=of_json("evaluations")),
    "init": Change(["content", "recolored", "noise", "style", "feedforward", "other.png"]),
    "init_noise": Change([0, 0.05, 0.1]),
    "clip": Change([False, True], STRIDES | {"keep": "last"}),
    "keep": Change(["last", "best", "after-best"], STRIDES),
    "rounding": Change(["round", "truncate"]),
    "tileable": Change([None, True], {"size": 64}),
    # snapshots
    "snapshot_every": Change([1, 2], FILM, seen=files),
    "snapshot_offset": Change([None, 1], FILM | {"snapshot_every": 2}, seen=files),
    "snapshot_start": Change([False, True], FILM, seen=files),
    # files
    "output": Change(["a.png", "b.png"], seen=files),
    "overwrite": Change([None, True], {"output": "there.png"}, seen=status),
    "metadata": Change([True, False], seen=job),
    "quality": Change([None, 50, 1], {"output": "a.jpg"}, seen=weight),
    "trace": Change([None, "a.jsonl"], seen=files),
    "record": Change([None, "a.mp4", "folder"], seen=files),
    "grid": Change([None, "a.png"], seen=files),
    "plot": Change([None, "a.png"], seen=files),
    "comparison": Change([None, "a.png"], seen=files),
    "preview": Change([None, "a.png"], seen=files),
    "run_dir": Change([None, "a", "b"], seen=files),
    "checkpoint_every": Change([1000, 0.0001], {"run_dir": "kept", "steps": 40}, seen=state),
    "high_pass": Change([None, "a.png"], seen=files),
}


def test_every_option_is_in_the_table() -> None:
    assert set(TABLE) == set(OPTIONS), "a new option needs a line that shows what it changes"


@pytest.mark.parametrize("option", OPTIONS)
def test_option_changes_its_target(option: str, desk: Desk, network_file: Path) -> None:
    change, seen = TABLE[option], list[object]()
    for value in change.values:
        desk.clear()
        lay_out(desk, network_file)
        seen.append(change.seen(desk, desk.stylize(**{**change.given, option: value})))
    pairs = list(combinations(zip(change.values, seen, strict=True), 2))
    assert pairs
    assert not [(a, b) for (a, seen_a), (b, seen_b) in pairs if seen_a == seen_b]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_choice_is_tried(option: str) -> None:
    annotation: Any = OPTIONS[option].annotation
    if get_origin(annotation) is Literal and option not in (
        "precision",
        "backend",
    ):  # "auto" is one of the others
        assert set(TABLE[option].values) == set(get_args(annotation))


def lay_out(desk: Desk, network_file: Path) -> None:
    """Other inputs that some options name, and a file in the way."""
    from safetensors.torch import load_file, save_file

    other = {name: tensor * 0.5 for name, tensor in load_file(network_file).items()}
    save_file(other, desk.folder / "other.safetensors")
    with Image.open(desk.folder / "painting.png") as painting:
        ImageOps.expand(painting, 3, "black").save(desk.folder / "framed.png")
    for name in ("other.png", "there.png"):
        Image.new("RGB", (20, 16), "#708090").save(desk.folder / name)
