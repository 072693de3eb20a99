"""What is kept between jobs: a few networks ready to paint, and the style vectors of paintings by content.

Calls for one photo after another then cost the pass alone. Both are bounded; ``clear`` forgets them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

import torch
from torch import Tensor

from brushwork.feedforward import embedded
from brushwork.feedforward.files import read_network
from brushwork.feedforward.folded import FoldedNet
from brushwork.feedforward.predictor import StylePredictor
from brushwork.feedforward.stylenet import StyleNet
from brushwork.jobs import BUILTIN

NETWORKS: Final = 4
VECTORS: Final = 256  # 400 bytes each

_vectors: OrderedDict[tuple[str, ...], Tensor] = OrderedDict()
_lock = Lock()


def plain_network(style: str | None) -> StyleNet:
    """The network for a painting (None), ``builtin:N`` or a file. Raises WeightsError."""
    if style is None:
        return embedded.load_arbitrary()
    return embedded.load_multistyle() if BUILTIN.fullmatch(style) else read_network(Path(style))


def network(style: str | None, version: str, device: torch.device, dtype: torch.dtype) -> FoldedNet:
    """The same, ready to paint; ``version`` is a file's sha256. Raises WeightsError."""
    key = "builtin:0" if style and BUILTIN.fullmatch(style) else style
    return _folded(key, version, device, dtype)


@lru_cache(maxsize=NETWORKS)
def _folded(style: str | None, version: str, device: torch.device, dtype: torch.dtype) -> FoldedNet:
    return FoldedNet(plain_network(style), device, dtype)


@lru_cache(maxsize=1)
def predictor() -> StylePredictor:
    """Magenta's predictor of style vectors, on the CPU."""
    return embedded.load_predictor()


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
    _folded.cache_clear()
    predictor.cache_clear()
    with _lock:
        _vectors.clear()
