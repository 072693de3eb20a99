"""Pictures in one pass: the embedded networks, their fast forms, the engine, files, styles and export."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor, nn

import brushwork as bw
import onnx_reference
from brushwork.encode import to_image
from brushwork.errors import WeightsError
from brushwork.events import Finished, Started, Swept
from brushwork.feedforward import embedded, folded, shelf, sums, tiled
from brushwork.feedforward.engine import predict
from brushwork.feedforward.folded import FoldedNet
from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.plan import ladder
from brushwork.feedforward.runtime import RuntimeNet
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings
from brushwork.feedforward.sums import Sums
from brushwork.fields import build
from brushwork.images import Picture, read_picture, resize
from brushwork.jobs import Stylize
from brushwork.runner import run, sources_of
from commands import Desk

CPU = torch.device("cpu")
ABOUT = Path("/proc/cpuinfo")
PROCESSOR = set(ABOUT.read_text(encoding="utf-8").split()) if ABOUT.is_file() else set[str]()


def original(name: str) -> Any:
    """A session on the file as it is, nothing optimised."""
    return onnx_reference.session(str(embedded.file_of(name)))


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    return resize(read_picture(data.astronaut()).pixels, 384, 384, "lanczos")


@pytest.fixture(scope="module")
def coffee() -> Tensor:
    return resize(read_picture(data.coffee()[:, 100:500]).pixels, 256, 256, "lanczos")


@pytest.fixture(scope="module")
def vector(coffee: Tensor) -> Tensor:
    return predict(coffee)


def last_first(pixels: Tensor) -> NDArray[np.float32]:
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


# ------------------------------------------------------------------------------- the embedded networks


def test_a_painting_has_the_style_vector_that_the_file_gives_it(coffee: Tensor) -> None:
    (expected,) = original("arbitrary_predict").run(None, {"style_image": last_first(coffee)})
    found, expected = predict(coffee).numpy(), expected.reshape(-1)
    assert np.corrcoef(found, expected)[0, 1] > 0.999  # what is left are the 8-bit activations
    assert np.abs(found - expected).mean() < 0.02


def feeds_of(content: Tensor, vector: Tensor) -> dict[str, NDArray[Any]]:
    content_name, vector_name = (each.name for each in original("arbitrary_transform").get_inputs())
    return {content_name: last_first(content), vector_name: vector.numpy().reshape(1, 1, 1, 100)}


@pytest.mark.slow
def test_the_transformer_is_the_files(astronaut: Tensor, vector: Tensor) -> None:
    feeds = feeds_of(astronaut, vector)
    (expected,) = original("arbitrary_transform").run(None, feeds)
    with torch.no_grad():
        ours = last_first(embedded.load_arbitrary()(astronaut, vector[None]))
    assert np.abs(ours - expected).mean() <= 0.03  # what the activations' quantisers make
    gaps = onnx_reference.largest_gaps(embedded.file_of("arbitrary_transform"), feeds)
    assert max(gaps.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif("fma" not in PROCESSOR, reason="sums are in the order of x86-64 with fused products")
@pytest.mark.parametrize("content, style", [("astronaut", "coffee"), ("coffee", "chelsea")])
def test_with_its_quantisers_the_transformer_paints_what_onnxruntime_paints(
    content: str, style: str, tmp_path: Path
) -> None:
    def picture(name: str, side: int) -> Tensor:
        return resize(read_picture(getattr(data, name)()).pixels, side, side, "lanczos")

    path = embedded.file_of("arbitrary_transform")
    feeds = feeds_of(picture(content, 384), predict(picture(style, 256)))
    (plain,) = original("arbitrary_transform").run(None, feeds)
    assert np.abs(onnx_reference.painted(path, feeds).numpy() - plain).mean() <= 0.005
    if not PROCESSOR & {"avx512_vnni", "avx_vnni"}:
        return  # the fused steps' sums of integers are not exact
    # By default some steps are fused, which moves a variance of the second pair and its picture by 0.013.
    (expected,) = onnx_reference.session(str(path), optimised=True).run(None, feeds)
    fused = onnx_reference.fused(path, tmp_path)
    assert np.abs(onnx_reference.painted(fused, feeds).numpy() - expected).mean() <= 0.005


def test_the_26_styles_are_the_files(astronaut: Tensor) -> None:
    small = astronaut[..., :128, :96].contiguous()
    weights = np.zeros(26, np.float32)
    weights[[3, 19]] = 0.25, 0.75
    (expected,) = original("multistyle26").run(None, {"image": small.numpy(), "style_weights": weights})
    ours = embedded.load_multistyle()(small, torch.from_numpy(weights)[None]).numpy()
    assert np.abs(ours - expected).max() < 1e-4


def test_another_file_in_the_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "FILES", {**embedded.FILES, "multistyle26": "0" * 64})
    with pytest.raises(WeightsError, match=r"carries another multistyle26.onnx.*--force-reinstall"):
        embedded.load_multistyle()


# ----------------------------------------------------------------------------------- the fast forms

BUILDS = st.builds(
    StyleNetSettings,
    down=st.tuples(*[st.integers(3, 9)] * 3),
    blocks=st.integers(0, 2),
    up=st.tuples(*[st.integers(3, 9)] * 2),
    kernel=st.sampled_from([3, 5, 7, 9]),
    depthwise=st.booleans(),
    down_norm=st.booleans(),
    output_norm=st.booleans(),
    output=st.sampled_from(["sigmoid", "linear"]),
    conditions=st.sampled_from([(), ("strength",)]),
)


def random_network(build_of: StyleNetSettings) -> tuple[StyleNet, Tensor | None]:
    torch.manual_seed(1)
    network = StyleNet(build_of).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "norm" in name:
            parameter.uniform_(0.3, 1)
    return network, torch.tensor([0.7]) if build_of.conditions else None


def picture_of(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def drained(sweep: Generator[None, None, Tensor]) -> tuple[Tensor, int]:
    count = 0
    while True:
        try:
            next(sweep)
        except StopIteration as stop:
            return stop.value, count
        count += 1


@settings(max_examples=25, deadline=None)
@given(BUILDS, st.integers(4, 12), st.integers(4, 12), st.integers(16, 40))
def test_every_form_paints_what_the_network_paints(
    build_of: StyleNetSettings, rows: int, columns: int, side: int
) -> None:
    network, condition = random_network(build_of)
    photo = picture_of(4 * rows, 4 * columns)
    theirs = RuntimeNet(network, 1).paint(photo, condition)
    # In float64, since a channel that is nearly even is stretched with all its rounding.
    network.double()
    doubled = None if condition is None else condition.double()
    expected = network(photo.double(), None if doubled is None else doubled[None]).clamp(0, 1).float()
    folded = FoldedNet(network, CPU, torch.float64)
    affines = folded.affines(doubled)
    torch.testing.assert_close(folded.paint(photo, affines), expected, atol=1e-5, rtol=0)
    in_tiles, steps = drained(tiled.paint(folded, photo, affines, side))
    torch.testing.assert_close(in_tiles, expected, atol=1e-5, rtol=0)
    assert float((theirs - expected).abs().mean()) < 0.02
    assert steps == tiled.steps(folded, 4 * rows, 4 * columns, side)


@pytest.mark.slow
def test_sums_over_millions_of_positions_keep_their_digits() -> None:
    made = torch.rand(1, 16, 3000, 2000, generator=torch.Generator().manual_seed(0))
    features = (3 * made + 1).to(memory_format=torch.channels_last)
    added = Sums()
    added.add(features)
    found, expected = added.moments(torch.float64), features.double()
    torch.testing.assert_close(found.mean, expected.mean((0, 2, 3)), atol=0, rtol=1e-5)
    torch.testing.assert_close(found.variance, expected.var((0, 2, 3), correction=0), atol=0, rtol=5e-4)


def test_one_piece_and_tiles_measure_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    network, condition = random_network(StyleNetSettings.of_width(4, blocks=1, output_norm=True))
    net, photo = FoldedNet(network, CPU), picture_of(64, 96)
    affines = net.affines(condition)
    plain = net.paint(photo, affines)
    monkeypatch.setattr(folded, "MANY", 100)
    monkeypatch.setattr(sums, "STRIP", 200)
    torch.testing.assert_close(net.paint(photo, affines), plain, atol=1e-5, rtol=0)


# ------------------------------------------------------------------------------------------ the engine


def job_of(*styles: str, **options: Any) -> Stylize:
    given = {"content": "photo.png", "styles": styles or ["painting.png"], "engine": "feedforward"}
    return build(Stylize, given | {"size": 48, "threads": 1, "device": "cpu"} | options)


def painted(desk: Desk, *styles: str, **options: Any) -> Tensor:
    job = job_of(*styles, **options)
    *_, last = run(job)
    assert isinstance(last, Finished)
    return last.picture.pixels


def test_events_are_honest(desk: Desk) -> None:
    started, finished = run(job_of())
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.width, started.height, started.evaluations, finished.evaluations) == (48, 36, 0, 0)
    assert finished.picture.pixels.shape == (1, 3, 36, 48)
    assert math.isnan(finished.losses.total)
    in_tiles = list(run(job_of(size=200, tile=64)))
    swept = [event for event in in_tiles if isinstance(event, Swept)]
    assert [event.done for event in swept] == list(range(1, swept[0].parts + 1))


def test_tiles_make_the_same_picture(desk: Desk) -> None:
    whole = painted(desk, size=160, stroke_size=100)
    assert float((painted(desk, size=160, tile=64) - whole).abs().max()) < 2e-3


def test_both_backends_make_the_same_picture(desk: Desk) -> None:
    torchs, theirs = (painted(desk, backend=name) for name in ("torch", "onnxruntime"))
    assert float((torchs - theirs).abs().max()) < 1e-3


def test_strength_goes_from_the_photos_own_style_to_the_paintings(desk: Desk) -> None:
    none, half, whole = (painted(desk, strength=value) for value in (0, 0.5, 1))
    own = painted(desk, "photo.png")
    assert float((none - own).abs().mean()) < 0.02  # but for the size at which the photo is looked at
    assert float((none - whole).abs().mean()) > 0.02
    assert float((half - none).abs().mean()) < float((whole - none).abs().mean())


def test_built_in_styles_blend_and_fade(desk: Desk, photo: Tensor) -> None:
    first, second = painted(desk, "builtin:1"), painted(desk, "builtin:7")
    both = painted(desk, "builtin:1", "builtin:7")
    assert torch.equal(both, painted(desk, "builtin:7:2", "builtin:1:2"))
    assert float((first - second).abs().mean()) > 0.05
    assert float((both - first).abs().mean()) > 0.02
    shown = resize(photo, 36, 48, "lanczos")
    assert float((painted(desk, "builtin:7", strength=0) - shown).abs().max()) < 1e-5


def test_paintings_blend_by_weight(desk: Desk) -> None:
    Image.fromarray(data.coffee()).resize((96, 64)).save(desk.folder / "coffee.png")
    one, other = painted(desk, "painting.png"), painted(desk, "coffee.png")
    mostly = painted(desk, "painting.png:9", "coffee.png:1")
    assert float((mostly - one).abs().mean()) < float((mostly - other).abs().mean())


def test_colours_are_the_other_engines(desk: Desk) -> None:
    from brushwork.colour import to_oklab

    shown = to_oklab(resize(read_picture("photo.png").pixels, 36, 48, "lanczos"))
    kept = to_oklab(painted(desk, "builtin:7", color="content"))
    free = to_oklab(painted(desk, "builtin:7"))
    assert float((kept - shown)[:, 1:].abs().mean()) < 0.5 * float((free - shown)[:, 1:].abs().mean())
    for color in ("luminance", "match", "histogram", "lock"):
        assert float((painted(desk, color=color) - painted(desk)).abs().mean()) > 1e-3


def test_strokes_are_as_broad_at_every_size() -> None:
    def sizes(size: int, percent: float) -> list[tuple[int, int]]:
        return ladder(job_of(stroke_size=percent), (size // 2, size), StyleNetSettings())

    assert sizes(512, 100) == [(256, 512)]
    assert sizes(640, 100) == [(320, 640)]
    assert sizes(2048, 100) == [(256, 512), (512, 1024), (1024, 2048)]
    assert sizes(512, 200) == [(128, 256), (256, 512)]
    assert sizes(512, 50) == [(512, 1024)]
    large = StyleNetSettings(natural=1024)  # learnt for pictures of that size
    assert ladder(job_of(), (512, 1024), large) == [(512, 1024)]
    assert ladder(job_of(), (256, 512), large) == [(512, 1024)]


def test_a_network_is_told_the_strokes_that_it_knows() -> None:
    def sizes(percent: float, size: int = 512) -> list[tuple[int, int]]:
        settings = StyleNetSettings(conditions=("stroke_size",))
        return ladder(job_of(stroke_size=percent), (size // 2, size), settings)

    assert sizes(200) == sizes(50) == [(256, 512)]
    assert sizes(100, 1024) == [(512, 1024)]  # twice as many pixels, twice as broad
    assert sizes(400) == [(128, 256), (256, 512)]
    assert sizes(25) == [(512, 1024)]


def test_a_painting_is_looked_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.clear()
    first = bw.stylize("photo.png", "painting.png", engine="feedforward", size=48)
    monkeypatch.setattr(shelf, "predictor", None)  # would fail if it were asked again
    again = bw.stylize("photo.png", "painting.png", engine="feedforward", size=48)
    assert torch.equal(first.picture.pixels, again.picture.pixels)
    (desk.folder / "painting.png").write_bytes((desk.folder / "photo.png").read_bytes())
    with pytest.raises(TypeError):  # another painting under the same name
        bw.stylize("photo.png", "painting.png", engine="feedforward", size=48)


@pytest.mark.parametrize("kind", ["image", "array", "tensor", "bytes"])
def test_pictures_in_memory_are_told_apart(kind: str, desk: Desk, painting: Tensor) -> None:
    def as_kind(pixels: Tensor) -> Any:
        image = to_image(pixels)
        array = np.asarray(image)
        file = desk.folder / "kind.png"
        image.save(file)
        tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
        return {"image": image, "array": array, "tensor": tensor, "bytes": file.read_bytes()}[kind]

    def result(pixels: Tensor) -> Tensor:
        return bw.stylize("photo.png", as_kind(pixels), engine="feedforward", size=48).picture.pixels

    assert torch.equal(result(painting), painted(desk))
    assert not torch.equal(result(painting.flip(1)), painted(desk))


def test_alpha_is_kept_and_odd_sizes_too(photo: Tensor) -> None:
    alpha = torch.ones(1, 1, 48, 64)
    alpha[..., :10] = 0
    job = job_of("builtin:3", size=51)
    sources = sources_of(job, torch.cat([photo, alpha], 1), ["builtin:3"])
    *_, last = run(job, sources)
    assert isinstance(last, Finished)
    assert last.picture.pixels.shape == (1, 3, 38, 51)
    assert last.picture.alpha is not None
    assert isinstance(last.picture, Picture)


def test_optimising_can_start_from_the_pass(desk: Desk) -> None:
    started = desk.painted(init="feedforward", steps=1, strength=0.5)
    assert not np.array_equal(started, desk.painted(init="content", steps=1, strength=0.5))


# --------------------------------------------------------------------------------------------- files


class Example(nn.Module):
    """PyTorch's example fast_neural_style, written down anew: pictures in 0..255."""

    def __init__(self) -> None:
        super().__init__()
        for name, (inputs, outputs, kernel) in {
            "conv1": (3, 4, 9), "conv2": (4, 8, 3), "conv3": (8, 16, 3),
            "deconv1": (16, 8, 3), "deconv2": (8, 4, 3), "deconv3": (4, 3, 9),
        }.items():  # fmt: skip
            self.add_module(name, self._layer(inputs, outputs, kernel))
        for index, width in enumerate((4, 8, 16, 8, 4), start=1):
            self.add_module(f"in{index}", nn.InstanceNorm2d(width, affine=True))
        block = nn.Module()
        for part in (1, 2):
            block.add_module(f"conv{part}", self._layer(16, 16, 3))
            block.add_module(f"in{part}", nn.InstanceNorm2d(16, affine=True))
        self.add_module("res1", block)

    @staticmethod
    def _layer(inputs: int, outputs: int, kernel: int) -> nn.Module:
        layer = nn.Module()
        layer.add_module("conv2d", nn.Conv2d(inputs, outputs, kernel))
        return layer

    def _through(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        conv = self.get_submodule(f"{name}.conv2d")
        assert isinstance(conv, nn.Conv2d)
        x = nn.functional.pad(x, (conv.kernel_size[0] // 2,) * 4, "reflect")
        return nn.functional.conv2d(x, conv.weight, conv.bias, stride)

    def forward(self, x: Tensor) -> Tensor:
        for name, stride in (("1", 1), ("2", 2), ("3", 2)):
            x = self.get_submodule(f"in{name}")(self._through(f"conv{name}", x, stride)).relu()
        inner = self.get_submodule("res1.in1")(self._through("res1.conv1", x)).relu()
        x = x + self.get_submodule("res1.in2")(self._through("res1.conv2", inner))
        for name, norm in (("1", "4"), ("2", "5")):
            x = nn.functional.interpolate(x, scale_factor=2.0)
            x = self.get_submodule(f"in{norm}")(self._through(f"deconv{name}", x)).relu()
        return self._through("deconv3", x)


@pytest.fixture
def example(desk: Desk) -> Example:
    torch.manual_seed(3)
    network = Example().eval()
    for parameter in network.parameters():
        parameter.data.add_(0.1)
    state = network.state_dict()
    state |= {"in1.running_mean": torch.zeros(4), "in1.running_var": torch.ones(4)}
    torch.save(state, desk.folder / "example.pth")
    return network


def test_pytorchs_example_networks_are_read(desk: Desk, example: Example, photo: Tensor) -> None:
    from brushwork.feedforward.files import read_network

    with torch.no_grad():
        expected = example(255 * photo) / 255
        torch.testing.assert_close(read_network(Path("example.pth"))(photo), expected, atol=1e-4, rtol=1e-3)
    job = job_of("example.pth", size=64)
    assert painted(desk, "example.pth", size=64).shape == (1, 3, 48, 64), job


def test_a_trained_network_paints(desk: Desk) -> None:
    names = ("strength", "stroke_size")
    network = StyleNet(StyleNetSettings.of_width(4, blocks=1, conditions=names))
    for name, parameter in network.named_parameters():
        if name.endswith("_by"):
            parameter.data.normal_(0, 0.5)
    (desk.folder / "net.safetensors").write_bytes(to_bytes(network))
    plain = painted(desk, "net.safetensors")
    assert not torch.equal(plain, painted(desk, "net.safetensors", strength=0.2))
    assert not torch.equal(plain, painted(desk, "net.safetensors", stroke_size=200))


# ------------------------------------------------------------------------------------- the command line

ONE_PASS = {
    "engine": "feedforward", "coarsest": None, "init": None, "steps": None, "scales": None,
    "content_layers": None, "style_layers": None, "weights": None,
}  # fmt: skip


def test_json_has_no_losses(desk: Desk) -> None:
    told = desk.stylize(**ONE_PASS).json
    assert told["engine"] == "feedforward"
    assert told["evaluations"] == 0
    assert told["losses"] == {"total": None, "content": None, "style": None, "tv": None}
    assert desk.outputs() == ["result.png"]
    assert desk.again("result.png").json["engine"] == "feedforward"
    assert np.array_equal(desk.picture("again.png"), desk.picture("result.png"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 3}, "--steps says how pixels are optimised"),
        ({"styles": ["builtin:26"]}, "builtin:0 to builtin:25"),
        ({"styles": ["builtin:1", "painting.png"]}, "cannot be blended"),
        ({"styles": ["builtin:1"], "engine": "optimize"}, "add --engine feedforward"),
        ({"styles": ["builtin:1"], "color": "match"}, "needs a painting's colours"),
        ({"styles": ["builtin:1"], "comparison": "c.png"}, "--comparison shows a painting"),
        ({"styles": ["gone.pth"]}, "no such file"),
        ({"styles": ["network.safetensors"]}, "another network"),
        ({"trace": "t.jsonl"}, "--trace shows steps"),
        ({"run_dir": "run"}, "--run-dir shows steps"),
        ({"tile": 64, "size": 160, "backend": "onnxruntime"}, "in one piece"),
        ({"size": 2048, "memory": "500MB"}, "needs"),
        ({"rows": 16, "size": None, "content": "wide.png"}, "longer than"),
    ],
)
def test_mistakes_are_one_line(options: dict[str, Any], told: str, desk: Desk) -> None:
    Image.new("RGB", (640, 16)).save(desk.folder / "wide.png")
    assert told in desk.stylize(**{**ONE_PASS, "json": None, **options}).complaint


def test_pickles_that_run_code_are_refused(desk: Desk) -> None:
    torch.save({"model": Path("x")}, desk.folder / "code.pth")
    outcome = desk.stylize(**{**ONE_PASS, "styles": ["code.pth"], "json": None})
    assert "can run code" in outcome.complaint


@pytest.mark.slow
def test_the_sheet_shows_all_styles(desk: Desk) -> None:
    assert "builtin:25" in desk.call("styles").out
    assert "photo.png" not in desk.call("styles", "photo.png", "-o", "sheet.png", "--quiet").err
    assert desk.picture("sheet.png").shape[1] > 7 * 256
    assert "exists" in desk.call("styles", "photo.png", "-o", "sheet.png").complaint
    assert "-o" in desk.call("styles", "photo.png").complaint


@pytest.mark.parametrize("style", ["painting.png", "builtin:4", "example.pth"])
@pytest.mark.parametrize("numbers", ["float32", "float16", "int8"])
def test_an_exported_style_paints_the_same(style: str, numbers: str, desk: Desk, example: Example) -> None:
    line = ("export", "--style", style, "--numbers", numbers, "-o", "model.onnx", "--json")
    told = desk.call(*line).json
    assert told["mean_difference"] < {"float32": 1e-4, "float16": 0.01, "int8": 0.03}[numbers]
    assert told["bytes"] == (desk.folder / "model.onnx").stat().st_size
    photo = read_picture("photo.png").pixels[..., :45, :62].contiguous()
    session = ort.InferenceSession(str(desk.folder / "model.onnx"))
    (found,) = session.run(None, {"photo": photo.numpy()})
    to_image(photo).save(desk.folder / "cut.png")
    expected = painted(desk, style, content="cut.png", size="original", stroke_size=100 * 512 / 62)
    # The engine's plan has a tolerance for sizes; at this stroke size it paints the photo as it is.
    assert np.abs(found - expected.numpy()).mean() < told["mean_difference"] + 0.01


def test_export_says_what_is_wrong(desk: Desk) -> None:
    assert "--style ART is missing" in desk.call("export", "-o", "m.onnx").complaint
    assert ".onnx" in desk.call("export", "--style", "builtin:1", "-o", "m.bin").complaint
    line = ("export", "--style", "builtin:1", "--style", "painting.png", "-o", "m.onnx")
    assert "cannot be blended" in desk.call(*line).complaint
    assert desk.outputs() == []


# ------------------------------------------------------------------------------------------------ plan


def test_plan_foretells_passes(desk: Desk) -> None:
    line = ["plan", "photo.png", "--style", "builtin:3", "--engine", "feedforward", "--threads", "1"]
    found = desk.call(*line, "--size", "1024", "--json").json
    assert (found["width"], found["height"], found["evaluations"]) == (1024, 768, 0)
    assert [(s["width"], s["tile"]) for s in found["scales"]] == [(512, None), (1024, None)]
    assert found["seconds"] > found["scales"][1]["seconds"] > 2 * found["scales"][0]["seconds"] > 0
    assert found["peak_memory_bytes"] == found["scales"][1]["peak_memory_bytes"]
    small = desk.call(*line, "--size", "64", "--json").json
    assert (small["width"], small["height"], small["scales"][0]["width"]) == (64, 48, 512)
    told = desk.call(*line, "--size", "1024", "--tile", "256")
    assert "passes" in told.out and "steps" not in told.out
    assert "512×384" in told.out and "tiles of 256 px" in told.out
    assert "GB of memory at most" in told.err and "torch" in told.err
    assert "needs" in desk.call(*line, "--size", "9000", "--memory", "500MB").complaint
    assert desk.outputs() == []
