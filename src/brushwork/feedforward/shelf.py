"""What is kept between jobs: a few networks ready to paint, and the style vectors of paintings by content.

Calls for one photo after another then cost the pass alone. Both are bounded; ``clear`` forgets them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import torch
from torch import Tensor

from brushwork.feedforward import embedded, magenta
from brushwork.feedforward.files import read_network
from brushwork.feedforward.folded import FoldedNet
from brushwork.feedforward.runtime import RuntimeNet
from brushwork.feedforward.stylenet import StyleNet
from brushwork.wheels import sha256_of

NETWORKS: Final = 4
VECTORS: Final = 256  # 400 bytes each

_vectors: OrderedDict[tuple[str, ...], Tensor] = OrderedDict()
_lock, _loading = Lock(), Lock()


class Key(NamedTuple):
    """Which network: its name, or its file's, and that file's sha256."""

    name: str
    version: str = ""


ARBITRARY: Final = Key("arbitrary")
BUILTIN_STYLES: Final = Key("builtin")


def key_of(file: str) -> Key:
    """The key of a network's file; one that is not there is told when it is read."""
    return Key(file, sha256_of(Path(file)) if Path(file).is_file() else "")


@lru_cache(maxsize=NETWORKS)
def plain(key: Key) -> StyleNet:
    """The network itself. Raises WeightsError."""
    if key == ARBITRARY:
        return embedded.load_arbitrary()
    if key.name.lower().endswith(magenta.SUFFIX):
        return magenta.transformer(magenta.read_variables(Path(key.name)), key.name)
    return embedded.load_multistyle() if key == BUILTIN_STYLES else read_network(Path(key.name))


@lru_cache(maxsize=NETWORKS)
def folded(key: Key, device: torch.device, dtype: torch.dtype) -> FoldedNet:
    """The network ready for torch. Raises WeightsError."""
    return FoldedNet(plain(key), device, dtype)


@lru_cache(maxsize=NETWORKS)
def runtime(key: Key, threads: int) -> RuntimeNet:
    """The network ready for onnxruntime. Raises WeightsError."""
    return RuntimeNet(plain(key), threads)


def predictor(key: Key = ARBITRARY) -> Callable[[Tensor], Tensor]:
    """The predictor of style vectors, on the CPU, that goes with a network. Raises WeightsError."""
    with _loading:  # who comes while it is being loaded waits for it
        return _predictor(key)


@lru_cache(maxsize=2)
def _predictor(key: Key) -> Callable[[Tensor], Tensor]:
    if key == ARBITRARY:
        return embedded.load_predictor()
    return magenta.predictor(magenta.read_variables(Path(key.name)), key.name)


def vector(key: tuple[str, ...], predict: Callable[[], Tensor]) -> Tensor:
    """The style vector (100) kept under that key, or what ``predict`` makes of it."""
    with _lock:
        if key in _vectors:
            _vectors.move_to_end(key)
            return _vectors[key]
    made = predict()
    with _lock:
        _vectors[key] = made
        while len(_vectors) > VECTORS:
            _vectors.popitem(last=False)
    return made


def clear() -> None:
    """Forget all of it."""
    for kept in (plain, folded, runtime, _predictor):
        kept.cache_clear()
    with _lock:
        _vectors.clear()
