"""The README's commands and Python run as written, only shorter: in few steps and at a small size."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.stylenet import StyleNet, StyleNetSettings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def paint_commands() -> list[str]:
    """Every `brushwork stylize` line of the README's shell blocks."""
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("brushwork stylize")]


def small(words: list[str]) -> list[str]:
    """A command's words with a size of 96 pixels, whatever it said."""
    at = words.index("--size") if "--size" in words else len(words)
    return [*words[:at], *words[at + 2 :], *([] if "--from" in words else ["--size", "96"])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures and networks that the README names."""
    random = np.random.default_rng(0)
    for name in ("photo", "painting", "a", "b"):
        Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(tmp_path / f"{name}.jpg")
    network = to_bytes(StyleNet(StyleNetSettings.of_width(4, blocks=1)))
    for name in ("mine", "painting"):
        (tmp_path / f"{name}.safetensors").write_bytes(network)
    return tmp_path


def test_make_targets_are_the_two_commands() -> None:
    """The README's set-up block is `make demo` and `make test`, and CI calls the second."""
    commands = [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert commands == ["make demo", "make test"]
    assert "exec make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.slow
def test_paint_commands(folder: Path) -> None:
    """Each command exits with 0 and writes the picture it names."""
    commands = paint_commands()
    assert len(commands) >= 6
    brushwork = str(Path(sys.executable).with_name("brushwork"))
    for command in commands:
        words = shlex.split(command)
        steps = [] if "feedforward" in words else ["--steps", "2"]
        done = subprocess.run(
            [brushwork, *small(words[1:]), *steps], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        output = words[words.index("-o") + 1] if "-o" in words else "photo-painting.png"
        with Image.open(folder / output) as picture:
            picture.load()


@pytest.mark.slow
def test_python_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks run, one after the other, in one namespace."""
    monkeypatch.chdir(folder)
    code = "\n".join(blocks("python"))
    code = code.replace("size=1024", "size=64, steps=2")
    code = code.replace('styles=["painting.jpg"]', 'styles=["painting.jpg"], size=64, steps=2')
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert (folder / "out.png").exists()
    assert getattr(namespace["gram"], "shape", None) == (64, 64)
