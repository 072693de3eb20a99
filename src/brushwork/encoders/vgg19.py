"""VGG19 up to the last layer that a job needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from brushwork.encoders import convolution, winograd
from brushwork.encoders.convolution import Padding
from brushwork.encoders.pooling import max_pool
from brushwork.errors import InputError, WeightsError
from brushwork.weights import Weights, load_weights

Pull = Callable[[Tensor, Tensor], None]
T = TypeVar("T")
Taker = Callable[[Tensor], tuple[T, Tensor]]
_DEPTHS = (2, 2, 4, 4, 4)
LAYERS = tuple(
    f"block{block}_{part}"
    for block, depth in enumerate(_DEPTHS, 1)
    for part in [*(f"conv{i}" for i in range(1, depth + 1)), "pool"]
)
"""Keras's layer names in the network's order; a convolution's features are taken after its ReLU."""


class VGG19:
    """The convolutional part of VGG19 (arXiv 1409.1556), frozen."""

    def __init__(
        self,
        weights: Weights,
        *,
        pooling: Literal["max", "avg"] = "max",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.weights = weights
        self.pooling: Literal["max", "avg"] = pooling
        self.dtype = dtype
        self.device = torch.device(device)
        self._biases = {name: bias.to(device, dtype) for name, (_, bias) in weights.convolutions.items()}
        self._kernels: dict[str, Tensor] = {}
        # Made here and not for each picture: while a CUDA graph is recorded nothing comes from the processor.
        precise = torch.promote_types(dtype, torch.float32)
        self._mean = torch.tensor(weights.mean, dtype=precise, device=device).view(1, 3, 1, 1)
        self._winograd: dict[str, winograd.Kernels] = {}
        self._making = Lock()
        if self.device.type != "cpu":
            for name in weights.convolutions:
                self._direct(name)

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        *,
        pooling: Literal["max", "avg"] = "max",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> VGG19:
        """Load from a file, or without one the best weights that this machine has (see ``load_weights``)."""
        return cls(load_weights(weights), pooling=pooling, dtype=dtype, device=device)

    def on(self, device: torch.device) -> VGG19:
        """The same network on another device."""
        return VGG19(self.weights, pooling=self.pooling, dtype=self.dtype, device=device)

    def features(
        self, image: Tensor, layers: Iterable[str], *, padding: Padding = "zeros"
    ) -> dict[str, Tensor]:
        """Feature maps {name: (N, C, h, w)} of pictures (N, 3, H, W), RGB, sRGB-encoded, 0..1.

        ``layers`` are names of ``LAYERS``; computing stops at the last one. ``padding`` is what lies
        beyond an edge at every layer: zeros, the edge itself, or the opposite side. Raises InputError for
        an unknown layer and for a picture too small for one.
        """
        return self.taken(image, dict.fromkeys(check_layers(layers), convolution.fork), padding=padding)

    def taken(
        self, image: Tensor, takers: Mapping[str, Taker[T]], *, padding: Padding = "zeros"
    ) -> dict[str, T]:
        """What ``takers`` make of the features (N, C, h, w) of their layers; else as ``features``.

        A taker gives what it makes and the same features for the next layer. The gradient that it hands back
        is its own to give away: the layer before changes it in place.
        """
        last = self._last(image, check_layers(takers))
        x, found = self._input(image), dict[str, T]()
        for name in LAYERS[: LAYERS.index(last) + 1] if last else ():
            x = self._layer(name, x, padding)
            if name in takers:
                found[name], x = takers[name](x)
        return found

    def pulled(
        self,
        image: Tensor,
        pulls: Mapping[str, Pull],
        *,
        padding: Padding = "zeros",
        recompute: bool = False,
    ) -> Tensor:
        """The gradient at pictures (N, 3, H, W) of a loss whose gradients at layers are known.

        ``pulls`` are called on the way back, from the last layer to the first, with a layer's features and a
        gradient of their shape to add to; so no two layers' gradients are in memory at a time. With
        ``recompute`` a block's features are computed anew instead of kept. Raises InputError as ``features``.
        """
        last = self._last(image, check_layers(pulls))
        if not last:
            return torch.zeros_like(image)
        leaf = image.detach().requires_grad_()
        with torch.enable_grad():
            x = self._input(leaf)
            for block in _blocks(LAYERS[: LAYERS.index(last) + 1]):
                run = partial(self._tapped, block, pulls, padding)
                x = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False) if recompute else run(x)
            (gradient,) = torch.autograd.grad(x, leaf, torch.zeros_like(x))
        return gradient

    def _tapped(self, block: Sequence[str], pulls: Mapping[str, Pull], padding: Padding, x: Tensor) -> Tensor:
        for name in block:
            x = self._layer(name, x, padding)
            x = convolution.tap(x, pulls[name]) if name in pulls else x
        return x

    @staticmethod
    def _last(image: Tensor, layers: Sequence[str]) -> str:
        """The deepest of the layers; empty when there are none."""
        check_size(image.shape[-2], image.shape[-1], layers)
        return max(layers, key=LAYERS.index, default="")

    def _input(self, image: Tensor) -> Tensor:
        return (image - self._mean.to(image.dtype)).to(self.dtype, memory_format=torch.channels_last)

    def _layer(self, name: str, x: Tensor, padding: Padding) -> Tensor:
        if name.endswith("pool"):
            return max_pool(x) if self.pooling == "max" else F.avg_pool2d(x, 2)
        if name not in self.weights.convolutions:
            raise WeightsError(
                f"{self.weights.source} has no {name}: use a whole VGG19, or layers that come before it"
            )
        return self._convolve(name, x, padding)

    def _convolve(self, name: str, x: Tensor, padding: Padding) -> Tensor:
        if winograd.suits(self.weights.convolutions[name][0], x):
            return winograd.convolve(x, self._transformed(name), self._biases[name], padding=padding)
        if padding == "zeros":
            return convolution.convolve(x, self._direct(name), self._biases[name], padding=1)
        x = convolution.framed(x, wrap=padding == "wrap")
        return convolution.convolve(x, self._direct(name), self._biases[name], padding=0)

    def _direct(self, name: str) -> Tensor:
        """A layer's kernels for direct convolution, made at first use: few are where Winograd's suit."""
        with self._making:
            if name not in self._kernels:
                # Channels last: oneDNN needs no reordering then; 7 to 13 % faster forward and backward.
                last = torch.channels_last
                kernels = self.weights.convolutions[name][0]
                self._kernels[name] = kernels.to(self.device, self.dtype, memory_format=last)
            return self._kernels[name]

    def _transformed(self, name: str) -> winograd.Kernels:
        """A layer's kernels as Winograd's matrices, made at first use: 300 MB in float32 to block5_conv2."""
        with self._making:  # tiles may be looked at by several threads
            if name not in self._winograd:
                self._winograd[name] = winograd.transform(self.weights.convolutions[name][0], self.dtype)
            return self._winograd[name]


def _blocks(layers: Sequence[str]) -> list[list[str]]:
    """Layers in their blocks, each with the pooling that ends it."""
    return [list(names) for _, names in groupby(layers, lambda name: name.partition("_")[0])]


def check_layers(layers: Iterable[str]) -> list[str]:
    """The names as a list. Raises InputError when one is no layer of VGG19."""
    names = list(layers)
    for name in names:
        if name not in LAYERS:
            raise InputError(f"no layer {name!r} in VGG19: choose from {', '.join(LAYERS)}")
    return names


def smallest_side(layers: Iterable[str]) -> int:
    """Pixels that the short side needs so that every layer has at least one position."""
    last = max(map(LAYERS.index, layers), default=-1)
    return 2 ** sum(name.endswith("pool") for name in LAYERS[: last + 1])


def channels(layer: str) -> int:
    """The channels of a layer."""
    return min(64 * 2 ** (int(layer[len("block")]) - 1), 512)


def reach(layer: str, first: int, last: int) -> tuple[int, int]:
    """The pixels [first, last) of an unbounded row that the cells [first, last) of a layer see."""
    for name in reversed(LAYERS[: LAYERS.index(layer) + 1]):
        first, last = (2 * first, 2 * last) if name.endswith("pool") else (first - 1, last + 1)
    return first, last


def check_size(height: int, width: int, layers: Iterable[str], painting: str = "") -> None:
    """Raise InputError when a picture of this size has no position left at one of the layers.

    A ``painting`` is named.
    """
    names = list(layers)
    if min(height, width) < (need := smallest_side(names)):
        deepest = max(names, key=LAYERS.index)
        larger = "a larger painting, --stroke-size or --size" if painting else "a larger --size"
        raise InputError(
            f"{painting and painting + ': '}{width}×{height} pixels are too small for {deepest}: "
            f"the short side needs {need}; give {larger}, or layers of a shallower block"
        )
