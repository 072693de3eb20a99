"""An ONNX graph computed node by node, quantisers and all, as its file has it and onnxruntime adds it up.

Every activation is rounded to 8 bits, a layer's variances too. A float32 sum in another order now and then
rounds to the neighbouring code; such a variance changes a whole channel, and with it everything after it.
Sums are therefore added in the order of onnxruntime's kernels for x86-64 (its library MLAS).
"""

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
Feeds = dict[str, NDArray[Any]]


def painted(path: Path, feeds: Feeds) -> Tensor:
    """The whole graph from its inputs alone: what its last node makes."""
    graph = onnx.load(path).graph
    known = _given(graph, feeds)
    for node in graph.node:
        known[node.output[0]] = _computed(node, known)
    return known[graph.output[0].name]


def largest_gaps(path: Path, feeds: Feeds) -> dict[str, float]:
    """How far each node is from onnxruntime's, of its largest value, each given onnxruntime's own inputs."""
    model = onnx.load(path)
    graph = model.graph
    results = [node.output[0] for node in graph.node]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in results)
    theirs = zip(results, session(model.SerializeToString()).run(None, feeds), strict=True)
    known = _given(graph, feeds) | {name: torch.from_numpy(np.array(values)) for name, values in theirs}
    gaps: dict[str, float] = {}
    for node in graph.node:
        ours, expected = _computed(node, known).float(), known[node.output[0]].float()
        gap = (ours - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
        gaps[node.output[0]] = max(gaps.get(node.output[0], 0.0), float(gap))
    return gaps


def session(model: str | bytes, *, optimised: bool = False) -> Any:
    """A session of one thread on a file's path or its bytes: the graph as it is, or optimised."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options)


def fused(path: Path, folder: Path) -> Path:
    """A file in `folder` with the graph that onnxruntime makes of another: some steps work on 8-bit codes.

    The default level changes the layout besides, not the numbers.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / f"fused_{path.name}")
    options.log_severity_level = 3  # it warns that such a file suits this machine only
    ort.InferenceSession(str(path), options)
    return Path(options.optimized_model_filepath)


def _given(graph: Any, feeds: Feeds) -> dict[str, Tensor]:
    """The graph's constants and inputs by name."""
    known = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    return known | {name: torch.from_numpy(values) for name, values in feeds.items()}


def _computed(node: Any, known: dict[str, Tensor]) -> Tensor:
    settings = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    return KINDS[node.op_type]([known[name] for name in node.input], settings)


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
    """A convolution of one picture in one group, as MLAS adds it up: sums of 128 taps, these, then the bias.

    A tap's product is added without being rounded itself, which float64 does for factors in float32. MLAS has
    another order for a single position, a style's scale or offset: there this is off by a few bits.
    """
    top, left, bottom, right = settings.get("pads", [0, 0, 0, 0])
    (down, across), kernel = settings["strides"], inputs[1].double()
    x = pad(inputs[0].double(), (left, right, top, bottom))[0]
    windows = x.unfold(1, kernel.shape[2], down).unfold(2, kernel.shape[3], across)  # (C, H, W, kh, kw)
    taps = [(c, i, j) for c in range(len(x)) for i in range(kernel.shape[2]) for j in range(kernel.shape[3])]
    total = torch.zeros(len(kernel), *windows.shape[1:3])
    for first in range(0, len(taps), 128):
        part = torch.zeros_like(total)
        for c, i, j in taps[first : first + 128]:
            part = part.double().addcmul_(kernel[:, c, i, j, None, None], windows[c, :, :, i, j]).float()
        total += part
    return (total + inputs[2][:, None, None])[None]


def _mean(inputs: Values, _: dict[str, Any]) -> Tensor:
    """The mean over positions, as MLAS adds it up: every fourth value in turn, then the four sums."""
    lanes = inputs[0].flatten(2).unflatten(2, (-1, 4)).numpy()
    sums = torch.from_numpy(np.add.accumulate(lanes, axis=2, dtype=np.float32)[:, :, -1])
    mean = ((sums[..., 0] + sums[..., 2]) + (sums[..., 1] + sums[..., 3])) / (lanes.shape[2] * 4)
    return mean[..., None, None]


def _conv_of_codes(inputs: Values, settings: dict[str, Any]) -> Tensor:
    """Sums of whole numbers, exact in any order, and the scales after that."""
    x, x_scale, x_zero, kernel, scales, zeros, y_scale, y_zero, bias = inputs
    weights = kernel.double() - zeros[:, None, None, None]
    sums = conv2d(x.double() - x_zero, weights, bias.double(), settings["strides"]).float()
    return _quantize([sums * (x_scale * scales / y_scale)[:, None, None], torch.ones(()), y_zero], {})


def _mean_of_codes(inputs: Values, _: dict[str, Any]) -> Tensor:
    x, x_scale, x_zero, y_scale, y_zero = inputs
    sums = (x.int() - x_zero).sum((2, 3), keepdim=True).float()
    return _quantize([sums * (x_scale / (y_scale * x[0, 0].numel())), torch.ones(()), y_zero], {})


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
    "Sqrt": lambda x, _: x[0].double().sqrt().float(),  # torch's own is off by a bit now and then
    "Reciprocal": lambda x, _: x[0].reciprocal(),
    "Add": lambda x, _: x[0] + x[1],
    "Sub": lambda x, _: x[0] - x[1],
    "Mul": lambda x, _: x[0] * x[1],
    "GlobalAveragePool": _mean,
    "QLinearConv": _conv_of_codes,
    "QLinearGlobalAveragePool": _mean_of_codes,
    "QLinearAdd": lambda x, _: _quantize([_dequantize(x[:3], {}) + _dequantize(x[3:6], {}), *x[6:]], {}),
    "QLinearMul": lambda x, _: _quantize([_dequantize(x[:3], {}) * _dequantize(x[3:6], {}), *x[6:]], {}),
    "Reshape": lambda x, _: x[0].reshape(x[1].tolist()),
    "Transpose": lambda x, settings: x[0].permute(settings["perm"]),
}
