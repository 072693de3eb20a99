"""``brushwork stylize`` from end to end on small pictures, and the commands beside it."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import brushwork
from brushwork.events import Losses, Progress
from brushwork.fields import build
from brushwork.images import resize
from brushwork.jobs import Stylize
from brushwork.outputs import film, sheets
from brushwork.outputs.plot import curve_of, loss_curves
from brushwork.outputs.trace import trace_line
from brushwork.recipes import names, read_recipe
from brushwork.surfaces import demo
from commands import BRUSHWORK, Desk, Value, arguments, environment, process

GAP = 8  # paper between the pictures of a sheet
SIZE = (36, 48)  # rows, columns of a quick result


def difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


# ---------------------------------------------------------------------------------------------- the result


def test_the_result_lies_beside_the_photo_by_default(desk: Desk) -> None:
    (desk.folder / "trip").mkdir()
    (desk.folder / "photo.png").rename(desk.folder / "trip" / "sea.side.png")
    outcome = desk.stylize(content="trip/sea.side.png", output=None)
    assert outcome.json["output"] == "trip/sea.side-painting.png"
    assert desk.picture("trip/sea.side-painting.png").shape == (*SIZE, 3)


def test_the_result_is_neither_photo_nor_painting(desk: Desk) -> None:
    """With the whole network and the default recipe the photo stays, in the painting's manner."""
    line = ["stylize", "photo.png", "--style", "painting.png", "--size", "96", "--steps", "12", "--quiet"]
    assert desk.call(*line, "-o", "result.png").err == ""
    result = desk.picture("result.png")
    photo = np.asarray(Image.open("photo.png").resize((96, 72)))
    assert 4 < difference(result, photo) < 80
    assert np.corrcoef(result.ravel(), photo.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "tif", "tiff", "avif", "PNG"])
def test_the_suffix_decides_the_format(desk: Desk, suffix: str) -> None:
    reference, result = desk.painted(), desk.painted(output=f"out.{suffix}")
    with Image.open(f"out.{suffix}") as image:
        expected = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        assert (image.format, image.size) == (expected, SIZE[::-1])
    assert difference(result, reference) < 4


def test_quality_decides_the_size_of_a_jpeg(desk: Desk) -> None:
    sizes: list[int] = []
    for quality in (10, 60, 95, 100):
        desk.stylize(output="a.jpg", quality=quality)
        sizes.append((desk.folder / "a.jpg").stat().st_size)
    assert sizes == sorted(set(sizes))


def test_nothing_is_overwritten_unasked(desk: Desk) -> None:
    (desk.folder / "result.png").write_bytes(b"old")
    assert "--overwrite" in desk.stylize(overwrite=None, json=None).complaint
    assert (desk.folder / "result.png").read_bytes() == b"old"
    assert desk.stylize(overwrite=True).status == 0
    assert desk.picture("result.png").shape == (*SIZE, 3)


def test_no_metadata_leaves_the_job_out_and_the_pixels_as_they_are(desk: Desk) -> None:
    with_job = desk.painted()
    size = (desk.folder / "result.png").stat().st_size
    without = desk.painted(metadata=False)
    assert np.array_equal(with_job, without)
    assert (desk.folder / "result.png").stat().st_size < size
    assert b"photo.png" not in (desk.folder / "result.png").read_bytes()
    assert "carries no job" in desk.again("result.png", json=None).complaint


# ------------------------------------------------------------------------------- what is said, and in JSON


def test_json_is_all_there_is_on_stdout(desk: Desk) -> None:
    outcome = desk.stylize(quiet=None, recipe="tf-blog", init="noise", seed=7, precision="float32")
    report = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1
    assert list(report) == [
        "output",
        "width",
        "height",
        "engine",
        "recipe",
        "device",
        "precision",
        "weights",
        "seed",
        "seconds",
        "evaluations",
        "losses",
        "peak_memory_bytes",
        "plan",
        "run_dir",
    ]
    assert list(report["losses"]) == ["total", "content", "style", "tv"]
    terms = report["losses"]
    assert terms["total"] == pytest.approx(terms["content"] + terms["style"] + terms["tv"], rel=1e-5)
    known = {"output": "result.png", "width": 48, "height": 36, "engine": "optimize", "recipe": "tf-blog"}
    known |= {"precision": "float32", "seed": 7, "evaluations": 3, "run_dir": None}
    assert known.items() <= report.items()
    assert report["weights"].endswith("network.safetensors")
    assert report["device"] in {"cpu", "cuda", "mps"}
    assert report["seconds"] > 0
    assert report["peak_memory_bytes"] > 10_000_000
    assert desk.picture("result.png").shape == (*SIZE, 3)


def test_progress_goes_to_stderr_and_quiet_ends_it(desk: Desk) -> None:
    outcome = desk.stylize(quiet=None, json=None)
    assert outcome.out == ""
    begin, *_, end = outcome.err.splitlines()
    assert begin.startswith("48×36, 3 evaluations on ")
    assert "48 px, step 1/3: loss " in outcome.err
    assert end == "wrote result.png"
    silent = desk.stylize(json=None)
    assert (silent.status, silent.out, silent.err) == (0, "", "")


@pytest.mark.slow
def test_a_terminal_gets_a_bar(desk: Desk) -> None:
    leader, follower = os.openpty()
    line = desk.line(output="result.png")
    shown = b""
    with subprocess.Popen(
        [BRUSHWORK, *line], stderr=follower, env=environment(TERM="xterm", COLUMNS="160")
    ) as running:
        os.close(follower)
        while piece := _read(leader):
            shown += piece
    os.close(leader)
    assert running.returncode == 0
    assert all(part.encode() in shown for part in ("48×36", "48 px, step 3/3, loss", "━"))
    assert 0 < shown.index(b"starting") < shown.index("━".encode())


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # Linux's way of saying that the other side has closed
        return b""


def test_trace_has_one_line_an_evaluation(desk: Desk) -> None:
    desk.stylize(trace="t.jsonl", scales=["0.5:1", "1:2"], steps=6, tv_weight=30, keep="last")
    lines = [json.loads(line) for line in (desk.folder / "t.jsonl").read_text().splitlines()]
    assert all(
        list(line)
        == ["evaluation", "scale", "step", "total", "content", "style", "tv", "gradient_norm", "seconds"]
        for line in lines
    )
    assert [line["evaluation"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["scale"] for line in lines] == [24, 24, 48, 48, 48, 48]
    assert [line["step"] for line in lines] == [1, 2, 1, 2, 3, 4]
    for line in lines:
        assert line["total"] == pytest.approx(line["content"] + line["style"] + line["tv"], rel=1e-5)
        assert line["style"] > 0 and line["tv"] > 0 and line["gradient_norm"] > 0
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and 0 < seconds[0] < seconds[-1]


def test_the_trace_ends_where_the_json_does(desk: Desk) -> None:
    outcome = desk.stylize(trace="t.jsonl", keep="last")
    last = json.loads((desk.folder / "t.jsonl").read_text().splitlines()[-1])
    assert {name: last[name] for name in outcome.json["losses"]} == outcome.json["losses"]
    assert outcome.json["seconds"] >= last["seconds"]


def test_a_trial_that_is_no_number_stays_json() -> None:
    progress = Progress(1, 1, 0, 48, 1, Losses(math.inf, 1.0, math.inf, 0.0), math.nan, torch.zeros(1))
    line = trace_line(progress)
    assert b"NaN" not in line and b"Infinity" not in line
    (point,) = curve_of(line)
    assert math.isnan(point.losses.style) and point.losses.content == 1.0
    assert loss_curves([point]).startswith(b"\x89PNG")


# ----------------------------------------------------------------------------------- films, sheets, curves


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (10, 5)])
def test_a_grid_has_no_empty_columns(count: int, columns: int) -> None:
    across = sheets.grid([torch.zeros(1, 3, 40, 60)] * count).shape[-1]
    assert across == sheets.grid([torch.zeros(1, 3, 40, 60)] * count, columns=columns).shape[-1]


# At 48 px the codec loses about as much of a picture as a step changes: bounds are for this look.
FILMED: dict[str, Value] = {"keep": "last", "padding": "zeros", "init_noise": 0}


def frames(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as film:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in film.decode(video=0)]


@pytest.mark.parametrize(("size", "shape"), [(48, (36, 48)), (47, (36, 48)), (49, (38, 50))])
def test_a_film_has_a_frame_an_evaluation(desk: Desk, size: int, shape: tuple[int, int]) -> None:
    """At one size throughout, odd sides rounded up; the last frame is the result."""
    result = desk.painted(record="film.mp4", size=size, scales=["0.5", "1"], steps=8, **FILMED)
    pictures = frames(desk.folder / "film.mp4")
    assert [picture.shape[:2] for picture in pictures] == [shape] * 8
    height, width = result.shape[:2]
    assert difference(pictures[-1][:height, :width], result) < 8
    assert difference(pictures[0], pictures[-1]) > 1
    with av.open(str(desk.folder / "film.mp4")) as film:
        assert film.streams.video[0].average_rate == 25


@pytest.mark.parametrize(("steps", "strength", "count"), [(8, 0.5, 2), (7, 0.5, 2), (9, 0.5, 2), (8, 0, 1)])
def test_a_long_film_leaves_frames_out_but_not_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, steps: int, strength: float, count: int
) -> None:
    """At strength 0 there is one evaluation, whose turn has not come."""
    monkeypatch.setattr(film, "MOST_FRAMES", 2)
    result = desk.painted(record="film.mp4", steps=steps, strength=strength, **FILMED)
    pictures = frames(desk.folder / "film.mp4")
    assert len(pictures) == count
    far = [difference(picture, result) for picture in pictures]
    assert far[-1] == min(far) < 12
    assert len(set(far)) == count


@pytest.mark.parametrize(
    ("recipe", "steps", "options", "numbers"),
    [
        ("keras-example", 200, {}, [100, 200]),
        ("keras-example", 7, {"snapshot_every": 2}, [2, 4, 6]),
        ("tf-blog", 7, {"snapshot_every": 3}, [1, 4, 7]),
        ("course", 20, {}, [0, 10, 20]),
        ("tf-tutorial", 5, {"snapshot_every": 5}, [5]),
    ],
)
def test_a_folder_gets_numbered_pictures(
    desk: Desk, recipe: str, steps: int, options: dict[str, int], numbers: list[int]
) -> None:
    result = desk.painted(
        record="film", recipe=recipe, size=16, steps=steps, keep="last", content_layers=["block1_conv1"],
        style_layers=["block1_conv1"], **options,
    )  # fmt: skip
    expected = sorted(f"film/result_at_iteration_{number}.png" for number in numbers)
    assert [name for name in desk.outputs() if name.startswith("film/")] == expected
    last = desk.picture(f"film/result_at_iteration_{numbers[-1]}.png")
    assert last.shape == result.shape
    assert np.array_equal(last, result) == (numbers[-1] == steps)


def test_a_folder_of_another_run_is_left_alone(desk: Desk) -> None:
    assert desk.stylize(record="film", snapshot_every=1).status == 0
    assert (
        "holds pictures of another run"
        in desk.stylize(record="film", overwrite=None, json=None, output="b.png").complaint
    )
    assert desk.stylize(record="film", snapshot_every=1).status == 0


def test_the_grid_shows_the_snapshots_in_order(desk: Desk) -> None:
    desk.stylize(grid="grid.png", record="film", snapshot_every=1, steps=4, optimizer="sgd", learning_rate=20)
    sheet = desk.picture("grid.png")
    height, width = 240, 320
    assert sheet.shape == (2 * height + 3 * GAP, 3 * width + 4 * GAP, 3)
    for number in range(4):
        top, left = GAP + (number // 3) * (height + GAP), GAP + (number % 3) * (width + GAP)
        cell = Image.fromarray(sheet[top : top + height, left : left + width])
        small = np.asarray(cell.resize((SIZE[1], SIZE[0]), Image.Resampling.BOX))
        snapshot = desk.picture(f"film/result_at_iteration_{number + 1}.png")
        assert difference(small, snapshot) < 2
    assert (sheet[GAP + height + GAP :, 2 * (width + GAP) :] == 255).all()  # the empty cells are paper


def test_what_is_kept_for_the_grid_is_no_larger_than_its_cells(photo: Tensor) -> None:
    for height, width in ((400, 300), (30, 640), (320, 320), (20, 10)):
        picture = resize(photo, height, width, "area")
        kept = sheets.small(picture)
        assert max(kept.shape[-2:]) == min(320, max(height, width))
        assert sheets.grid([kept]).shape == sheets.grid([picture]).shape
        assert (sheets.grid([kept]) - sheets.grid([picture])).abs().mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(36, 48), (37, 49), (100, 6), (1, 1)])
def test_sheets_have_the_size_that_is_foretold(photo: Tensor, height: int, width: int) -> None:
    result = resize(photo, height, width, "area")
    found = sheets.comparison(photo, photo, result).shape[-2:]
    foretold = sheets.comparison_size(height, width)
    assert found[0] == foretold[0] and foretold[1] - 1 <= found[1] <= foretold[1]
    assert sheets.edges(photo, result).shape[-2:] == sheets.edges_size(height, width)


def test_the_comparison_shows_all_three(desk: Desk) -> None:
    result = desk.painted(comparison="sheet.png")
    sheet = desk.picture("sheet.png")
    height, width = SIZE
    assert np.array_equal(sheet[-GAP - height : -GAP, GAP : GAP + width], result)
    half, upper = (width - GAP) // 2, height // 2
    photo, painting = sheet[GAP:, GAP : GAP + half][:upper], sheet[GAP:, 2 * GAP + half : -GAP][:upper]
    small = np.asarray(Image.open("photo.png").resize((20, 15), Image.Resampling.BOX))
    assert difference(small, photo[1:16]) < 2
    assert painting.std() > 20  # tiles are colourful
    desk.stylize(comparison="other.png", styles=["photo.png"])
    assert not np.array_equal(desk.picture("other.png")[:upper], sheet[:upper])


def test_high_pass_shows_the_edges_before_and_after(desk: Desk) -> None:
    flat = Image.new("RGB", (64, 48), "#806040")
    flat.paste("#d0d0d0", (32, 0, 64, 48))  # one upright edge
    flat.save("flat.png")
    options: dict[str, Any] = {"content": "flat.png", "resize": "nearest", "size": 64}
    desk.stylize(high_pass="edges.png", **options)
    sheet = desk.picture("edges.png").astype(int)
    assert sheet.shape == (2 * 48 + 3 * GAP, 2 * 64 + 3 * GAP, 3)
    across, down = sheet[GAP : GAP + 48, GAP : GAP + 64], sheet[GAP : GAP + 48, 2 * GAP + 64 : -GAP]
    assert (np.abs(down - 128) <= 1).all()
    edge = np.abs(across - 128).max(axis=2) > 1
    assert edge[:, 31].all() and edge.sum() == 48
    below = sheet[-GAP - 48 : -GAP]
    assert np.abs(below[:, GAP : GAP + 64] - across).max() > 3  # the painting has brought edges
    desk.stylize(high_pass="smooth.png", tv_weight=3000, **options)
    smooth = desk.picture("smooth.png")[-GAP - 48 : -GAP, GAP : GAP + 64]
    assert smooth.std() < below[:, GAP : GAP + 64].std()


def test_the_plot_has_a_curve_for_each_term(desk: Desk) -> None:
    desk.stylize(plot="plot.png", steps=6, tv_weight=30, scales=["0.5", "1"])
    plot = desk.picture("plot.png")
    assert plot.shape[:2] == (600, 960)
    for colour in ("#222222", "#c1440e", "#1f6f8b", "#8a9a5b"):
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(plot[..., :3].astype(int) - wanted).max(axis=2) < 12).sum() > 100, colour
    desk.stylize(plot="other.png", steps=6, tv_weight=0, scales=["0.5", "1"])
    assert not np.array_equal(desk.picture("other.png"), plot)
    assert desk.stylize(plot="none.png", strength=0).status == 0  # without a curve there is no legend


def test_all_files_at_once_and_nothing_else(desk: Desk) -> None:
    sheets = {name: f"{name}.png" for name in ("grid", "plot", "comparison", "high_pass")}
    plain = desk.painted()
    result = desk.painted(trace="t.jsonl", record="film.mp4", **sheets)
    assert np.array_equal(result, plain)
    assert desk.outputs() == sorted(["result.png", "t.jsonl", "film.mp4", *sheets.values()])


# ------------------------------------------------------------------------------------- standard input, output


@pytest.mark.slow
def test_a_picture_through_a_pipe(desk: Desk) -> None:
    reference = desk.painted(seed=0, threads=1)
    line = desk.line(content="-", output="-", threads=1)
    photo = (desk.folder / "photo.png").read_bytes()
    done = process(line, desk.folder, input=photo)
    assert done.returncode == 0, done.stderr.decode()
    assert b"wrote standard output" in done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), reference)


@pytest.mark.slow
def test_standard_output_that_is_full(desk: Desk) -> None:
    with Path("/dev/full").open("wb") as full:
        done = process(desk.line(output="-", quiet=True), desk.folder, stdout=full, capture_output=False,
                       stderr=subprocess.PIPE)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "brushwork: standard output: No space left on device: not all was written; try -o FILE\n"
    )


# ------------------------------------------------------------------------------------------- what decides


def test_explicit_options_win_over_the_recipe_and_that_over_the_defaults(desk: Desk) -> None:
    (desk.folder / "my.toml").write_text('size = 32\nseed = 5\ninit = "noise"\nsteps = 2\n')
    report = desk.stylize(size=None, steps=None, init=None, recipe="my.toml").json
    assert (report["width"], report["seed"], report["evaluations"], report["recipe"]) == (32, 5, 2, "my.toml")
    report = desk.stylize(size=40, steps=None, seed=6, init=None, recipe="my.toml").json
    assert (report["width"], report["seed"], report["evaluations"]) == (40, 6, 2)
    noise = desk.painted(size=None, steps=None, recipe="my.toml", init=None)
    explicit = desk.painted(size=32, steps=2, seed=5, init="noise", recipe="my.toml")
    plain = desk.painted(size=32, steps=2, seed=5)
    assert np.array_equal(noise, explicit)
    assert not np.array_equal(noise, plain)


def test_a_recipe_that_fixes_its_rows_keeps_them_unless_size_is_given(desk: Desk) -> None:
    (desk.folder / "rows.toml").write_text("rows = 30\n")
    report = desk.stylize(size=None, recipe="rows.toml").json
    assert (report["width"], report["height"]) == (40, 30)
    report = desk.stylize(size=48, recipe="rows.toml").json
    assert (report["width"], report["height"]) == (48, 36)


def test_a_switch_of_the_recipe_can_be_switched_off(desk: Desk) -> None:
    assert read_recipe("course").settings["snapshot_start"] is True
    desk.stylize(recipe="course", record="film", snapshot_every=3)
    assert "film/result_at_iteration_0.png" in desk.outputs()
    desk.clear()
    desk.stylize(recipe="course", record="film", snapshot_every=3, snapshot_start=False)
    assert "film/result_at_iteration_0.png" not in desk.outputs()


def test_several_styles_are_blended_by_weight(desk: Desk) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save("noise.png")
    tiles, grain = desk.painted(), desk.painted(styles=["noise.png"])
    both = desk.painted(styles=["painting.png", "noise.png"])
    mostly = desk.painted(styles=["painting.png:1000000", "noise.png:1"])
    assert difference(mostly, tiles) < 0.5
    assert difference(both, tiles) > 0.3 and difference(both, grain) > 0.3
    assert np.array_equal(both, desk.painted(styles=["painting.png:3", "noise.png:3"]))


def test_a_seed_fixes_the_noise(desk: Desk) -> None:
    first = desk.painted(init="noise", seed=1)
    assert np.array_equal(first, desk.painted(init="noise", seed=1))
    assert not np.array_equal(first, desk.painted(init="noise", seed=2))


def test_threads_are_set_and_written_down(desk: Desk) -> None:
    for threads in (2, 1):
        desk.stylize(threads=threads)
        assert torch.get_num_threads() == threads
        with Image.open("result.png") as image:
            assert json.loads(str(image.info["brushwork"]))["threads"] == threads


def test_original_size_and_the_whole_picture_at_strength_zero(desk: Desk) -> None:
    """With nothing that pulls towards the painting, the photo comes out as it went in."""
    result = desk.painted(size="original", strength=0, tv_weight=0)
    assert np.array_equal(result, desk.picture("photo.png"))


# ----------------------------------------------------------------------------------- the commands beside it


def test_recipes_lists_them_all(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    listed = desk.call("recipes").out.splitlines()
    assert [line.split()[0] for line in listed] == names()
    assert all(read_recipe(name).description in line for name, line in zip(names(), listed, strict=True))


@pytest.mark.parametrize("name", names())
def test_a_printed_recipe_is_one_to_start_from(desk: Desk, name: str) -> None:
    printed = desk.call("recipes", name).out
    (desk.folder / "my.toml").write_text(printed, encoding="utf-8")
    assert read_recipe("my.toml").settings == read_recipe(name).settings
    inputs: dict[str, Any] = {"content": "photo.png", "styles": ["painting.png"]}
    mine, named = (build(Stylize, inputs | {"recipe": recipe}) for recipe in ("my.toml", name))
    assert mine == named.model_copy(update={"recipe": "my.toml"})
    assert tomllib.loads(printed)["description"]


def test_doctor_tells_of_everything(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    outcome = desk.call("doctor")
    assert (outcome.status, outcome.err) == (0, "")
    for name in ("brushwork", "torch", "cpu", "embedded", "full precision", "pillow-heif", "cache"):
        assert name in outcome.out
    for line in outcome.out.splitlines():
        assert line.startswith(("ok  ", "--  ", "    "))
    assert "→ brushwork doctor --fetch" in outcome.out or "hash verified" in outcome.out


def test_version(desk: Desk) -> None:
    assert desk.call("--version").out == f"{brushwork.__version__}\n"


@pytest.mark.slow
def test_demo_paints_its_scenes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SCENES", (("chelsea", "swirls", 96),))  # one of three, and small
    assert desk.call("demo", "-o", "show", "--quiet").err == ""
    files = [f"show/{name}.png" for name in ("chelsea", "chelsea-swirls", "demo", "swirls")]
    assert desk.outputs() == sorted(["show", *files])
    assert max(desk.picture("show/chelsea-swirls.png").shape) == 96
    assert "--overwrite" in desk.call("demo", "-o", "show", "--quiet").complaint


@pytest.mark.slow
def test_the_installed_command(desk: Desk) -> None:
    assert process(["--version"], desk.folder).stdout.decode() == f"{brushwork.__version__}\n"
    done = process(["stylize", *arguments(desk.quick), "--json"], desk.folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["output"] == "photo-painting.png"
    assert process(["stylize"], desk.folder).returncode == 2
