"""The job inside a picture: it is there in every format, and it repeats the picture bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

import brushwork
from brushwork.encode import encode_picture, read_job
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.images import read_picture
from brushwork.jobs import Stylize
from brushwork.outputs import provenance
from commands import Desk, Value

Options = dict[str, Value]


def pixels(path: Path) -> NDArray[Any]:
    """The file's own samples, at full depth."""
    if path.suffix == ".png":
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    with Image.open(path) as image:
        return np.asarray(image)


def deep(desk: Desk) -> None:
    """Make the photo one of 16 bits."""
    levels = np.asarray(Image.open("photo.png")).astype(np.uint16) * 257 + 13
    (desk.folder / "photo.png").write_bytes(bytes(imagecodecs.png_encode(levels)))


# ---------------------------------------------------------------------------------------------- it is there


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_every_format_carries_the_job_and_repeats_it(desk: Desk, suffix: str, depth: int) -> None:
    if depth == 16:
        deep(desk)
    name = f"result.{suffix}"
    desk.stylize(output=name, recipe="tf-blog", init="noise", seed=3)
    found = json.loads(read_job(desk.folder / name))
    job = Stylize.from_json(json.dumps(found["job"]))
    assert (job.recipe, job.seed, job.size, job.content) == ("tf-blog", 3, 48, "photo.png")
    assert set(found) == {"job", "inputs", "brushwork", "torch", "weights", "device", "precision", "threads"}
    assert found["brushwork"] == brushwork.__version__
    assert found["inputs"]["photo.png"] == provenance.fingerprint("photo.png")
    assert list(found["inputs"]) == ["photo.png", "painting.png", "network.safetensors"]
    again = f"again.{suffix}"
    assert desk.again(name, output=again).status == 0
    first, second = pixels(desk.folder / name), pixels(desk.folder / again)
    assert first.dtype == (np.uint16 if depth == 16 and suffix in ("png", "tif") else np.uint8)
    assert np.array_equal(first, second)


def test_every_sheet_and_snapshot_carries_the_job_too(desk: Desk) -> None:
    desk.stylize(
        grid="grid.png", comparison="sheet.png", high_pass="edges.tif", record="film", snapshot_every=1
    )
    expected = json.loads(read_job(desk.folder / "result.png"))
    snapshot = next(name for name in desk.outputs() if "_at_iteration_" in name)
    for name in ("grid.png", "sheet.png", "edges.tif", snapshot):
        assert json.loads(read_job(desk.folder / name)) == expected


def test_a_picture_of_a_repeated_job_carries_it_again(desk: Desk) -> None:
    desk.stylize()
    desk.again("result.png", output="second.png")
    desk.again("second.png", output="third.png")
    assert np.array_equal(desk.picture("third.png"), desk.picture("result.png"))
    assert (desk.folder / "third.png").read_bytes() == (desk.folder / "second.png").read_bytes()


def test_names_that_are_not_ascii(desk: Desk) -> None:
    Path("photo.png").rename("фото 画.png")
    for suffix in ("png", "jpg", "webp", "tif"):
        desk.stylize(content="фото 画.png", output=f"r.{suffix}")
        assert desk.again(f"r.{suffix}", output=f"again.{suffix}").status == 0
        assert np.array_equal(desk.picture(f"r.{suffix}"), desk.picture(f"again.{suffix}"))


def test_nothing_personal_that_the_user_did_not_type(desk: Desk) -> None:
    desk.stylize()
    text = read_job(desk.folder / "result.png")
    assert str(desk.folder) not in text
    assert str(Path.home()) not in text
    assert desk.folder.parts[1] not in text


# ------------------------------------------------------------------------------------------ bit for bit


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "keras-example", "init": "noise", "seed": 5},
        {"recipe": "tf-tutorial", "tv_weight": 3, "clip": False},
        {"recipe": "course", "steps": None, "epochs": 2, "steps_per_epoch": 2},
        {"scales": ["0.5:2", "1:1"], "steps": 6, "optimizer": "adam", "keep": "after-best"},
        {"styles": ["painting.png:2", "photo.png:0.5"], "strength": 0.8, "pooling": "avg"},
        {"size": "original", "init": "painting.png", "stroke_size": 60, "resize": "area"},
        {"precision": "bfloat16", "rounding": "truncate"},
        {"style_layers": ["block1_pool:3", "block2_conv2"], "style_loss": "gatys", "threads": 2},
    ],
    ids=["noise", "recipe", "epochs", "scales", "styles", "file", "bfloat16", "layers"],
)
def test_repeats_bit_for_bit(desk: Desk, options: Options) -> None:
    desk.stylize(**options)
    assert desk.again("result.png").status == 0
    assert np.array_equal(desk.picture("result.png"), desk.picture("again.png"))


@pytest.mark.parametrize("recipe", ["default", "keras-example", "tf-blog"])
def test_repeats_with_the_whole_network(desk: Desk, recipe: str) -> None:
    rate = [] if recipe == "default" else ["--learning-rate", "1"]
    line = ["--recipe", recipe, "--size", "96", "--steps", "3", *rate, "--quiet", "-o", "result.png"]
    assert desk.call("stylize", "photo.png", "--style", "painting.png", *line).status == 0
    assert desk.again("result.png").status == 0
    assert np.array_equal(desk.picture("result.png"), desk.picture("again.png"))


def test_noise_on_a_start_that_was_not_the_photo_is_refused(desk: Desk) -> None:
    desk.painted(init="noise")
    assert "not from noise" in desk.again("result.png", init_noise=0.1).complaint
    assert desk.again("result.png", init="content", init_noise=0.1).status == 0


def test_another_thread_count_is_put_back(desk: Desk) -> None:
    desk.stylize(threads=2)
    desk.stylize(threads=1, output="other.png")
    desk.again("result.png")
    assert json.loads(read_job(desk.folder / "again.png"))["threads"] == 2


def test_repeats_after_a_move(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture and all that it was made from lie together in another folder."""
    Path("in").mkdir()
    shutil.move("photo.png", "in/photo.png")
    desk.stylize(content="in/photo.png", init="painting.png")
    Path("elsewhere").mkdir()
    for name in ("result.png", "in/photo.png", "painting.png", "network.safetensors"):
        shutil.move(name, "elsewhere")
    assert desk.again("elsewhere/result.png").status == 0
    monkeypatch.chdir("elsewhere")
    assert desk.again("result.png").status == 0
    assert np.array_equal(desk.picture("elsewhere/again.png"), desk.picture("elsewhere/result.png"))
    assert np.array_equal(desk.picture("again.png"), desk.picture("elsewhere/result.png"))


def test_the_recipes_file_is_needed_no_more(desk: Desk) -> None:
    Path("my.toml").write_text("rows = 30\ntv_weight = 5\nepochs = 1\nsteps_per_epoch = 4\n")
    desk.stylize(size=None, steps=None, recipe="my.toml")
    Path("my.toml").unlink()
    assert desk.again("result.png").json["height"] == 30
    assert np.array_equal(desk.picture("result.png"), desk.picture("again.png"))
    report = desk.again("result.png", size=32, steps=2).json
    assert (report["width"], report["height"], report["evaluations"]) == (32, 24, 2)
    kept = json.loads(read_job(desk.folder / "again.png"))["job"]
    assert (kept["tv_weight"], kept["rows"], kept["epochs"]) == (5, None, None)


# ----------------------------------------------------------------------------------------- what may change


def test_what_an_older_version_had_no_option_for_is_as_it_was_then(desk: Desk) -> None:
    desk.stylize(output="result.png")
    stored = json.loads(read_job(Path("result.png")))
    del stored["job"]["padding"]
    Path("old.png").write_bytes(encode_picture(read_picture("result.png"), "PNG", job=json.dumps(stored)))
    assert (
        build(Stylize, provenance.repeat(Path("old.png"), {})).padding == "zeros"
    )  # now default's is "repeat"


def test_some_options_may_be_changed(desk: Desk) -> None:
    desk.stylize(tv_weight=9, seed=4, init="noise")
    report = desk.again("result.png", steps=5).json
    assert (report["evaluations"], report["seed"]) == (5, 4)
    given: Options = {"tv_weight": 9, "seed": 4, "init": "noise", "output": "expected.png"}
    assert np.array_equal(desk.picture("again.png"), desk.painted(steps=5, **given))
    desk.again("result.png", styles=["photo.png"])
    assert np.array_equal(desk.picture("again.png"), desk.painted(styles=["photo.png"], **given))
    desk.again("result.png", precision="bfloat16", threads=1)
    assert json.loads(read_job(desk.folder / "again.png"))["precision"] == "bfloat16"


def test_another_photo_in_the_same_manner(desk: Desk) -> None:
    desk.stylize(strength=0.7)
    expected = desk.painted(content="painting.png", strength=0.7, output="expected.png")
    Path("photo.png").unlink()
    line = ["stylize", "painting.png", "--from", "result.png", "-o", "again.png", "--quiet"]
    assert desk.call(*line).status == 0
    assert np.array_equal(desk.picture("again.png"), expected)


def test_another_recipe_replaces_the_look(desk: Desk) -> None:
    desk.stylize(recipe="course", seed=9)
    changes: Options = {"recipe": "tf-blog", "size": 48, "steps": 2, "content_layers": ["block1_conv1"]}
    desk.again("result.png", style_layers=["block1_conv1"], **changes)
    job = Stylize.from_json(json.dumps(json.loads(read_job(desk.folder / "again.png"))["job"]))
    assert (job.recipe, job.beta1, job.keep, job.seed) == ("tf-blog", 0.99, "after-best", 0)


@pytest.mark.parametrize("asked", [{"size": 40}, {"size": None, "rows": 24}])
@pytest.mark.parametrize("recipe", ["draft", "keras-example"])
def test_another_recipe_keeps_the_size(desk: Desk, asked: Options, recipe: str) -> None:
    before = desk.painted(**asked)
    shallow: Options = {"content_layers": ["block1_conv1"], "style_layers": ["block1_conv1"], "steps": 1}
    assert desk.again("result.png", recipe=recipe, **shallow).status == 0
    assert desk.picture("again.png").shape == before.shape
    assert desk.again("result.png", recipe=recipe, size=32, **shallow).status == 0
    assert desk.picture("again.png").shape == (24, 32, 3)


def test_a_repeated_pass_refuses_what_a_pass_refuses(desk: Desk) -> None:
    line = ["stylize", "photo.png", "--style", "builtin:7", "--engine", "feedforward", "--size", "48"]
    assert desk.call(*line, "-o", "result.png", "--quiet").status == 0
    complaint = desk.again("result.png", tileable=True, json=None).complaint
    assert "--tileable says how pixels are optimised" in complaint
    assert desk.again("result.png", strength=0.5).status == 0


def test_another_engine_has_its_own_strength_and_arithmetic(desk: Desk) -> None:
    line = ["stylize", "photo.png", "--style", "painting.png", "--engine", "feedforward", "--size", "48"]
    assert desk.call(*line, "-o", "result.png", "--quiet").status == 0
    assert desk.again("result.png", engine="optimize", steps=1, coarsest=32).status == 0
    job = json.loads(read_job(Path("again.png")))["job"]
    assert (job["engine"], job["strength"], job["precision"], job["size"]) == ("optimize", 0.5, "auto", 48)
    assert desk.call("stylize", "--from", "again.png", "--engine", "feedforward", "-o", "b.png").status == 0
    assert np.array_equal(desk.picture("b.png"), desk.picture("result.png"))


# --------------------------------------------------------------------------------------- what is not there


@pytest.mark.parametrize("name", ["photo.png", "painting.png", "network.safetensors"])
def test_an_input_that_has_changed(desk: Desk, name: str) -> None:
    desk.stylize()
    with Path(name).open("ab") as file:
        file.write(b"\0")
    complaint = desk.again("result.png", json=None).complaint
    assert f"{name} has changed since result.png was made" in complaint
    assert "bring back the old file" in complaint
    assert "again.png" not in desk.outputs()


@pytest.mark.parametrize("name", ["photo.png", "painting.png", "network.safetensors"])
def test_an_input_that_is_gone(desk: Desk, name: str) -> None:
    desk.stylize()
    Path(name).unlink()
    complaint = desk.again("result.png", json=None).complaint
    assert f"result.png was made from {name}, which is not there" in complaint
    assert "put it there or beside it" in complaint


def test_the_file_beside_the_picture_is_taken_when_the_other_has_changed(desk: Desk) -> None:
    first = desk.painted()
    Path("old").mkdir()
    for name in ("photo.png", "result.png"):
        shutil.copy(name, "old")
    shutil.copy("painting.png", "photo.png")
    assert desk.again("old/result.png").status == 0
    assert np.array_equal(desk.picture("again.png"), first)


@pytest.mark.parametrize("text", ["{}", "not json", '{"job": {}, "inputs": 3}', '{"job": [], "inputs": {}}'])
def test_a_damaged_job(desk: Desk, text: str) -> None:
    Path("odd.png").write_bytes(encode_picture(read_picture("photo.png"), "PNG", job=text))
    assert "odd.png: its job is damaged" in desk.again("odd.png", json=None).complaint


def test_a_job_of_another_version_is_refused_in_one_line(desk: Desk) -> None:
    desk.stylize()
    stored = json.loads(read_job(Path("result.png")))
    stored["job"]["brush"] = "wide"
    picture = encode_picture(read_picture("result.png"), "PNG", job=json.dumps(stored))
    Path("future.png").write_bytes(picture)
    assert "'brush'" in desk.again("future.png", json=None).complaint


def test_what_is_no_file_has_no_fingerprint(desk: Desk) -> None:
    assert provenance.fingerprint("nowhere.png") is None
    assert provenance.fingerprint(".") is None
    with pytest.raises(InputError, match="no such file"):
        provenance.repeat(Path("nowhere.png"), {})


def test_a_file_named_like_a_start_is_no_input(desk: Desk) -> None:
    Path("noise").write_bytes(b"a file of this name")
    desk.stylize(init="noise")
    assert "noise" not in json.loads(read_job(desk.folder / "result.png"))["inputs"]
