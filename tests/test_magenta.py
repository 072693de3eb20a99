"""Magenta's network of full width: what TensorFlow computes from the published graphs, and its file."""

from __future__ import annotations

import json
import runpy
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from brushwork.errors import WeightsError
from brushwork.feedforward import magenta
from commands import Desk

EXAMPLE = Path(__file__).parents[1] / "examples" / "magenta_npz.py"

# By TensorFlow 2.21 from the graphs of arbitrary-image-stylization-tfjs (Inception-v3's and the plain
# transformer), with REFLECT padding as in Magenta's source, for the variables and pictures below.
VECTOR_83_107 = [-0.35666, 0.56609, -0.15407, 0.00931, 0.36858, 0.14663, 0.629, 0.68145, 0.00269, -0.44498]
PAINTED_36_52 = np.array([
    0.33424, 0.14474, 0.20192, 0.24665, 0.11706, 0.52005, 0.61138, 0.15079, 0.12254,
    0.38459, 0.12795, 0.13479, 0.38865, 0.13464, 0.14323, 0.49629, 0.14105, 0.12022,
    0.40534, 0.16813, 0.25489, 0.42930, 0.09774, 0.18597, 0.35432, 0.18206, 0.15661,
    0.35833, 0.12148, 0.24836, 0.51671, 0.15283, 0.33121, 0.25403, 0.15586, 0.35472,
]).reshape(3, 4, 3)  # every 12th row and 17th column  # fmt: skip


def made(name: str, *shape: int) -> NDArray[np.float32]:
    """A variable of that name: numbers that depend on nothing else."""
    values = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).standard_normal(shape)
    if name.endswith("variance"):
        values = 0.5 + np.abs(values)
    elif name.endswith(("beta", "mean", "biases")):
        values = 0.1 * values + 0.1 * name.endswith("beta")
    else:
        values *= np.sqrt(2 / np.prod(shape[:-1]))
    return values.astype(np.float32)


def normed(name: str, *kernel: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """A convolution (rows, columns, inputs, outputs) and its batch normalisation."""
    for part, shape in (
        ("weights", kernel),
        *((f"BatchNorm/{each}", kernel[-1:]) for each in ("beta", "moving_mean", "moving_variance")),
    ):
        yield f"{name}/{part}", made(f"{name}/{part}", *shape)


def linear(name: str, *kernel: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """A convolution with a bias."""
    for part, shape in (("weights", kernel), ("biases", kernel[-1:])):
        yield f"{name}/{part}", made(f"{name}/{part}", *shape)


def inception() -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The convolutions as the published graph lists them: branches of NAME outputs, joined by spaces."""
    stem = (
        (3, "Conv2d_1a_3x3 32"),
        (32, "Conv2d_2a_3x3 32"),
        (32, "Conv2d_2b_3x3 64"),
        (64, "Conv2d_3b_1x1 80"),
    )
    for inputs, layer in (*stem, (80, "Conv2d_4a_3x3 192")):
        yield from chain("InceptionV3", inputs, layer)
    fives = "Conv2d_0a_1x1 64 Conv2d_0b_3x3 96 Conv2d_0c_3x3 96"
    for block, inputs, second, pooled in (
        ("5b", 192, "Conv2d_0a_1x1 48 Conv2d_0b_5x5 64", 32),
        ("5c", 256, "Conv2d_0b_1x1 48 Conv_1_0c_5x5 64", 64),
        ("5d", 288, "Conv2d_0a_1x1 48 Conv2d_0b_5x5 64", 64),
    ):
        for number, layers in enumerate(("Conv2d_0a_1x1 64", second, fives, f"Conv2d_0b_1x1 {pooled}")):
            yield from chain(f"InceptionV3/Mixed_{block}/Branch_{number}", inputs, layers)
    halving = "Conv2d_0a_1x1 64 Conv2d_0b_3x3 96 Conv2d_1a_1x1 96"
    for number, layers in enumerate(("Conv2d_1a_1x1 384", halving)):
        yield from chain(f"InceptionV3/Mixed_6a/Branch_{number}", 288, layers)
    for block, n in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        second = f"Conv2d_0a_1x1 {n} Conv2d_0b_1x7 {n} Conv2d_0c_7x1 192"
        third = f"Conv2d_0a_1x1 {n} Conv2d_0b_7x1 {n} Conv2d_0c_1x7 {n} Conv2d_0d_7x1 {n} Conv2d_0e_1x7 192"
        for number, layers in enumerate(("Conv2d_0a_1x1 192", second, third, "Conv2d_0b_1x1 192")):
            yield from chain(f"InceptionV3/Mixed_{block}/Branch_{number}", 768, layers)
    yield from linear("Conv", 1, 1, 768, 100)


def chain(folder: str, inputs: int, layers: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    words = layers.split()
    for name, outputs in zip(words[::2], map(int, words[1::2]), strict=True):
        # In Mixed_6a kernels of 3×3 that halve are called 1×1.
        rows, columns = (3, 3) if "1a" in name else map(int, name.rsplit("_", 1)[1].split("x"))
        yield from normed(f"{folder}/{name}", rows, columns, inputs, outputs)
        inputs = outputs


def transformer(width: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    sizes = ((9, 3, width), (3, width, 2 * width), (3, 2 * width, 4 * width))
    for number, (size, inputs, outputs) in enumerate(sizes, start=1):
        yield from normed(f"transformer/contract/conv{number}", size, size, inputs, outputs)
    layers = [
        (f"residual/residual{block}/conv{part}", 3, 4 * width, 4 * width)
        for block in range(1, 6)
        for part in (1, 2)
    ]
    layers += [
        ("expand/conv1/conv", 3, 4 * width, 2 * width),
        ("expand/conv2/conv", 3, 2 * width, width),
        ("expand/conv3/conv", 9, width, 3),
    ]
    for name, size, inputs, outputs in layers:
        weights = f"transformer/{name}/weights"
        yield weights, made(weights, size, size, inputs, outputs)
        for layer in ("Conv", "Conv_1"):
            yield from linear(f"style_params/transformer/{name}/StyleNorm/{layer}", 1, 1, 100, outputs)


@pytest.fixture(scope="module")
def full() -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in (*inception(), *transformer(32))}


def picture(height: int, width: int) -> Tensor:
    y, x = np.mgrid[0:height, 0:width]
    planes = [(7 * x + 3 * y) % 64 / 63, (x * y) % 50 / 49, (x + y) / (height + width - 2)]
    return torch.from_numpy(np.stack(planes)).float()[None]


def test_it_computes_what_tensorflow_computes(full: dict[str, Tensor]) -> None:
    vector = magenta.predictor(full, "v1")(picture(83, 107))
    assert np.abs(vector[0, :10].numpy() - VECTOR_83_107).max() < 2e-5
    with torch.no_grad():
        painted = magenta.transformer(full, "v1")(picture(36, 52), vector)
    found = painted[0, :, ::12, ::17].permute(1, 2, 0).numpy()
    assert np.abs(found - PAINTED_36_52).max() < 2e-5


@pytest.mark.slow
def test_a_file_of_it_paints_and_is_exported(desk: Desk, full: dict[str, Tensor]) -> None:
    narrow = {name: values for name, values in full.items() if "transformer" not in name}
    arrays: dict[str, Any] = {name: values.numpy() for name, values in narrow.items()}
    arrays |= {"global_step": np.array(7)} | dict(transformer(4))
    np.savez(desk.folder / "narrow.npz", **arrays)
    line = ("photo.png", "--style", "painting.png", "--engine", "feedforward", "--size", "48", "--quiet")
    desk.call("stylize", *line, "-o", "small.png")
    told = desk.call("stylize", *line, "--weights", "narrow.npz", "-o", "wide.png", "--json").json
    assert told["weights"] == "narrow.npz"
    assert not np.array_equal(desk.picture("wide.png"), desk.picture("small.png"))
    desk.call("stylize", "--from", "wide.png", "-o", "again.png", "--quiet")
    assert np.array_equal(desk.picture("again.png"), desk.picture("wide.png"))
    exported = desk.call(
        "export", "--style", "painting.png", "--weights", "narrow.npz", "-o", "m.onnx", "--json"
    ).json
    assert exported["mean_difference"] < 1e-4


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("InceptionV3/Mixed_5c/Branch_1/Conv_1_0c_5x5/weights", None, "no InceptionV3/Mixed_5c"),
        ("InceptionV3/Conv2d_2a_3x3/weights", (1, 1, 32, 32), r"is \(32, 32, 1, 1\), not Inception-v3's"),
        ("InceptionV3/Conv2d_2a_3x3/BatchNorm/beta", (31,), "does not fit its kernel"),
        ("Conv/weights", (1, 1, 768, 99), r"Conv/weights is \(1, 1, 768, 99\)"),
    ],
)
def test_another_predictor_is_refused(
    name: str, shape: tuple[int, ...] | None, told: str, full: dict[str, Tensor]
) -> None:
    changed = {key: values for key, values in full.items() if key != name}
    changed |= {} if shape is None else {name: torch.zeros(shape)}
    with pytest.raises(WeightsError, match=f"v1: .*{told}.*docs/feedforward.md"):
        magenta.predictor(changed, "v1")


def test_another_transformer_is_refused(full: dict[str, Tensor]) -> None:
    first = "transformer/contract/conv1/weights"
    for changed in (
        {name: values for name, values in full.items() if name != first},
        full | {"transformer/expand/conv2/conv/weights": torch.zeros(3, 3, 64, 16)},
        full
        | {"style_params/transformer/expand/conv2/conv/StyleNorm/Conv/biases": torch.tensor([np.nan] * 32)},
    ):
        with pytest.raises(WeightsError, match="v1: "):
            magenta.transformer(changed, "v1")


def test_mistakes_with_the_file_are_one_line(desk: Desk) -> None:
    (desk.folder / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(desk.folder / "objects.npz", a=np.array([{}], dtype=object))
    line = ["stylize", "photo.png", "--style", "painting.png", "--engine", "feedforward", "--weights"]
    assert "cannot be read as .npz" in desk.call(*line, "broken.npz").complaint
    assert "cannot be read as .npz" in desk.call(*line, "gone.npz").complaint
    assert "cannot be read as .npz" in desk.call(*line, "objects.npz").complaint
    assert "is no file for --engine feedforward" in desk.call(*line, "network.safetensors").complaint


def test_the_example_converts_tensorflow_js(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = np.arange(6, dtype="<f4").reshape(2, 3), np.array([0, 128, 255], np.uint8)
    manifest = [
        {"name": "a/weights", "shape": [2, 3], "dtype": "float32"},
        {
            "name": "b",
            "shape": [3],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0},
        },
    ]
    data = first.tobytes() + second.tobytes()
    model = {"weightsManifest": [{"paths": ["1of2", "2of2"], "weights": manifest}]}
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "1of2").write_bytes(data[:10])  # a shard ends anywhere
    (tmp_path / "2of2").write_bytes(data[10:])
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "-o", str(tmp_path / "out.npz")])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    found = magenta.read_variables(tmp_path / "out.npz")
    assert found["a/weights"].tolist() == first.tolist()
    assert found["b"].tolist() == [-1.0, 63.0, 126.5]
