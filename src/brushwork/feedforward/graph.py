"""A network as an ONNX graph: for onnxruntime here, and for export to other programs.

The graph is the folded one (see ``kernels``), of any height and width, one picture at a time, channels first.
Folded channels are ordered by channel and then by pixel, so that a normalisation sees a channel's pixels in a
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brushwork.feedforward.kernels import doubling, folding, halving, kernel_of, staying
from brushwork.feedforward.stylenet import EPSILON, Stage, StyleNet

OPSET: Final = 17
INPUT, OUTPUT = "photo", "painting"
PICTURE: Final = [1, 3, "height", "width"]


class Graph:
    """Nodes and constants that are being put together."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def constant(self, name: str, values: Tensor | NDArray[Any] | list[int] | np.float32) -> str:
        """A constant; the same name is made once."""
        if isinstance(values, Tensor):
            values = values.detach().float().cpu().contiguous().numpy()
        self.constants.setdefault(name, np.asarray(values))
        return name

    def add(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, which bears its name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def padded(self, name: str, x: str, margins: tuple[int, ...], mode: str) -> str:
        """A picture with a margin: top, left, bottom, right."""
        top, left, bottom, right = margins
        amounts = self.constant(
            "_".join(["margin", *map(str, margins)]), [0, 0, top, left, 0, 0, bottom, right]
        )
        return self.add("Pad", name, x, amounts, mode=mode)


def make_model(
    network: StyleNet,
    condition: Tensor | None = None,
    about: Mapping[str, str] | None = None,
    *,
    fixed: bool = True,
) -> Any:
    """The network under conditions (n) as an ONNX model from ``photo`` to ``painting``.

    Both are (1, 3, height, width), RGB, 0..1; ``about`` is written into it. Unless ``fixed``, γ and β of each
    normalisation are inputs, named as ``affines`` names them, and sides are multiples of 4.
    """
    from onnx import TensorProto, helper, numpy_helper

    def described(name: str, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = Graph()
    if fixed:
        _cropped(graph, _build(graph, network, _filled_up(graph)))
    else:
        graph.add("Identity", OUTPUT, _build(graph, network, INPUT))
    given = affines(network, condition)
    inputs = [described(INPUT, PICTURE)]
    if fixed:
        for name, values in given.items():
            graph.constant(name, values)
    else:
        inputs += [described(name, list(values.shape)) for name, values in given.items()]
    stored = [numpy_helper.from_array(values, name) for name, values in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "brushwork", inputs, [described(OUTPUT, PICTURE)], stored)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="brushwork")
    model.ir_version = 8  # what onnxruntime has read for years
    helper.set_model_props(model, dict(about or {}))
    return model


@torch.no_grad()
def affines(network: StyleNet, condition: Tensor | None) -> dict[str, Tensor]:
    """γ and β, (C), of each normalisation under conditions (n), by the names of the graph's inputs."""
    found: dict[str, Tensor] = {}
    for name, stage in network.named_modules():
        if isinstance(stage, Stage) and stage.norm is not None:
            pair = stage.norm.affine(None if condition is None else condition[None])
            found |= {
                f"{name}.{kind}": part.flatten() for kind, part in zip(("gamma", "beta"), pair, strict=True)
            }
    return found


def _filled_up(graph: Graph) -> str:
    """The photo, mirrored beyond its lower and right edge until its sides are multiples of 4."""
    size = graph.add("Shape", "photo.size", INPUT, start=2, end=4)
    rest = graph.add(
        "Mod", "photo.rest", graph.add("Neg", "photo.negative", size), graph.constant("four", [4])
    )
    margins = graph.add("Concat", "photo.margins", graph.constant("none", [0] * 6), rest, axis=0)
    return graph.add("Pad", "photo.filled", INPUT, margins, mode="reflect")


def _cropped(graph: Graph, x: str) -> None:
    """The painting at the photo's size."""
    begin, axes = graph.constant("begin", [0, 0]), graph.constant("axes", [2, 3])
    graph.add("Slice", OUTPUT, x, begin, "photo.size", axes)


def _build(graph: Graph, network: StyleNet, photo: str) -> str:
    """The stages one after the other; gives the name of the last one's output."""
    stages = {name: stage for name, stage in network.named_modules() if isinstance(stage, Stage)}
    x = _first(graph, photo, stages["down.0"])
    x = graph.padded("down.1.pad", x, (1, 1, 0, 0), "edge")
    weight = halving(kernel_of(stages["down.1"])[0]).movedim(3, 1).flatten(1, 3)
    x = _finish(graph, "down.1", _convolved(graph, "down.1", x, stages["down.1"], weight), stages["down.1"])
    x = _plain(graph, "down.2", x, stages["down.2"])
    for index in range(network.settings.blocks):
        inner = x
        for name in (f"blocks.{index}.first", f"blocks.{index}.second"):
            inner = _plain(graph, name, inner, stages[name])
        x = graph.add("Add", f"blocks.{index}", x, inner)
    for name in ("up.0", "up.1"):
        x = graph.padded(f"{name}.pad", x, (1, 1, 1, 1), "edge")
        weight = doubling(kernel_of(stages[name])[0]).movedim(2, 0).flatten(0, 2)
        x = _convolved(graph, name, x, stages[name], weight)
        x = _finish(graph, name, x, stages[name], folded=True)
        if name == "up.0":
            x = graph.add("DepthToSpace", f"{name}.unfolded", x, blocksize=2, mode="CRD")
    return _last(graph, x, stages["last"])


def _first(graph: Graph, photo: str, stage: Stage) -> str:
    kernel = kernel_of(stage)[0]
    margin = kernel.shape[-1] // 2
    x = graph.padded("down.0.pad", photo, (margin,) * 4, "reflect")
    x = graph.add("SpaceToDepth", "down.0.folded", x, blocksize=2)
    # SpaceToDepth counts the channels of a pixel first.
    weight = folding(kernel).movedim(2, 0).flatten(3, 5).flatten(0, 2)
    return _finish(graph, "down.0", _convolved(graph, "down.0", x, stage, weight), stage, folded=True)


def _last(graph: Graph, x: str, stage: Stage) -> str:
    weight = staying(kernel_of(stage)[0]).movedim(2, 0).movedim(5, 3)
    x = _mirrored(graph, x, weight.shape[-1] // 2, stage.inputs)
    x = _convolved(graph, "last", x, stage, weight.flatten(3, 5).flatten(0, 2))
    x = _finish(graph, "last", x, stage, folded=True)
    x = graph.add("DepthToSpace", "last.unfolded", x, blocksize=2, mode="CRD")
    if stage.activation == "sigmoid":
        return x
    ends = [graph.constant(f"last.{end}", np.float32(value)) for end, value in (("black", 0), ("white", 1))]
    return graph.add("Clip", "last.clipped", x, *ends)


def _mirrored(graph: Graph, x: str, margin: int, channels: int) -> str:
    """Folded features with ``margin`` more on each side: the unfolded ones' reflection (see ``folded``).

    A strip of the margin is the edge's squares in reverse, of upper and lower pixels from one further in.
    """
    for axis, shape in ((2, (1, 2, 1)), (3, (1, 1, 2))):
        # Whether a channel is of an upper pixel, or of a left one.
        first = (np.arange(2) == 0).reshape(shape) & np.ones((channels, 2, 2), bool)
        first = graph.constant(f"mirror.{axis}.first", first.reshape(1, -1, 1, 1))

        def strip(
            name: str, begins: tuple[int, int], axis: int = axis, first: str = first, x: str = x
        ) -> str:
            parts: list[str] = []
            for kind, begin in zip(("first", "second"), begins, strict=True):
                # Backwards to before the first position there is an end below all that counts from the end.
                end = begin - margin if begin < 0 or begin >= margin else np.iinfo(np.int64).min
                values = {"begin": begin, "end": end, "axis": axis, "step": -1}
                inputs = [graph.constant(f"mirror.{part}.{value}", [value]) for part, value in values.items()]
                parts.append(graph.add("Slice", f"mirror.{axis}.{name}.{kind}", x, *inputs))
            return graph.add("Where", f"mirror.{axis}.{name}", first, *parts)

        ends = strip("before", (margin, margin - 1)), strip("after", (-1, -2))
        x = graph.add("Concat", f"mirror.{axis}", ends[0], x, ends[1], axis=axis)
    return x


def _plain(graph: Graph, name: str, x: str, stage: Stage) -> str:
    x = graph.padded(f"{name}.pad", x, (stage.kernel // 2,) * 4, "reflect")
    if stage.mix is not None and stage.stride == 1:  # kept apart, which is what depthwise is for
        filters = graph.constant(f"{name}.filters", stage.conv.weight)
        x = graph.add("Conv", f"{name}.filtered", x, filters, group=stage.inputs)
        return _finish(graph, name, _convolved(graph, name, x, stage, stage.mix.weight), stage)
    return _finish(graph, name, _convolved(graph, name, x, stage, kernel_of(stage)[0], stage.stride), stage)


def _convolved(graph: Graph, name: str, x: str, stage: Stage, weight: Tensor, stride: int = 1) -> str:
    inputs = [x, graph.constant(f"{name}.weight", weight)]
    bias = kernel_of(stage)[1]
    if bias is not None:
        inputs.append(graph.constant(f"{name}.bias", bias.repeat_interleave(len(weight) // len(bias))))
    return graph.add("Conv", f"{name}.conv", *inputs, strides=[stride, stride])


def _finish(graph: Graph, name: str, x: str, stage: Stage, *, folded: bool = False) -> str:
    """Normalise and activate; folded channels lie in a row for the normalisation."""
    if stage.norm is not None:
        shape = ""
        if folded:
            shape = graph.add("Shape", f"{name}.shape", x)
            rows = graph.constant(f"{name}.rows", [1, len(stage.norm.gamma), 4, -1])
            x = graph.add("Reshape", f"{name}.flat", x, rows)
        x = graph.add(
            "InstanceNormalization", f"{name}.norm", x, f"{name}.gamma", f"{name}.beta", epsilon=EPSILON
        )
        x = graph.add("Reshape", f"{name}.square", x, shape) if folded else x
    kinds = {"relu": "Relu", "sigmoid": "Sigmoid"}
    return graph.add(kinds[stage.activation], f"{name}.active", x) if stage.activation in kinds else x
