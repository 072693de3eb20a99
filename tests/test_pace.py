"""The faster backend: measured when asked for, kept, and then used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from brushwork.events import Started
from brushwork.feedforward import pace
from brushwork.fields import build
from brushwork.jobs import Stylize
from brushwork.runner import run
from commands import Desk

QUICK = {512: (0.1, 0.2), 1024: (0.5, 0.4), 2048: (1.0, 1.5)}


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def kept(seconds: dict[int, tuple[float, float]], machine: str | None = None) -> None:
    found = pace.Pace(machine=machine or pace.machine(), threads=1, seconds=seconds)
    pace.place(1).write_text(found.model_dump_json())


def backend() -> str:
    """What paints a small photo."""
    given = {"content": "photo.png", "styles": ["builtin:3"], "engine": "feedforward", "size": 48}
    started = next(run(build(Stylize, given | {"threads": 1, "device": "cpu"})))
    assert isinstance(started, Started)
    return str(started.plan)


def test_the_limit_is_where_onnxruntime_stops_winning() -> None:
    def limit(seconds: dict[int, tuple[float, float]]) -> int:
        return pace.Pace(machine="", threads=1, seconds=seconds).limit

    assert limit(QUICK) == 2 * 512 * 384
    assert limit({512: (0.2, 0.1), 1024: (0.1, 0.2)}) == 0
    assert limit({1024: (0.1, 0.2), 512: (0.1, 0.2)}) == 2 * 1024 * 768


def test_what_was_measured_decides(desk: Desk) -> None:
    assert backend() == "onnxruntime"  # the rule where nothing was measured
    kept({512: (0.2, 0.1)})
    assert backend() == "torch"
    kept(QUICK)
    assert backend() == "onnxruntime"


def test_other_machines_and_damaged_files_do_not_count(desk: Desk) -> None:
    kept({512: (0.2, 0.1)}, machine="another")
    assert pace.known(1) is None
    pace.place(1).write_text('{"machine": ')
    assert pace.known(1) is None
    assert backend() == "onnxruntime"


def test_measuring_paints_with_both() -> None:
    torch.set_num_threads(1)
    found = pace.measure(sides=(64, 128), rounds=1)
    assert set(found.seconds) == {64, 128}
    assert all(second > 0 for pair in found.seconds.values() for second in pair)
    assert (found.machine, found.threads) == (pace.machine(), 1)


@pytest.mark.slow
def test_the_doctor_measures_and_tells(desk: Desk, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    own_cache.rmdir()
    monkeypatch.setattr(pace, "SIDES", (64,))
    assert "not measured here" in " ".join(desk.call("doctor").out.split())
    outcome = desk.call("doctor", "--measure")
    assert outcome.status == 0
    assert "one-pass-" in outcome.err
    assert "64 px" in outcome.out


def test_a_cache_that_cannot_be_is_told_before_the_measuring(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUSHWORK_CACHE", "photo.png/cache")
    monkeypatch.setattr(pace, "measure", lambda: pytest.fail("measured in vain"))
    outcome = desk.call("doctor", "--measure")
    assert outcome.status == 2, outcome.err
    assert outcome.err.endswith("cache: Not a directory: choose another folder\n")
