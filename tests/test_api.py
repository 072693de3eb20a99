"""The Python door, what importing it costs, and pictures of every kind through the whole command line."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import imagecodecs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from torch import Tensor

import brushwork as bw
from brushwork.errors import InputError, OutputError
from brushwork.images import Sources
from brushwork.profiles import srgb_profile
from commands import Desk

QUICK: dict[str, Any] = {
    "size": 48,
    "steps": 3,
    "scales": {1.0: 1.0},
    "content_layers": ["block2_conv1"],
    "style_layers": {"block1_conv1": 1, "block2_conv1": 0.5},
    "weights": "network.safetensors",
}


def values(result: bw.Result) -> NDArray[np.uint8]:
    return np.asarray(result.image)


@pytest.fixture(autouse=True)
def in_the_folder(desk: Desk) -> None:
    """Beside photo.png, painting.png and network.safetensors."""


# -------------------------------------------------------------------------------------------------- stylize


def test_a_result_has_image_losses_and_job(desk: Desk) -> None:
    result = bw.stylize("photo.png", "painting.png", **QUICK)
    assert isinstance(result, bw.Result)
    assert (result.image.mode, result.image.size) == ("RGB", (48, 36))
    assert result.picture.pixels.shape == (1, 3, 36, 48)
    losses = result.losses
    assert losses.total == pytest.approx(losses.content + losses.style + losses.tv, rel=1e-5)
    assert (result.job.content, result.job.styles[0].path, result.job.steps) == (
        "photo.png",
        "painting.png",
        3,
    )
    assert bw.Stylize.from_json(result.job.to_json()) == result.job
    assert desk.outputs() == []


def test_it_paints_what_the_command_line_paints(desk: Desk) -> None:
    layers = ["block1_conv1:1", "block2_conv1:0.5"]
    expected = desk.painted(strength=0.7, seed=3, init="noise", style_layers=layers)
    result = bw.stylize("photo.png", "painting.png", strength=0.7, seed=3, init="noise", **QUICK)
    assert np.array_equal(values(result), expected)


def as_image(path: str) -> object:
    return Image.open(path)


def as_array(path: str) -> object:
    return np.asarray(Image.open(path))


def as_floats(path: str) -> object:
    return np.asarray(Image.open(path)).astype(np.float64) / 255


def as_tensor(path: str) -> object:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def as_bytes(path: str) -> object:
    return Path(path).read_bytes()


@pytest.mark.parametrize("kind", [Path, as_bytes, as_image, as_array, as_floats, as_tensor])
def test_pictures_of_every_kind_give_the_same(kind: Callable[[str], Any]) -> None:
    expected = bw.stylize("photo.png", "painting.png", **QUICK)
    result = bw.stylize(kind("photo.png"), kind("painting.png"), **QUICK)
    assert np.abs(values(result).astype(int) - values(expected)).max() <= (kind is as_floats)
    assert result.job.content == ("photo.png" if kind is Path else "(in memory)")


def test_several_styles_and_their_weights() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    single = values(bw.stylize("photo.png", ["painting.png"], **QUICK))
    both = bw.stylize("photo.png", ["painting.png", noise], **QUICK)
    mostly = bw.stylize("photo.png", [("painting.png", 1e6), (noise, 1)], **QUICK)
    assert [(style.path, style.weight) for style in mostly.job.styles] == [
        ("painting.png", 1e6),
        ("(in memory)", 1),
    ]
    assert np.abs(values(mostly).astype(int) - single).max() <= 2
    assert np.abs(values(both).astype(int) - single).max() > 5


def test_a_start_from_a_file() -> None:
    start = bw.stylize("photo.png", "painting.png", init="painting.png", **QUICK)
    assert not np.array_equal(values(start), values(bw.stylize("photo.png", "painting.png", **QUICK)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bw.stylize("nowhere.png", "painting.png"), r"nowhere\.png: no such file"),
        (lambda: bw.stylize("photo.png", "nowhere.png"), r"nowhere\.png: no such file"),
        (lambda: bw.stylize("photo.png", []), "no style: give at least one painting"),
        (lambda: bw.stylize("photo.png", "painting.png", size=3), "--size 3"),
        (lambda: bw.stylize("photo.png", "painting.png", colour="red"), "'colour'"),
        (lambda: bw.stylize("photo.png", [("painting.png", 0)]), "greater than 0"),
        (lambda: bw.stylize("photo.png", cast("Any", [("painting.png", 1, 2)])), "a painting and its weight"),
        (lambda: bw.stylize("photo.png", np.full((9, 9, 3), 7.0)), "scale floats to 0..1"),
        (lambda: bw.stylize("photo.png", "painting.png", device="cuda:99"), "--device cuda:99"),
        (lambda: bw.stylize("photo.png", "painting.png", weights="photo.png"), "photo.png"),
    ],
)
def test_a_mistake_is_a_brushwork_error(call: Callable[[], bw.Result], message: str) -> None:
    with pytest.raises(bw.BrushworkError, match=message):
        call()


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_programs_own_default_of_numbers_does_not_matter(photo_file: Path, backend: str) -> None:
    from brushwork.feedforward import shelf

    options: dict[str, Any] = {"engine": "feedforward", "size": 64, "backend": backend}
    usual = bw.stylize(photo_file, "builtin:3", **options)
    shelf.clear()
    torch.set_default_dtype(torch.float64)
    try:
        found = bw.stylize(photo_file, "builtin:3", **options)
    finally:
        torch.set_default_dtype(torch.float32)
        shelf.clear()
    assert np.array_equal(np.asarray(found.image), np.asarray(usual.image))


def test_save_chooses_the_format_and_overwrites_nothing() -> None:
    result = bw.stylize("photo.png", "painting.png", **QUICK)
    assert result.save("out.png") == Path("out.png")
    assert np.array_equal(np.asarray(Image.open("out.png")), values(result))
    with pytest.raises(OutputError, match=r"out\.png exists"):
        result.save("out.png")
    result.save(Path("out.png"), overwrite=True)
    small, large = (result.save(f"q{quality}.jpg", quality=quality) for quality in (10, 95))
    assert small.stat().st_size < large.stat().st_size
    with pytest.raises(InputError, match=r"cannot write \.xyz"):
        result.save("out.xyz")
    with pytest.raises(OutputError, match="nowhere"):
        result.save("nowhere/out.png")


# ------------------------------------------------------------------------------------------------ run, events


def job(**options: Any) -> bw.Stylize:
    given: dict[str, Any] = {"content": "photo.png", "styles": ["painting.png"]}
    return bw.Stylize(**(given | QUICK | options))


def test_run_is_a_generator_of_events() -> None:
    events = bw.run(job(keep="last", optimizer="adam"))
    assert isinstance(events, Generator)
    begin, *steps, end = events
    assert isinstance(begin, bw.Started) and isinstance(end, bw.Finished)
    assert (begin.width, begin.height, begin.evaluations, begin.device) == (48, 36, 3, "cpu")
    progress = [step for step in steps if isinstance(step, bw.Progress)]
    assert [step.evaluation for step in progress] == [1, 2, 3]
    checkpoints = [step for step in steps if isinstance(step, bw.Checkpoint)]
    assert [step.evaluation for step in checkpoints] == [1, 2, 3] and len(steps) == 6
    assert end.evaluations == 3
    assert end.losses == progress[-1].losses
    assert torch.equal(end.picture.pixels, progress[-1].image.clamp(0, 1))
    expected = bw.stylize("photo.png", "painting.png", keep="last", optimizer="adam", **QUICK)
    assert torch.equal(end.picture.pixels, expected.picture.pixels)


def test_run_goes_on_from_a_checkpoint() -> None:
    painted = job(steps=6, scales={0.5: 1, 1.0: 1})
    *_, whole = bw.run(painted)
    for event in (events := bw.run(painted)):
        if isinstance(event, bw.Checkpoint) and event.evaluation == 4:
            events.close()
            *_, end = bw.run(painted, state=event)
            assert isinstance(end, bw.Finished) and isinstance(whole, bw.Finished)
            assert torch.equal(end.picture.pixels, whole.picture.pixels)
            assert end.losses == whole.losses and end.evaluations == 6
            return
    raise AssertionError("no checkpoint")


def test_run_takes_pictures_from_memory(photo: Tensor, painting: Tensor) -> None:
    sources = Sources(bw.read_picture(photo), [bw.read_picture(painting)])
    (*_, ours), (*_, theirs) = bw.run(job(content="(in memory)"), sources), bw.run(job())
    assert isinstance(ours, bw.Finished) and isinstance(theirs, bw.Finished)
    assert torch.equal(ours.picture.pixels, theirs.picture.pixels)


def test_closing_cancels() -> None:
    events = bw.run(job(steps=1_000_000))
    assert isinstance(next(events), bw.Started)
    assert isinstance(next(events), bw.Progress)
    events.close()
    assert next(events, None) is None


def test_nothing_happens_before_the_first_event() -> None:
    events = bw.run(job(weights="nowhere.h5"))
    with pytest.raises(bw.BrushworkError, match=r"nowhere\.h5"):
        next(events)


# ------------------------------------------------------------------------------------------------- importing


def python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = ("torch", "numpy", "PIL", "matplotlib", "av", "skimage", "h5py")


@pytest.mark.parametrize("command", [None, [], ["--help"], ["stylize", "--help"], ["--version"], ["recipes"]])
def test_importing_and_help_are_light(command: list[str] | None) -> None:
    """torch alone takes seconds."""
    program = "import brushwork, sys\n"
    if command is not None:
        program += f"from brushwork.surfaces.cli import call\nassert call({command}) == 0\n"
    program += f"print(*sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)\n"
    program += f"assert not set({HEAVY}) & set(sys.modules)"
    python(program)


def test_a_misspelt_file_is_told_before_torch_is_there(tmp_path: Path) -> None:
    program = "import sys\nfrom brushwork.surfaces.cli import call\n"
    program += f"assert call(['stylize', {str(tmp_path / 'nowhere.jpg')!r}, '--style', 'art.jpg']) == 2\n"
    program += "assert 'torch' not in sys.modules"
    python(program)


@pytest.mark.slow
def test_importing_does_nothing(tmp_path: Path) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    assert python("import brushwork; brushwork.stylize; brushwork.run") == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_all_is_sorted_complete_and_there() -> None:
    assert bw.__all__ == sorted(bw.__all__)
    assert set(bw.__all__) == set(vars(bw)["_HOMES"])
    source = inspect.getsource(bw)
    checked = source.partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    assert all(name in checked for name in bw.__all__)  # what a type checker sees is what there is
    for name in bw.__all__:
        assert getattr(bw, name) is not None
        assert find_spec(f"brushwork.{name}") is None  # a module would take the name's place once imported
    assert isinstance(bw.__version__, str)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'paint_nicely'"):
        bw.paint_nicely  # pyright: ignore  # noqa: B018


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("brushwork.losses", ["gram_matrix", "style_loss", "content_loss", "total_variation"]),
        ("brushwork.encoders", ["VGG19"]),
    ],
)
def test_the_promised_parts_are_there(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    assert all(callable(getattr(found, name)) and getattr(found, name).__doc__ for name in names)


# ---------------------------------------------------------------------- pictures through the command line


def untouched(desk: Desk, content: str, output: str = "result.png", **options: Any) -> None:
    """Through the whole command line with nothing that changes the picture."""
    desk.stylize(content=content, output=output, size="original", strength=0, tv_weight=0, **options)


def test_a_grey_photo_comes_out_in_colour(desk: Desk) -> None:
    Image.open("photo.png").convert("L").save("grey.png")
    untouched(desk, "grey.png")
    result = Image.open("result.png")
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result), np.asarray(Image.open("grey.png").convert("RGB")))
    assert np.ptp(desk.painted(content="grey.png", strength=0.9).astype(int), axis=2).max() > 5


def test_a_grey_painting_will_do(desk: Desk) -> None:
    Image.open("painting.png").convert("L").save("grey.png")
    assert desk.painted(styles=["grey.png"]).shape == (36, 48, 3)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_alpha_is_put_back(desk: Desk, suffix: str) -> None:
    photo = Image.open("photo.png").convert("RGBA")
    photo.putalpha(Image.radial_gradient("L").resize(photo.size))
    photo.save("clear.png")
    untouched(desk, "clear.png", f"result.{suffix}")
    result = Image.open(f"result.{suffix}")
    assert result.mode == "RGBA"
    assert np.array_equal(np.asarray(result)[..., 3], np.asarray(photo)[..., 3])
    smaller = desk.painted(content="clear.png", size=32)
    expected = np.asarray(photo.getchannel("A").resize((32, 24), Image.Resampling.LANCZOS))
    assert np.abs(smaller[..., 3].astype(int) - expected).max() <= 2


def test_alpha_becomes_white_where_the_format_has_none(desk: Desk) -> None:
    Image.new("RGBA", (64, 48), (200, 30, 30, 0)).save("clear.png")
    untouched(desk, "clear.png", "result.jpg", tv_loss="l1")
    assert desk.picture("result.jpg").shape == (48, 64, 3)
    assert desk.picture("result.jpg").min() > 250


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_in_16_bits_out(desk: Desk, channels: int) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (48, 64, channels), np.uint16)
    levels[..., 3:] |= 0x8000  # what is nearly clear lies over white and comes back rounded
    Path("deep.png").write_bytes(bytes(imagecodecs.png_encode(levels)))
    untouched(desk, "deep.png")
    result = np.asarray(imagecodecs.png_decode(Path("result.png").read_bytes()))
    assert result.dtype == np.uint16
    if channels == 3:
        assert np.array_equal(result, levels)
    else:
        assert np.array_equal(result[..., 3], levels[..., 3])
    desk.stylize(content="deep.png", output="painted.png")
    painted = np.asarray(imagecodecs.png_decode(Path("painted.png").read_bytes()))
    assert painted.dtype == np.uint16
    assert (painted % 257 != 0).mean() > 0.9  # true levels, not stretched bytes


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_turned_photo_comes_out_upright(desk: Desk, orientation: int) -> None:
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180}
    turns |= {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    photo = Image.open("photo.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.transpose(turns[orientation]).save("turned.png", exif=exif)
    untouched(desk, "turned.png")
    with Image.open("result.png") as result:
        assert np.array_equal(np.asarray(result), np.asarray(photo))
        assert result.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_dpi_is_kept(desk: Desk, suffix: str) -> None:
    Image.open("photo.png").save("print.png", dpi=(300, 150))
    desk.stylize(content="print.png", output=f"result.{suffix}")
    with Image.open(f"result.{suffix}") as result:
        assert tuple(map(float, result.info["dpi"])) == pytest.approx((300, 150), abs=0.5)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_resolution_that_cannot_be_is_left_out(desk: Desk, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x011A] = exif[0x011B] = IFDRational(2**32 - 1, 1)  # dots per inch across and down
    Image.open("photo.png").save("print.jpg", exif=exif)
    desk.stylize(content="print.jpg", output=f"result.{suffix}")
    with Image.open(f"result.{suffix}") as result:
        assert max(result.info.get("dpi", (72, 72))) < 1000


def test_the_result_is_tagged_as_srgb(desk: Desk) -> None:
    for suffix in ("jpg", "webp", "tif"):
        desk.stylize(output=f"result.{suffix}")
        with Image.open(f"result.{suffix}") as result:
            assert result.info["icc_profile"] == srgb_profile()
    desk.stylize()
    with Image.open("result.png") as result:
        assert "srgb" in result.info


def test_a_system_without_unix_s_resource_module_can_import_it() -> None:
    line = "import sys; sys.modules['resource'] = None; import brushwork.doctor, brushwork.studio.decoding"
    subprocess.run([sys.executable, "-c", line], check=True)


def test_a_result_a_style_and_a_pair_can_be_painted_from(photo_file: Path, painting_file: Path) -> None:
    options: dict[str, Any] = {"size": 48, "steps": 1, "coarsest": 48}
    picture = bw.read_picture(painting_file)
    plain = bw.stylize(photo_file, painting_file, **options)
    for style in (picture, bw.Style(path=str(painting_file)), (painting_file, 2.0), [(picture, 1.0)]):
        found = bw.stylize(bw.read_picture(photo_file), style, **options)
        assert torch.equal(found.picture.pixels, plain.picture.pixels)
    again = bw.stylize(plain.picture, picture, **options)
    assert again.picture.pixels.shape == plain.picture.pixels.shape


def test_completion_knows_the_door() -> None:
    assert dir(bw) == sorted(bw.__all__)


def test_python_m_is_the_command() -> None:
    line = [sys.executable, "-m", "brushwork", "--version"]
    told = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    assert told.split() == [bw.__version__]
