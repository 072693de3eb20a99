"""The command line as the tests drive it: in this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brushwork.fields import flag
from brushwork.surfaces.cli import call

BRUSHWORK = str(Path(sysconfig.get_path("scripts")) / "brushwork")

PLAIN: dict[str, Any] = {
    "content_weight": 0.15,
    "style_loss": "relative",
    "style_unit": "none",
    "tv_weight": 3.0,
    "pooling": "avg",
    "padding": "zeros",
    "init": "content",
    "init_noise": 0,
    "coarsest": 16,
    "style_detail": False,
    "color": "style",
}
"""A look that does not move with the recipe ``default``: Gram matrices from the photo on."""

Value = str | int | float | bool | list[str] | None
"""What is typed after a flag: None leaves it out, True is the bare flag and False its ``--no-`` form."""


@dataclass(frozen=True)
class Outcome:
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr that goes with status 2."""
        assert self.status == 2, (self.status, self.err)
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("brushwork: "), self.err
        assert self.out == ""
        return self.err.strip()


def arguments(options: Mapping[str, Value]) -> list[str]:
    """The options of ``stylize`` as they are typed; ``content`` is the bare PHOTO."""
    line: list[str] = []
    for name, value in options.items():
        if name == "content":
            line.append(str(value))
        elif isinstance(value, bool):
            line.append(flag(name if value else f"no_{name}"))
        elif value is not None:
            for each in value if isinstance(value, list) else [value]:
                line += [flag(name), str(each)]
    return line


class Desk:
    """The working folder: photo.png, painting.png and network.safetensors, and options for a quick run."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture
        self._inputs = set(folder.iterdir())
        self.quick: dict[str, Value] = {
            "content": "photo.png",
            "styles": ["painting.png"],
            "coarsest": 16,
            "init": "content",
            "size": 48,
            "steps": 3,
            "scales": ["1"],
            "content_layers": ["block2_conv1"],
            "style_layers": ["block1_conv1", "block2_conv1"],
            "weights": "network.safetensors",
        }

    def call(self, *line: str) -> Outcome:
        """Run any command line in this process."""
        self._capture.readouterr()
        status = call([str(argument) for argument in line])
        out, err = self._capture.readouterr()
        return Outcome(status, out, err)

    def line(self, **options: Value) -> list[str]:
        """The command line of a quick ``stylize`` with these options over the usual ones."""
        return ["stylize", *arguments(self.quick | options)]

    def stylize(self, **options: Value) -> Outcome:
        """Run a quick ``stylize``, to result.png and with its JSON unless the options say otherwise."""
        usual: dict[str, Value] = {"output": "result.png", "json": True, "quiet": True, "overwrite": True}
        return self.call(*self.line(**(usual | options)))

    def painted(self, **options: Value) -> NDArray[np.uint8]:
        """The picture that a quick ``stylize`` makes."""
        outcome = self.stylize(**options)
        return self.picture(outcome.json["output"])

    def again(self, picture: str, **options: Value) -> Outcome:
        """Repeat the job inside a picture, into again.png."""
        usual: dict[str, Value] = {"output": "again.png", "json": True, "quiet": True, "overwrite": True}
        return self.call("stylize", "--from", picture, *arguments(usual | options))

    def picture(self, name: str | Path) -> NDArray[np.uint8]:
        """A picture's pixels as Pillow reads them."""
        with Image.open(self.folder / name) as image:
            return np.asarray(image)

    def outputs(self) -> list[str]:
        """What lies in the folder besides the inputs, hidden files too."""
        return sorted(
            str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if not self._is_input(p)
        )

    def clear(self) -> None:
        """Remove all outputs."""
        for path in set(self.folder.iterdir()) - self._inputs:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _is_input(self, path: Path) -> bool:
        return bool({path, *path.parents} & self._inputs)


def environment(**more: str) -> dict[str, str]:
    """For a process of its own: no bytecode, warnings as they are, two threads or what the tests have."""
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": threads} | more


def process(line: list[str], folder: Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command to its end."""
    options: dict[str, Any] = {"env": environment(), "capture_output": True, "timeout": 240} | more
    return subprocess.run([BRUSHWORK, *line], cwd=folder, check=False, **options)
