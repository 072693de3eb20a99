"""A style as an ONNX file, and the proof that it paints what PyTorch paints."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from brushwork.errors import InputError
from brushwork.feedforward import shelf
from brushwork.feedforward.engine import arbitrary_key, blended, conditions, mixture, predict
from brushwork.feedforward.graph import INPUT, make_model
from brushwork.feedforward.runtime import session
from brushwork.feedforward.stylenet import StyleNet
from brushwork.feedforward.unet import is_unet
from brushwork.images import read_picture
from brushwork.jobs import Export
from brushwork.margins import without_margin
from brushwork.styles import BUILTIN, is_network

# The largest difference from PyTorch, on average over a picture, with which a file is handed out.
MOST: Final = {"float32": 1e-4, "float16": 0.01, "int8": 0.03}
SIZES: Final = ((192, 256), (101, 67))  # one whose sides are no multiples of 4


@dataclass(frozen=True)
class Exported:
    """The file's bytes and how far it is from PyTorch: on average and at most, of 0..1."""

    data: bytes
    mean: float
    largest: float


def export(job: Export) -> Exported:
    """The job's style as an ONNX model of any height and width, compared with PyTorch by onnxruntime.

    Raises InputError for styles that cannot be blended, WeightsError for a network that cannot be read.
    """
    network, condition = _network(job)
    about = {"style": ", ".join(Path(style.path).name for style in job.styles), "range": "RGB, 0..1"}
    model = make_model(network, condition, about)
    converted = {"float32": lambda m: m, "float16": _halved, "int8": _quartered}[job.numbers](model)
    data: bytes = converted.SerializeToString()
    means, largest = zip(*(_difference(data, network, condition, size) for size in SIZES), strict=True)
    if not max(means) <= MOST[job.numbers]:
        raise AssertionError(f"the exported network differs from PyTorch's by {max(means):.3g} on average")
    return Exported(data, max(means), max(largest))


def _network(job: Export) -> tuple[StyleNet, torch.Tensor | None]:
    """The network that paints the job's styles, and its conditions."""
    styles = job.styles
    first = styles[0].path
    if BUILTIN.fullmatch(first):
        return shelf.plain(shelf.BUILTIN_STYLES), mixture(styles)
    if is_network(first):
        if is_unet(Path(first)):
            raise InputError(f"--style {first} is a network from pairs: give one of `train stylenet`")
        network = shelf.plain(shelf.key_of(first))
        return network, conditions(network.settings, strength=1.0)
    key = arbitrary_key(job.weights)
    vectors = [predict(without_margin(read_picture(style.path).pixels), key) for style in styles]
    return shelf.plain(key), blended(vectors, styles)


def _halved(model: Any) -> Any:
    """Weights and arithmetic in float16; normalisation, input and output stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that become subnormal, told one by one
        keep = ["InstanceNormalization", "Pad"]
        return convert_float_to_float16(model, keep_io_types=True, op_block_list=keep)


def _quartered(model: Any) -> Any:
    """Kernels as 8-bit integers with a scale for each channel that they put out; arithmetic stays float32."""
    from onnx import helper, numpy_helper

    graph = model.graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    kept = [value for value in graph.initializer if value.name not in kernels]
    nodes: list[Any] = []
    for value in (value for value in graph.initializer if value.name in kernels):
        weight, name = numpy_helper.to_array(value), value.name
        scale = np.abs(weight).max(axis=(1, 2, 3)) / 127 + 1e-12
        codes = np.rint(weight / scale[:, None, None, None]).astype(np.int8)
        parts = {"codes": codes, "scale": scale.astype(np.float32), "zero": np.zeros(len(scale), np.int8)}
        kept += [numpy_helper.from_array(part, f"{name}.{kind}") for kind, part in parts.items()]
        inputs = [f"{name}.{kind}" for kind in parts]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}.read", axis=0))
    nodes += list(graph.node)
    for field, values in ((graph.initializer, kept), (graph.node, nodes)):
        del field[:]
        field.extend(values)
    return model


def _difference(
    data: bytes, network: StyleNet, condition: torch.Tensor | None, size: tuple[int, int]
) -> tuple[float, float]:
    """Mean and largest difference from PyTorch on a smooth picture of that size."""
    height, width = size
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    grow = partial(torch.nn.functional.interpolate, mode="bicubic", align_corners=False)
    photo = grow(coarse, (height, width)).clamp(0, 1)
    filled = torch.nn.functional.pad(photo, (0, -width % 4, 0, -height % 4), "reflect")
    with torch.no_grad():
        expected = network(filled, None if condition is None else condition[None])[..., :height, :width]
    (painted,) = session(data, 1).run(None, {INPUT: photo.numpy()})
    gap = np.abs(painted - expected.clamp(0, 1).numpy())
    return float(gap.mean()), float(gap.max())
