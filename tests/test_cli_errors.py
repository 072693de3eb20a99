"""Every mistake that a user can mend: status 2 and one line that says what, the value and the remedy."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from brushwork import encode, runner
from brushwork.errors import OutputError
from brushwork.outputs import files
from commands import BRUSHWORK, Desk, Value, arguments, process

Options = dict[str, Value]


def told(desk: Desk, options: Options, *parts: str) -> None:
    """The quick run with these options fails in one line with these parts, and leaves nothing behind."""
    before = desk.outputs()
    complaint = desk.call(*desk.line(**({"output": "result.png"} | options))).complaint
    assert not [part for part in parts if part not in complaint], complaint
    assert desk.outputs() == before


@pytest.fixture(autouse=True)
def pictures(desk: Desk) -> None:
    """Files that are no photos, and photos that are hard to use."""
    photo = (desk.folder / "photo.png").read_bytes()
    Image.open("photo.png").save("whole.jpg")
    jpeg = Path("whole.jpg").read_bytes()
    contents = {
        "empty.jpg": b"",
        "text.jpg": b"Dear diary,\nno picture today.\n",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": photo[: len(photo) // 2],
        "page.html": b"<!DOCTYPE html><html></html>",
        "garbage.h5": bytes(range(200)),
        "torn.h5": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "bad.toml": b"steps = = 3\n",
        "unknown.toml": b"colour = 3\n",
        "range.toml": b"strength = 3\n",
        "there.png": b"old",
    }
    for name, content in contents.items():
        Path(name).write_bytes(content)
    for name, size in {"tiny.png": (9, 6), "long.png": (210, 10), "tall.png": (10, 210)}.items():
        Image.new("RGB", size, "#808080").save(name)
    Path("folder").mkdir()
    Path("noname").write_bytes(photo)


# ------------------------------------------------------------------------------------------------ pictures


@pytest.mark.parametrize("option", ["content", "styles", "init"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("nowhere.jpg", ["nowhere.jpg: no such file", "check the spelling"]),
        ("folder", ["folder: a folder", "name one picture in it"]),
        ("empty.jpg", ["empty.jpg: empty (0 bytes)", "again"]),
        ("text.jpg", ["text.jpg: not a picture but plain text", "give a JPEG, PNG"]),
        ("page.html", ["page.html: not a picture but a web page"]),
        ("cut.jpg", ["cut.jpg: damaged or cut short", "again"]),
        ("cut.png", ["cut.png: damaged or cut short", "again"]),
        ("photo.png/x.png", ["photo.png/x.png", "Not a directory"]),
    ],
)
def test_a_picture_that_cannot_be_read(desk: Desk, option: str, name: str, parts: list[str]) -> None:
    told(desk, {option: name}, *parts)


@pytest.mark.parametrize("name", ["long.png", "tall.png"])
def test_a_picture_longer_than_twenty_to_one(desk: Desk, name: str) -> None:
    told(desk, {"content": name}, "longer than 20:1", "crop it")


def test_a_picture_of_twenty_to_one(desk: Desk) -> None:
    Image.new("RGB", (100, 5), "#808080").save("just.png")
    assert desk.painted(content="just.png", size=80).shape == (4, 80, 3)


def test_a_picture_too_small_for_the_layers_names_the_smallest_size(desk: Desk) -> None:
    layers: Options = {"content_layers": ["block5_conv1"], "style_layers": ["block1_conv1"]}
    told(desk, layers | {"content": "tiny.png", "size": "original"}, "9×6", "needs 16")
    told(desk, layers | {"size": 20}, "20×15", "block5_conv1", "needs 16", "--size")
    told(desk, {"size": 16, "style_layers": ["block5_pool"]}, "16×12", "block5_pool", "needs 32")


def test_over_the_pixel_limit(desk: Desk) -> None:
    told(desk, {"max_pixels": 3000}, "photo.png", "64 x 48 is 3,072 pixels", "limit of 3,000")
    assert desk.stylize(max_pixels=3600, content="painting.png").status == 0


# ------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"size": "big"}, ["--size big", "integer", "'original'"]),
        ({"size": 3}, ["--size 3", "16"]),
        ({"size": 100_000}, ["--size 100000", "65536"]),
        ({"size": -48}, ["--size -48", "16"]),
        ({"rows": 1}, ["--rows 1", "16"]),
        ({"steps": 0}, ["--steps 0", "greater than or equal to 1"]),
        ({"steps": "2.5"}, ["--steps 2.5", "integer"]),
        ({"steps": "many"}, ["--steps many", "integer"]),
        ({"strength": 2}, ["--strength 2", "less than or equal to 1"]),
        ({"strength": "nan"}, ["--strength nan"]),
        ({"stroke_size": 5}, ["--stroke-size 5", "10"]),
        ({"content_weight": -1}, ["--content-weight -1", "0"]),
        ({"style_weight": "inf"}, ["--style-weight inf", "finite"]),
        ({"tv_weight": "x"}, ["--tv-weight x", "number"]),
        ({"learning_rate": 0}, ["--learning-rate 0", "greater than 0"]),
        ({"beta1": 1}, ["--beta1 1", "less than 1"]),
        ({"history": 0}, ["--history 0", "1"]),
        ({"seed": -1}, ["--seed -1", "0"]),
        ({"threads": 0}, ["--threads 0", "1"]),
        ({"quality": 0}, ["--quality 0", "1"]),
        ({"quality": 101}, ["--quality 101", "100"]),
        ({"snapshot_every": 0}, ["--snapshot-every 0", "1"]),
        ({"optimizer": "newton"}, ["--optimizer newton", "'lbfgs', 'adam' or 'sgd'"]),
        ({"units": 7}, ["--units 7", "1 or 255"]),
        ({"precision": "float16"}, ["--precision float16", "'bfloat16'"]),
        ({"resize": "cubic"}, ["--resize cubic", "'bicubic'"]),
        ({"device": "tpu"}, ["--device tpu", "cuda"]),
        ({"scales": ["2"]}, ["--scales 2", "less than or equal to 1"]),
        ({"scales": ["0.5:x"]}, ["--scales", "0.5", "number"]),
        ({"content_layers": ["block9_conv1"]}, ["--content-layer", "block9_conv1", "block5_conv4"]),
        ({"style_layers": ["block1_conv3"]}, ["--style-layer", "block1_conv3", "block5_pool"]),
        ({"style_layers": ["block1_conv1:heavy"]}, ["--style-layer", "heavy", "block1_conv1", "number"]),
        ({"style_layers": ["block1_conv1:-1"]}, ["--style-layer", "-1", "block1_conv1"]),
        ({"styles": ["painting.png:0"]}, ["'0'", "'painting.png:0'", "not above 0", "ART:2"]),
        ({"styles": ["painting.png:-2"]}, ["'-2'", "not above 0"]),
        ({"styles": [""]}, ["style", "ART"]),
        ({"epochs": 2}, ["epochs", "steps_per_epoch", "together"]),
        ({"init": "blue"}, ["blue: no such file"]),
        ({"recipe": "impressionist"}, ["'impressionist'", "keras-example", ".toml"]),
        ({"recipe": "nowhere.toml"}, ["nowhere.toml", "No such file", "brushwork recipes"]),
        ({"recipe": "bad.toml"}, ["recipe bad", "line 1", "brushwork recipes"]),
        ({"recipe": "unknown.toml"}, ["'colour'"]),
        ({"recipe": "range.toml"}, ["strength", "3", "less than or equal to 1"]),
        ({"weights": "garbage.h5"}, ["garbage.h5", "HDF5", "safetensors", "--weights"]),
        ({"weights": "torn.h5"}, ["torn.h5", "damaged", "--weights"]),
        ({"weights": "nowhere.h5"}, ["nowhere.h5", "No such file", "--weights"]),
        ({"weights": "photo.png"}, ["photo.png", "expected"]),
        ({"style_layers": ["block3_conv1"]}, ["network.safetensors", "no block3_conv1"]),
    ],
)  # fmt: skip
def test_a_bad_value_is_named_with_its_limit(desk: Desk, options: Options, parts: list[str]) -> None:
    told(desk, options | {"quiet": True}, *parts)


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_device_that_is_not_there(desk: Desk, device: str) -> None:
    if torch.cuda.device_count() > 3 or (device == "cuda" and torch.cuda.is_available()):
        pytest.skip("it is there")
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is there")
    told(desk, {"device": device}, f"--device {device}", "use --device cpu")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (["stylize"], ["PHOTO is missing", "brushwork stylize PHOTO --style ART"]),
        (["stylize", "photo.png"], ["--style ART is missing"]),
        (["stylize", "photo.png", "painting.png", "--style", "painting.png"], ["painting.png", "--help"]),
        (["stylize", "photo.png", "--style", "painting.png", "--sise", "3"], ["--sise", "--size"]),
        (["stylize", "photo.png", "--style", "painting.png", "--mask", "m.png"], ["--mask"]),
        (["stylize", "photo.png", "--style", "painting.png", "--size"], ["--size", "requires an argument"]),
        (["stylize", "photo.png", "--size", "32", "--size", "48"], ["--size", "multiple"]),
        (["stylise", "photo.png"], ["stylise", "stylize"]),
        (["--nope"], ["--nope"]),
        (["recipes", "impressionist"], ["'impressionist'", "keras-example"]),
        (["recipes", "nowhere.toml"], ["nowhere.toml", "No such file"]),
        (["doctor", "photo.png"], ["photo.png"]),
        (["demo", "-o", "photo.png"], ["photo.png", "another folder"]),
        (["gan", "sample", "nowhere"], ["nowhere is missing", "brushwork gan train"]),
    ],
)  # fmt: skip
def test_a_line_that_makes_no_sense(desk: Desk, line: list[str], parts: list[str]) -> None:
    complaint = desk.call(*line).complaint
    assert not [part for part in parts if part not in complaint], complaint


# ------------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"output": "result.xyz"}, ["result.xyz", "cannot write .xyz", ".png, .jpg"]),
        ({"output": "result.gif"}, ["result.gif", "cannot write .gif", ".png, .jpg"]),
        ({"output": "result"}, ["result", "suffix is missing", ".png"]),
        ({"output": "there.png"}, ["there.png exists", "--overwrite"]),
        ({"output": "nowhere/result.png"}, ["nowhere", "No such file", "choose a folder"]),
        ({"output": "photo.png/result.png"}, ["photo.png", "Not a directory", "choose a folder"]),
        ({"output": "/proc/result.png"}, ["/proc", "choose a folder that can be written to"]),
        ({"output": "x" * 300 + ".png"}, ["File name too long", "another name"]),
        ({"trace": "there.png"}, ["there.png exists", "--overwrite"]),
        ({"trace": "nowhere/t.jsonl"}, ["nowhere", "choose a folder"]),
        ({"record": "there.png"}, ["--record there.png", "FILE.mp4"]),
        ({"record": "photo.png/film"}, ["photo.png", "Not a directory"]),
        ({"record": "nowhere/film.mp4"}, ["nowhere", "choose a folder"]),
        ({"plot": "plot.jpg"}, ["--plot plot.jpg", ".png"]),
        ({"grid": "grid.txt"}, ["grid.txt", ".png"]),
        ({"record": "film.gif"}, ["--record film.gif", "FILE.mp4"]),
        ({"output": "folder"}, ["folder is a folder", "file name"]),
        ({"comparison": "there.png"}, ["there.png exists", "--overwrite"]),
        ({"high_pass": "folder/x/y.png"}, ["folder/x", "choose a folder"]),
        ({"grid": "same.png", "plot": "same.png"}, ["same name"]),
        ({"grid": "result.png"}, ["same name"]),
        ({"output": "-", "json": True}, ["--json", "-o -", "file"]),
        ({"content": "-", "output": None}, ["standard input", "-o OUT"]),
    ],
)
def test_a_place_that_cannot_be_written_to(desk: Desk, options: Options, parts: list[str]) -> None:
    told(desk, options, *parts)
    assert Path("there.png").read_bytes() == b"old"


def test_two_names_of_one_file_are_one_name(desk: Desk) -> None:
    Path("link.png").symlink_to("result.png")
    for name in ("folder/../result.png", "link.png"):
        told(desk, {"comparison": name, "overwrite": True}, "two outputs have the same name")


@pytest.mark.parametrize(
    "options",
    [
        {"output": "photo.png"},
        {"preview": "./folder/../painting.png"},
        {"comparison": "whole.jpg", "init": "whole.jpg"},
        {"trace": "network.safetensors"},
        {"trace": "own/trace.jsonl", "run_dir": "own"},
    ],
)
def test_no_output_takes_the_place_of_what_the_run_reads(desk: Desk, options: Options) -> None:
    told(
        desk,
        {**options, "overwrite": True},
        "would take the place of ",
        "which is needed: give another name",
    )


def test_what_a_format_cannot_hold_is_known_before_the_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encode.LONGEST, "WEBP", 47)
    told(desk, {"output": "result.webp", "trace": "t.jsonl"}, "48 pixels a side", "write a PNG")
    monkeypatch.setitem(encode.LONGEST, "WEBP", 60)
    assert desk.stylize(output="result.webp").status == 0
    told(desk, {"comparison": "sheet.webp", "trace": "t.jsonl"}, "78 pixels a side")
    told(desk, {"high_pass": "edges.webp", "trace": "t.jsonl"}, "120 pixels a side")
    sheet = ["sheet", *arguments(desk.quick), "--across", "strength=0.3,0.9", "-o", "sheet.webp"]
    assert "pixels a side; WEBP holds 60" in desk.call(*sheet, "--quiet").complaint
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    told(desk, {"output": "result.heic", "trace": "t.jsonl"}, "pip install 'brushwork[heif]'")
    told(desk, {"preview": "now.heic", "trace": "t.jsonl"}, "pip install 'brushwork[heif]'")


def test_a_folder_is_no_photo(desk: Desk) -> None:
    for command in ("stylize", "sheet"):
        assert "folder" in desk.call(command, ".", "--style", "painting.png").complaint


def test_a_folder_is_no_output(desk: Desk) -> None:
    Path("folder.png").mkdir()
    told(desk, {"output": "folder.png", "overwrite": True}, "folder.png is a folder", "file name")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_a_trace_that_cannot_be_continued_costs_no_step(desk: Desk) -> None:
    done = desk.stylize(trace="/dev/full")
    assert done.json["evaluations"] == 3
    assert done.err.count("no more lines in the trace (--trace /dev/full: No space left on device") == 1


def test_a_long_name_is_written_all_the_same(desk: Desk) -> None:
    name = "x" * 250 + ".png"
    assert desk.stylize(output=name, record="steps", snapshot_every=1).json["output"] == name
    assert desk.picture(name).shape == (36, 48, 3)
    assert Path("steps", f"{'x' * 55}_at_iteration_3.png").is_file()


def test_numbered_pictures_that_cannot_be_written_cost_no_step(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write

    def refuse(path: Path, content: files.Content) -> None:
        if path.parent.name == "steps":
            raise OutputError(f"{path}: No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "write", refuse)
    done = desk.stylize(record="steps", snapshot_every=1)
    assert done.json["evaluations"] == 3
    assert done.err.count("no more numbered pictures (steps/result_at_iteration_1.png: No space") == 1


def test_what_is_too_small_is_named(desk: Desk) -> None:
    """Of photo and paintings, the one that has no position left at a layer."""
    deep: Options = {"style_layers": ["block2_conv1"], "size": 64, "styles": ["painting.png", "ribbon.png"]}
    Image.new("RGB", (200, 4), "#336699").save("ribbon.png")
    told(desk, deep, "ribbon.png: 64×1 pixels are too small for block2_conv1", "a larger painting")
    assert desk.call("stylize", "", "--style", "painting.png").complaint.startswith("brushwork: PHOTO is")


def test_a_picture_without_a_job_to_repeat(desk: Desk) -> None:
    complaint = desk.call("stylize", "--from", "photo.png").complaint
    assert "photo.png: carries no job" in complaint and "metadata" in complaint
    assert "nowhere.png: no such file" in desk.call("stylize", "--from", "nowhere.png").complaint
    assert "text.jpg: not a picture" in desk.call("stylize", "--from", "text.jpg").complaint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_help_that_cannot_be_printed(desk: Desk) -> None:
    with Path("/dev/full").open("wb") as full:
        done = process(["--help"], desk.folder, stdout=full, capture_output=False, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.decode() == "brushwork: No space left on device: free some space\n"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's disk that is always full")
def test_standard_input_that_is_empty(desk: Desk) -> None:
    line = [BRUSHWORK, *desk.line(content="-", output="result.png")]
    ended = subprocess.run(line, input=b"", capture_output=True, check=False)
    assert (ended.returncode, ended.stderr.count(b"\n")) == (2, 1)
    assert b"standard input is empty: pipe the photo in" in ended.stderr


def test_progress_that_cannot_be_told_costs_no_picture(desk: Desk) -> None:
    with Path("/dev/full").open("wb") as full:
        done = process(desk.line(output="result.png"), desk.folder, stderr=full, capture_output=False)
        assert done.returncode == 0
        assert desk.picture("result.png").shape == (36, 48, 3)
        wrong = process(["stylize", "nowhere.png"], desk.folder, stderr=full, capture_output=False)
        assert wrong.returncode == 2


@pytest.mark.slow
def test_streams_that_are_closed(desk: Desk) -> None:
    def closed(stream: str, **options: Value) -> subprocess.CompletedProcess[bytes]:
        command = shlex.join([BRUSHWORK, *desk.line(overwrite=True, **options)])
        close = f"{stream}<&-" if stream == "0" else f"{stream}>&-"
        return subprocess.run(["/bin/sh", "-c", f"{command} {close}"], capture_output=True, check=False)

    nothing = closed("0", content="-", output="result.png")
    assert nothing.returncode == 2 and b"standard input is empty" in nothing.stderr
    assert closed("2", output="result.png").returncode == 0
    assert desk.picture("result.png").shape == (36, 48, 3)
    for options in ({"output": "result.png", "json": True}, {"output": "-"}):
        done = closed("", quiet=True, **options)
        assert done.returncode == 2
        assert done.stderr == b"brushwork: standard output is closed: try -o FILE\n"


# ------------------------------------------------------------------------------------------------ our fault


def test_a_mistake_of_ours_shows_its_traceback(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: object) -> None:
        raise RuntimeError("the cat sat on it")

    monkeypatch.setattr(runner, "context_for", broken)
    outcome = desk.stylize(json=None)
    assert outcome.status == 1
    assert outcome.err.startswith("Traceback (most recent call last):")
    assert "RuntimeError: the cat sat on it" in outcome.err
    assert "our fault" in outcome.err.splitlines()[-1]
    assert "result.png" not in desk.outputs()
