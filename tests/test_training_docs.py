"""The task in docs/training.md works as it stands, and is as short as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


def test_the_task_of_ones_own_learns(capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 40
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    epochs = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(epoch) for epoch, _ in epochs] == list(range(1, 9))
    assert float(epochs[-1][1]) < float(epochs[0][1]) / 2
