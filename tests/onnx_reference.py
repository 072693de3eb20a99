"""An ONNX graph computed node by node, quantisers and all, as its file has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

Values = list[Tensor]


def largest_gaps(path: Path, feeds: dict[str, NDArray[Any]]) -> tuple[dict[str, float], Tensor]:
    """How far each node is from onnxruntime's, of its largest value, and onnxruntime's result.

    Each is given onnxruntime's own inputs: along the whole graph a value that falls on the other side of a
    quantiser's step moves an 8-bit variance now and then, and with it everything after it.
    """
    model = onnx.load(path)
    graph = model.graph
    results = [node.output[0] for node in graph.node]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    known = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    known |= {name: torch.from_numpy(values) for name, values in feeds.items()}
    theirs = zip(results, session.run(None, feeds), strict=True)
    known |= {name: torch.from_numpy(np.array(values)) for name, values in theirs}
    gaps: dict[str, float] = {}
    for node in graph.node:
        settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        ours = KINDS[node.op_type]([known[name] for name in node.input], settings).float()
        expected = known[node.output[0]].float()
        gap = (ours - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
        gaps[node.output[0]] = max(gaps.get(node.output[0], 0.0), float(gap))
    return gaps, known[results[-1]]


def _shaped(part: Tensor, like: Tensor, settings: dict[str, Any]) -> Tensor:
    """A scale or zero along the axis that it belongs to."""
    if part.ndim == 0:
        return part
    return part.view([-1 if axis == settings.get("axis", 1) else 1 for axis in range(like.ndim)])


def _quantize(inputs: Values, settings: dict[str, Any]) -> Tensor:
    x, scale, zero = inputs
    least, most = torch.iinfo(zero.dtype).min, torch.iinfo(zero.dtype).max
    codes = (x / _shaped(scale, x, settings)).round() + _shaped(zero, x, settings)
    return codes.clamp(least, most).to(zero.dtype)


def _dequantize(inputs: Values, settings: dict[str, Any]) -> Tensor:
    codes, scale, zero = inputs
    shifted = codes.float() - _shaped(zero, codes, settings).float()
    return shifted * _shaped(scale, codes, settings)


def _conv(inputs: Values, settings: dict[str, Any]) -> Tensor:
    top, left, bottom, right = settings.get("pads", [0, 0, 0, 0])
    x = pad(inputs[0], (left, right, top, bottom))
    return conv2d(x, inputs[1], inputs[2], settings["strides"], groups=settings.get("group", 1))


def _pad(inputs: Values, settings: dict[str, Any]) -> Tensor:
    x, margins = inputs[0], inputs[1].tolist()
    pairs = list(zip(margins[: x.ndim], margins[x.ndim :], strict=True))
    return torch.from_numpy(np.pad(x.numpy(), pairs, mode=settings["mode"].decode()))


def _resize(inputs: Values, settings: dict[str, Any]) -> Tensor:
    height, width = (float(scale) for scale in inputs[2][2:])
    return interpolate(inputs[0], scale_factor=(height, width), mode="nearest")


KINDS: dict[str, Callable[[Values, dict[str, Any]], Tensor]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _conv,
    "Pad": _pad,
    "Resize": _resize,
    "Relu": lambda x, _: x[0].relu(),
    "Clip": lambda x, _: x[0].clamp(x[1], x[2]),
    "Sigmoid": lambda x, _: x[0].sigmoid(),
    "Sqrt": lambda x, _: x[0].sqrt(),
    "Reciprocal": lambda x, _: x[0].reciprocal(),
    "Add": lambda x, _: x[0] + x[1],
    "Sub": lambda x, _: x[0] - x[1],
    "Mul": lambda x, _: x[0] * x[1],
    "GlobalAveragePool": lambda x, _: x[0].mean((2, 3), keepdim=True),
    "Reshape": lambda x, _: x[0].reshape(x[1].tolist()),
    "Transpose": lambda x, settings: x[0].permute(settings["perm"]),
}
