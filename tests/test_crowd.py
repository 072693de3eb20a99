"""Threads sleep where they wait only on a machine that other work keeps busy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brushwork.surfaces.crowd import wait_politely

POLICY = "OMP_WAIT_POLICY"


@pytest.fixture(autouse=True)
def no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "")  # so that it is put back after the test
    monkeypatch.delenv(POLICY)


@pytest.mark.parametrize(("others", "policy"), [(0, None), (1000, "PASSIVE")])
def test_the_policy_follows_what_runs(tmp_path: Path, others: int, policy: str | None) -> None:
    load = tmp_path / "loadavg"
    load.write_text(f"9.08 9.51 8.04 {others + 1}/2000 12274\n", encoding="ascii")
    wait_politely(load)
    assert os.environ.get(POLICY) == policy


def test_a_users_policy_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "ACTIVE")
    load = tmp_path / "loadavg"
    load.write_text("9.08 9.51 8.04 1001/2000 12274\n", encoding="ascii")
    wait_politely(load)
    assert os.environ[POLICY] == "ACTIVE"


@pytest.mark.parametrize("text", [None, "", "strange", "1 2 3 x/y 5"])
def test_a_system_that_does_not_tell_is_taken_for_quiet(tmp_path: Path, text: str | None) -> None:
    load = tmp_path / "loadavg"
    if text is not None:
        load.write_text(text, encoding="ascii")
    wait_politely(load)
    assert POLICY not in os.environ


def test_it_comes_before_torch() -> None:
    code = "import sys, brushwork.surfaces.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
