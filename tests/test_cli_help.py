"""The help of every command, pinned: a change of a word is seen in the diff of tests/help/.

To write the files anew: ``UPDATE_HELP=1 pytest tests/test_cli_help.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from brushwork.surfaces.cli import app, call

PINNED = Path(__file__).parent / "help"
COMMANDS = [
    "brushwork",
    "stylize",
    "resume",
    "recipes",
    "styles",
    "export",
    "doctor",
    "demo",
    "evaluate",
    "plan",
    "sheet",
    "gan",
    "train",
    "studio",
]
DEEPER = ["gan train", "gan sample", "gan score", "train stylenet", "train paired", "train make-pairs"]


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred columns and no colours, whatever runs the tests."""
    monkeypatch.setattr(app, "console", Console(width=100))  # it keeps its first one, whoever asked for that
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("command", [*COMMANDS, *DEEPER])
def test_help_is_as_pinned(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call([*([] if command == "brushwork" else command.split()), "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    shown = "\n".join(line.rstrip() for line in out.splitlines()) + "\n"
    file = PINNED / f"{command}.txt"
    if os.environ.get("UPDATE_HELP"):
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8"), "UPDATE_HELP=1 pytest tests/test_cli_help.py"


def test_every_command_is_pinned() -> None:
    commands = [name for name in app if not name.startswith("-")]
    assert sorted(["brushwork", *commands]) == sorted(COMMANDS)
    assert sorted(file.stem for file in PINNED.glob("*.txt")) == sorted([*COMMANDS, *DEEPER])


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert call([]) == 0
    assert capsys.readouterr().out.startswith("Usage: brushwork COMMAND")
