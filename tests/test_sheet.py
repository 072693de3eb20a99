"""`brushwork sheet`: cells, their commands, the sheet and what a user's mistakes say."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from brushwork import encode
from brushwork.encode import read_job, to_array
from brushwork.errors import InputError
from brushwork.events import Progress, Started, Swept, Work
from brushwork.images import Sources
from brushwork.jobs import Stylize
from brushwork.outputs.labels import font
from brushwork.outputs.poster import GAP as POSTER_GAP
from brushwork.outputs.poster import MARGIN, PAPER, Labels, Tile, poster
from brushwork.runner import read_sources
from brushwork.variations import Axis, Cell, Painted, cells, default_axes, paint, read_axis
from commands import Desk, Outcome, arguments

PAIR: dict[str, Any] = {"content": "photo.png", "styles": ["painting.png"]}


def grid_of(*axes: str, **options: Any) -> list[Cell]:
    across, down = [*(read_axis(axis) for axis in axes), None, None][:2]
    return cells(PAIR | options, across, down, side=40, stem="sheet")


def sheet(desk: Desk, *more: str, **options: Any) -> Outcome:
    """A quick sheet of previews of 32 pixels."""
    quick = {name: value for name, value in desk.quick.items() if name not in options} | options
    return desk.call("sheet", *arguments(quick), "--cell", "32", *more)


# ------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("strength=0.3,0.5", "strength", ("0.3", "0.5")),
        ("stroke-size=70, 100", "stroke_size", ("70", "100")),
        ("--style-layer=block1_conv1+block2_conv1:2,block1_pool", "style_layers",
         (["block1_conv1", "block2_conv1:2"], ["block1_pool"])),
        ("recipe=default,tf-blog", "recipe", ("default", "tf-blog")),
        ("init=a+b.png", "init", ("a+b.png",)),
    ],
)  # fmt: skip
def test_an_axis_is_read(text: str, field: str, values: tuple[Any, ...]) -> None:
    assert read_axis(text) == Axis(field, values)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["--across", "strength"], "'strength' is not NAME=VALUE,VALUE"),
        (["--across", "strength=0.3,,1"], "is not NAME=VALUE,VALUE"),
        (["--down", "strenght=0.3"], "no look option 'strenght'"),
        (["--down", "device=cpu"], "no look option 'device'"),
        (["--across", "size=64,128"], "size cannot vary"),
        (["--across", "strength=0.3,3"], "--strength 3: should be less than or equal to 1"),
        (["--across", "recipe=default,nonesuch"], "no recipe 'nonesuch'"),
        (["--across", "strength=0.3", "--down", "strength=0.5"], "both vary strength"),
        (["--across", "steps=1,2"], "--steps is set and varies too"),
        (["--across", "seed=1,2,3,4,5,6,7", "--down", "history=1,2,3,4,5,6,7"], "48 at most"),
        (["--cell", "8"], "--cell 8: should be greater than or equal to 32"),
        (["-o", "sheet.gif"], "cannot write .gif"),
        (["-o", "photo.png"], "photo.png exists"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_any_work(desk: Desk, line: list[str], told: str) -> None:
    assert told in desk.call("sheet", *arguments(desk.quick), *line).complaint
    assert desk.outputs() == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ([], "PHOTO is missing"),
        (["photo.png"], "--style ART is missing"),
        (["-", "--style", "painting.png"], "standard input cannot be read again"),
    ],
)
def test_what_is_missing_is_told(desk: Desk, line: list[str], told: str) -> None:
    assert told in desk.call("sheet", *line).complaint


# --------------------------------------------------------------------------------------------------- cells


def test_cells_go_row_by_row() -> None:
    grid = grid_of("strength=0.2,0.8", "stroke_size=50,100,150")
    assert [(c.number, c.row, c.column) for c in grid[:3]] == [(1, 0, 0), (2, 0, 1), (3, 1, 0)]
    assert [(c.job.strength, c.job.stroke_size) for c in grid[4:]] == [(0.2, 150), (0.8, 150)]
    assert {c.job.size for c in grid} == {40}


def test_a_recipe_may_vary_and_its_rows_do_not_matter() -> None:
    grid = grid_of("recipe=default,keras-example")
    assert [cell.job.recipe for cell in grid] == ["default", "keras-example"]
    assert [(cell.job.size, cell.job.rows) for cell in grid] == [(40, None)] * 2


def test_previews_have_the_cells_size_whatever_rows_are_asked_for() -> None:
    (cell,) = grid_of("strength=0.5", rows="300")
    assert (cell.job.size, cell.job.rows) == (40, None)
    assert "--rows 300" in cell.command


def test_what_is_set_is_not_varied_unasked() -> None:
    assert default_axes({})[0].field == "strength"
    fields = [axis.field for axis in default_axes({"strength": "0.4"}) if axis]
    assert "strength" not in fields
    with pytest.raises(InputError, match="--across"):
        default_axes({"strength": "0.4", "stroke_size": "80", "recipe": "default"})


def test_the_usual_sheet_has_six_to_twelve_cells() -> None:
    across, down = default_axes({})
    assert 6 <= len(cells(PAIR, across, down, side=40, stem="sheet")) <= 12


@pytest.mark.parametrize(
    ("axis", "options", "words"),
    [
        ("clip=yes,no", {}, ["--clip", "--no-clip"]),
        ("style_rotations=0+9,-3", {}, ["--style-rotations 0 --style-rotations 9", "--style-rotations=-3"]),
        ("strength=0.4", {"content": "my photo.png"}, ["'my photo.png' --style painting.png --strength 0.4"]),
        ("strength=0.4", {"size": "900"}, ["--size 900 --strength 0.4 -o sheet-1.png"]),
    ],
)  # fmt: skip
def test_commands_are_typed_as_a_user_would(axis: str, options: dict[str, Any], words: list[str]) -> None:
    grid = grid_of(axis, **options)
    for cell, expected in zip(grid, words, strict=True):
        assert expected in cell.command
        assert cell.command.startswith("brushwork stylize ")


def test_a_cell_that_diverges_leaves_the_others(desk: Desk) -> None:
    quick = {name: str(v) if isinstance(v, int) else v for name, v in desk.quick.items()}
    options = quick | {"optimizer": "sgd", "style_loss": "gatys", "style_weight": "1e9"}
    across = read_axis("learning_rate=1e-30,1e12")
    grid = cells(options, across, None, side=32, stem="sheet")
    events = list(paint(grid, read_sources(grid[0].job)))
    first, second = [event for event in events if isinstance(event, Painted)]
    assert first.picture is not None
    assert second.picture is None
    assert "lower --learning-rate" in second.problem


def test_a_cell_that_diverges_is_told_with_the_remedy(desk: Desk) -> None:
    options = {"optimizer": "sgd", "style_loss": "gatys", "style_weight": 1e9}
    outcome = sheet(desk, "--across", "learning_rate=1e-30,1e12", "--quiet", **options)
    assert outcome.status == 0
    assert outcome.err.startswith("2: evaluation ") and "lower --learning-rate" in outcome.err


def test_the_bar_ends_with_the_last_cell(desk: Desk) -> None:
    options = {name: str(v) if isinstance(v, int) else v for name, v in desk.quick.items()}
    grid = cells(options | {"scales": ["0.5", "1"]}, read_axis("strength=0.3,0.9"), None, side=32, stem="s")
    events = list(paint(grid, read_sources(grid[0].job)))
    (started,) = [event for event in events if isinstance(event, Started)]
    done = [event.evaluation for event in events if isinstance(event, Progress)]
    assert done == [1, 2, 3, 4, 5, 6]
    work = Work(started)
    assert work.after(3) == pytest.approx(work.total / 2)


def test_what_one_cell_lacks_is_told_before_any_is_painted(desk: Desk) -> None:
    outcome = sheet(desk, "--across", "init=content,gone.png", "--quiet", init=None)
    assert "gone.png: no such file" in outcome.complaint
    across = "content_layers=block2_conv1,block5_pool"
    assert "too small for block5_pool" in sheet(desk, "--across", across, content_layers=None).complaint
    assert desk.outputs() == []


# --------------------------------------------------------------------------------------------------- sheet


def test_progress_counts_cells(desk: Desk) -> None:
    told = sheet(desk, "--across", "strength=0.3,0.7")
    assert told.status == 0
    assert "\ncell 1/2, 32 px, step 1/3: loss" in told.err


def test_each_command_repeats_its_cell(desk: Desk) -> None:
    outcome = sheet(desk, "--across", "strength=0.3,0.9", "--down", "pooling=max,avg", "--quiet")
    assert outcome.status == 0, outcome.err
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    cell_pictures = _painted(desk, "strength=0.3,0.9", "pooling=max,avg")
    for line, expected in list(zip(lines, cell_pictures, strict=True))[1:3]:
        words = shlex.split(line)[2:]
        words[words.index("--size") + 1] = "32"
        assert desk.call(*words, "--quiet").status == 0
        np.testing.assert_array_equal(desk.picture(words[-1]), expected)


def _painted(desk: Desk, across: str, down: str) -> list[Any]:
    options = {name: str(v) if isinstance(v, int) else v for name, v in desk.quick.items()}
    grid = cells(options, read_axis(across), read_axis(down), side=32, stem="sheet")
    sources: Sources = read_sources(grid[0].job)
    found = [event.picture for event in paint(grid, sources) if isinstance(event, Painted)]
    return [to_array(picture) for picture in found if picture is not None]


@pytest.mark.parametrize("style", ["painting.png", "builtin:7"])
def test_cells_of_one_pass_each(desk: Desk, style: str) -> None:
    line = ["sheet", "photo.png", "--style", style, "--engine", "feedforward", "--cell", "48"]
    outcome = desk.call(*line, "-o", "all.png")
    assert outcome.status == 0, outcome.err
    assert "evaluations" not in outcome.err
    commands = outcome.out.splitlines()
    assert len(commands) == 9 and not [command for command in commands if "--recipe" in command]
    outcome = desk.call(*line, "-o", "two.png", "--across", "strength=0.2,0.9", "--json")
    words = shlex.split(outcome.json["cells"][1]["command"])
    assert desk.call(*words[1:], "--size", "48", "--quiet").status == 0
    sheet = desk.picture("two.png")
    top, left = sheet.shape[0] - MARGIN - 36, MARGIN + 48 + POSTER_GAP
    cell = sheet[top : top + 36, left : left + 48]
    # Where its number stands, the picture is covered.
    assert np.array_equal(cell[:16], desk.picture("two-2.png")[:16])


def test_the_bar_ends_with_the_last_pass(desk: Desk) -> None:
    options = {"content": "photo.png", "styles": ["builtin:7"], "engine": "feedforward"}
    grid = cells(options, read_axis("strength=0.3,0.9"), None, side=48, stem="s")
    events = list(paint(grid, read_sources(grid[0].job)))
    (started,) = [event for event in events if isinstance(event, Started)]
    work = Work(started)
    done = [work.during(event) for event in events if isinstance(event, Swept)]
    assert done == sorted(done) and done[-1] == work.total == 2


def test_json_and_the_file_carry_the_commands(desk: Desk) -> None:
    told = sheet(desk, "--across", "strength=0.3,0.9", "--json", "-o", "all.png").json
    assert told["output"] == "all.png"
    assert [cell["changes"] for cell in told["cells"]] == [{"strength": "0.3"}, {"strength": "0.9"}]
    assert [cell["painted"] for cell in told["cells"]] == [True, True]
    assert told["cells"][1]["command"].endswith("--strength 0.9 -o all-2.png")
    assert json.loads(read_job(Path("all.png")))["cells"] == told["cells"]
    assert "all.png is a sheet" in desk.call("stylize", "--from", "all.png", "-o", "x.png").complaint


def test_commands_too_long_for_the_format_stay_out_of_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "LONGEST_EXIF", 300)
    told = sheet(desk, "--across", "strength=0.3,0.9", "-o", "all.jpg")
    assert told.status == 0, told.err
    assert "the commands are not in the sheet: a job of" in told.err
    assert told.out.count("brushwork stylize") == 2
    with pytest.raises(InputError):
        read_job(Path("all.jpg"))


def test_metadata_can_be_left_out_and_the_name_is_derived(desk: Desk) -> None:
    assert sheet(desk, "--across", "strength=0.3,0.9", "--no-metadata", "--quiet").status == 0
    assert desk.outputs() == ["photo-painting-sheet.png"]
    with pytest.raises(InputError):
        read_job(Path("photo-painting-sheet.png"))


def test_an_interruption_writes_the_sheet_so_far(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from brushwork import variations

    real = variations.run

    def interrupted(job: Stylize, *args: Any, **options: Any) -> Any:
        if job.strength == 0.9:
            os.kill(os.getpid(), signal.SIGINT)
        yield from real(job, *args, **options)

    monkeypatch.setattr(variations, "run", interrupted)
    outcome = sheet(desk, "--across", "strength=0.3,0.9", "--json", "-o", "all.png")
    assert outcome.status == 130
    assert "interrupted; the sheet so far is in all.png" in outcome.err
    assert [cell["painted"] for cell in json.loads(outcome.out)["cells"]] == [True, False]
    whole = Path("all.png").read_bytes()
    quiet = sheet(desk, "--across", "strength=0.9,0.3", "--quiet", "--overwrite", "-o", "all.png")
    assert (quiet.status, quiet.err) == (130, "brushwork: interrupted\n")
    assert Path("all.png").read_bytes() == whole  # none was painted: the earlier sheet stays
    quiet = sheet(desk, "--across", "strength=0.3,0.9", "--quiet", "--overwrite", "-o", "all.png")
    assert quiet.err == "interrupted; the sheet so far is in all.png\n"
    own = sheet(desk, "--across", "strength=0.3,0.9", "--overwrite", "-o", "photo.png")
    assert "photo.png would take the place of photo.png" in own.complaint


# -------------------------------------------------------------------------------------------------- poster


def test_the_poster_shows_every_picture_on_paper() -> None:
    red, blue = torch.zeros(1, 3, 40, 60), torch.zeros(1, 3, 40, 60)
    red[:, 0], blue[:, 2] = 1, 1
    labels = Labels("photo × art", "2 variations", [("strength", "0.3"), ("strength", "0.7")], [])
    page = poster(labels, [red, blue], [Tile(1, 0, 0, red), Tile(2, 0, 1, None)], (40, 60))
    found = (page[0].permute(1, 2, 0) * 255).round().int()
    paper = torch.tensor([int(PAPER[i : i + 2], 16) for i in (1, 3, 5)])
    assert bool((found[:, :8] == paper).all())
    assert int((found == torch.tensor([255, 0, 0])).all(-1).sum()) > 1.7 * 40 * 60
    assert int((found == torch.tensor([0, 0, 255])).all(-1).sum()) == 40 * 60


def test_long_headings_stay_in_their_column() -> None:
    picture = torch.zeros(1, 3, 40, 40)
    labels = Labels("t" * 300, "s" * 300, [("style layers", "block1_conv1 + " * 9)], [("recipe", "x")])
    page = poster(labels, [picture], [Tile(1, 0, 0, picture)], (40, 40))
    assert page.shape[-1] < 640
    assert bool((page[..., -20:] > 0.9).all())


def test_the_gutter_has_room_for_the_options_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its width is no whole number of pixels."""
    words: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, text, **more: words.append(text))
    picture = torch.zeros(1, 3, 40, 40)
    names = ("stroke size", "content weight", "tv", "color amount")
    for name in names:
        poster(Labels("t", "s", [], [(name, "1")]), [picture], [Tile(1, 0, 0, picture)], (40, 40))
    assert set(names) <= set(words)


def test_names_in_other_alphabets_are_letters() -> None:
    first, second = (bytes(font(24).getmask(letter)) for letter in "ЖЩ")  # pyright: ignore[reportArgumentType]
    assert first != second


def test_a_sheet_can_be_opened(desk: Desk) -> None:
    assert sheet(desk, "--across", "strength=0.3,0.9", "-o", "all.jpg", "--quiet").status == 0
    with Image.open("all.jpg") as image:
        assert image.format == "JPEG"
