"""Magenta's arbitrary stylization at its full width, from a file of its TensorFlow variables.

Ghiasi et al., arXiv 1705.06830, as published under the name "v1-256": Inception-v3 up to its block Mixed_6e,
averaged over positions, and a linear layer make the style vector; the transformer is the embedded one's, four
times as wide. The file is a ``.npz`` of the checkpoint's variables under their own names, see
``docs/feedforward.md``; what belongs to training is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from brushwork.errors import WeightsError
from brushwork.feedforward import embedded
from brushwork.feedforward.stylenet import StyleNet, with_tensors
from brushwork.metrics import inception

SUFFIX: Final = ".npz"
REMEDY: Final = (
    "give a .npz of the variables of Magenta's arbitrary_image_stylization, see docs/feedforward.md"
)
LAST: Final = "Mixed_6e."
_EPSILON: Final = 1e-3  # of every batch normalisation, none of which has a scale

Variables = Mapping[str, Tensor]


class InceptionPredictor:
    """From a painting to a style vector by Inception-v3."""

    def __init__(self, layers: inception.Layers, weight: Tensor, bias: Tensor) -> None:
        self._layers, self._weight, self._bias = layers, weight, bias

    @torch.no_grad()
    def __call__(self, painting: Tensor) -> Tensor:
        """The style vector (1, 100) of a painting (1, 3, H, W), RGB, 0..1, each side of 75 pixels or more."""
        maps = inception.features(self._layers, painting, LAST, ceiling=6.0, counts_zeros=False)
        return maps.mean(dim=(-2, -1)) @ self._weight.T + self._bias


def read_variables(path: Path) -> dict[str, Tensor]:
    """The arrays of numbers in a ``.npz`` file, float32. Raises WeightsError for anything else."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return {
            name: torch.from_numpy(a.astype(np.float32)) for name, a in arrays.items() if a.dtype.kind == "f"
        }
    except Exception as error:  # a damaged archive makes its parser raise nearly anything
        raise WeightsError(f"{path}: cannot be read as .npz ({type(error).__name__}); {REMEDY}") from error


def transformer(variables: Variables, source: str) -> StyleNet:
    """The network that paints, of whatever width the variables have. Raises WeightsError."""
    tensors = dict(_as_embedded(variables, source))
    channels = [len(tensors[f"transformer/contract/conv{n}/weights_dequant"]) for n in (1, 2, 3)]
    settings = embedded.arbitrary((channels[0], channels[1], channels[2]))
    return with_tensors(settings, dict(embedded.transformer(tensors)), source)


def predictor(variables: Variables, source: str) -> InceptionPredictor:
    """The network that looks at paintings. Raises WeightsError."""
    layers: dict[str, tuple[Tensor, Tensor]] = {}
    for (ours, shape), theirs in zip(inception.kernels(LAST), _names(), strict=True):
        weight, bias = _folded(variables, f"InceptionV3/{theirs}", source)
        if tuple(weight.shape) != shape:
            told = f"InceptionV3/{theirs} is {tuple(weight.shape)}, not Inception-v3's {shape}"
            raise WeightsError(f"{source}: {told}; {REMEDY}")
        layers[ours] = weight.contiguous(memory_format=torch.channels_last), bias
    weight, bias = (_of(variables, f"Conv/{name}", source) for name in ("weights", "biases"))
    channels = sum(inception.convolutions(branch[-1])[-1].outputs for branch in inception.BLOCKS[LAST])
    if tuple(weight.shape) != (1, 1, channels, embedded.VECTOR):
        raise WeightsError(f"{source}: Conv/weights is {tuple(weight.shape)}; {REMEDY}")
    return InceptionPredictor(layers, weight[0, 0].T.contiguous(), bias)


_SLIPS: Final = {
    "Mixed_5c/Branch_1/Conv2d_0a_1x1": "Mixed_5c/Branch_1/Conv2d_0b_1x1",
    "Mixed_5c/Branch_1/Conv2d_0b_5x5": "Mixed_5c/Branch_1/Conv_1_0c_5x5",
}
"""Where the published names leave their own rule."""


def _names() -> Iterator[str]:
    """The convolutions' names there, in the order of ``inception.kernels``."""
    for prefix, block in inception.blocks(LAST):
        for number, branch in enumerate(block):
            for letter, step in zip("abcdefgh", branch, strict=False):
                names = (_name(prefix, number, letter, conv) for conv in inception.convolutions(step))
                yield from (_SLIPS.get(name, name) for name in names)


def _name(prefix: str, branch: int, letter: str, conv: inception.Conv) -> str:
    if not prefix:
        return conv.name
    rows, columns = conv.kernel
    # Kernels of 3×3 that halve are called 1×1 there.
    plain = f"Conv2d_0{letter}_{rows}x{columns}" if conv.stride == 1 else "Conv2d_1a_1x1"
    return f"{prefix[:-1]}/Branch_{branch}/{plain}"


def _as_embedded(variables: Variables, source: str) -> Iterator[tuple[str, Tensor]]:
    """The transformer's tensors as the embedded file names and turns them."""
    for n in (1, 2, 3):
        name = f"transformer/contract/conv{n}"
        weight, bias = _folded(variables, name, source)
        yield f"{name}/weights_dequant", weight
        yield f"{name}/Conv2D_bias_dequant", bias
    for name in embedded.NORMED:
        yield f"transformer/{name}/weights_dequant", _kernel(variables, f"transformer/{name}", source)
        for layer in ("Conv", "Conv_1"):
            style = f"style_params/transformer/{name}/StyleNorm/{layer}"
            yield f"{style}/weights_dequant", _kernel(variables, style, source)
            yield f"{style}/Conv2D_bias_dequant", _of(variables, f"{style}/biases", source)


def _folded(variables: Variables, name: str, source: str) -> tuple[Tensor, Tensor]:
    """A convolution's kernel (O, I, k, k) and bias that do what its batch normalisation did, too."""
    kernel = _kernel(variables, name, source)
    offset, mean, variance = (
        _of(variables, f"{name}/BatchNorm/{part}", source)
        for part in ("beta", "moving_mean", "moving_variance")
    )
    if {tuple(part.shape) for part in (offset, mean, variance)} != {tuple(kernel.shape[:1])}:
        raise WeightsError(f"{source}: {name}/BatchNorm does not fit its kernel; {REMEDY}")
    factor = (variance + _EPSILON).rsqrt()
    return kernel * factor[:, None, None, None], offset - mean * factor


def _kernel(variables: Variables, name: str, source: str) -> Tensor:
    weights = _of(variables, f"{name}/weights", source)
    if weights.ndim != 4:
        raise WeightsError(f"{source}: {name}/weights is {tuple(weights.shape)}, no kernel; {REMEDY}")
    return weights.permute(3, 2, 0, 1)


def _of(variables: Variables, name: str, source: str) -> Tensor:
    if name not in variables:
        raise WeightsError(f"{source}: no {name} there; {REMEDY}")
    return variables[name]
