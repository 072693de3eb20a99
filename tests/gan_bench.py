"""The command line of `brushwork gan` as the tests drive it, and IDX files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from brushwork.outputs.checkpoint import load
from brushwork.surfaces.cli import call
from commands import Outcome

QUICK = ("--data", "data", "--batch", "8", "--threads", "1", "--quiet", "--device", "cpu")


def idx(pictures: NDArray[np.uint8]) -> bytes:
    """The bytes of an IDX file."""
    head = struct.pack(">BBBB", 0, 0, 8, pictures.ndim)
    return head + b"".join(struct.pack(">I", side) for side in pictures.shape) + pictures.tobytes()


def exact(value: Any) -> object:
    """A tree of data with its tensors as bytes, so that equal means every bit."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: exact(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in cast("list[Any]", value)]
    return value


class Bench:
    """A folder with data/, and the command line in it."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def gan(self, *line: str) -> Outcome:
        self._capture.readouterr()
        status = call(["gan", *line])
        out, err = self._capture.readouterr()
        return Outcome(status, out, err)

    def train(self, *line: str) -> Outcome:
        return self.gan("train", *QUICK, *line)

    def state(self, name: str) -> object:
        """The last state to the bit, without how long it took, and the generator."""
        state = load(self.folder / name / "checkpoint.safetensors")
        state["folder"].pop("lines")
        return exact([state, load(self.folder / name / "generator.safetensors")])
