"""Runs that are killed and resumed end as if nothing had happened; pictures to watch while they go."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import math
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from brushwork.errors import InputError, OutputError
from brushwork.events import Checkpoint, Progress, Started, Swept, Work, finished
from brushwork.fields import build
from brushwork.jobs import Stylize
from brushwork.optimize.optimizers import LBFGS, Adam
from brushwork.optimize.scales import Scale
from brushwork.optimize.state import give, take
from brushwork.optimize.vault import Vault
from brushwork.outputs import checkpoint
from brushwork.outputs.pace import Pace
from brushwork.outputs.run_folder import RunFolder, located, read_run
from brushwork.runner import read_sources, run
from brushwork.surfaces.terminal import Lines
from brushwork.wanted import Wanted
from commands import BRUSHWORK, Desk, Value, environment, process

LBFGS_RUN: dict[str, Value] = {"scales": ["0.5", "0.75", "1"], "steps": 150}
ADAM_RUN: dict[str, Value] = {
    "optimizer": "adam", "scales": ["0.5:1", "1:3"], "steps": 150, "keep": "best", "clip": True
}  # fmt: skip
SGD_RUN: dict[str, Value] = {"optimizer": "sgd", "learning_rate": 0.1, "decay_rate": 0.9, "steps": 150}
OFTEN: dict[str, Value] = {"checkpoint_every": 0.001, "threads": 1}


def begun(desk: Desk, lines: int, ready: Callable[[], bool], **options: Value) -> subprocess.Popen[bytes]:
    """A run in a process of its own, when its trace has so many lines and ``ready`` says so."""
    line = desk.line(**({"output": "r.png", "trace": "r.jsonl", "quiet": True} | OFTEN | options))
    running = subprocess.Popen(
        [BRUSHWORK, *line], cwd=desk.folder, env=environment(), stderr=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert running.stdin is not None
    running.stdin.write(Path("photo.png").read_bytes() if options.get("content") == "-" else b"")
    running.stdin.close()
    running.stdin = None
    patience = time.monotonic() + 100
    while not (Path("r.jsonl").exists() and Path("r.jsonl").read_bytes().count(b"\n") >= lines and ready()):
        assert running.poll() is None, running.communicate()[1].decode()
        assert time.monotonic() < patience
        time.sleep(0.005)
    return running


def trace_of(name: str) -> list[dict[str, Any]]:
    """A trace without its times, which must not go back."""
    lines = [json.loads(line) for line in Path(name).read_text().splitlines()]
    seconds = [line.pop("seconds") for line in lines]
    assert seconds == sorted(seconds)
    return lines


def is_stored() -> bool:
    return Path("r.png.run/checkpoint.safetensors").exists()


# ----------------------------------------------------------------------------------- killed and resumed


@pytest.mark.slow
@pytest.mark.parametrize(("run", "lines"), [(LBFGS_RUN, 60), (ADAM_RUN, 50), (SGD_RUN, 10)])
def test_a_killed_run_ends_bit_identical(desk: Desk, run: dict[str, Value], lines: int) -> None:
    """The result's file with its metadata, the trace and the curves are those of the uninterrupted run."""
    desk.stylize(output="whole.png", trace="whole.jsonl", plot="whole-plot.png", threads=1, **run)
    running = begun(desk, lines, is_stored, plot="plot.png", **run)
    running.kill()
    running.communicate()
    assert not Path("r.png").exists()
    with Path("r.jsonl").open("ab") as torn:
        torn.write(b'{"evaluation": 9')
    outcome = desk.call("resume", "r.png.run", "--json", "--quiet")
    assert (outcome.json["evaluations"], outcome.json["run_dir"]) == (150, None)
    assert trace_of("r.jsonl") == trace_of("whole.jsonl")
    assert Path("r.png").read_bytes() == Path("whole.png").read_bytes()
    assert Path("plot.png").read_bytes() == Path("whole-plot.png").read_bytes()
    assert not Path("r.png.run").exists()


# A disk that is busy makes checkpoints rare, and a run that is looked at from outside passes the place.
KILLED_WITHIN_AN_EVALUATION = """
import os, signal
from brushwork.optimize import engine
from brushwork.outputs.run_folder import RunFolder
from brushwork.surfaces.cli import main
engine.LARGE, RunFolder.due, store = 0, True, RunFolder.store
def store_and_die(folder, record, checkpoint, memory):
    store(folder, record, checkpoint, memory)
    if checkpoint.evaluation > 2 and checkpoint.begun and checkpoint.begun["done"] > 2:
        os.kill(os.getpid(), signal.SIGKILL)
RunFolder.store = store_and_die
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_a_run_killed_within_an_evaluation_ends_bit_identical(desk: Desk, device: str) -> None:
    """In tiles, of a picture that counts as large: it goes on with the next tile."""
    options: dict[str, Value] = {
        "size": 160, "tile": 64, "steps": 12, "optimizer": "adam", "device": device, **OFTEN
    }  # fmt: skip
    desk.stylize(output="whole.png", trace="whole.jsonl", **options)
    line = desk.line(output="r.png", trace="r.jsonl", quiet=True, **options)
    line = [sys.executable, "-c", KILLED_WITHIN_AN_EVALUATION, *line]
    killed = subprocess.run(line, cwd=desk.folder, env=environment(), timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert not Path("r.png").exists()
    kept = Path("r.png.run")
    saved = read_run(kept)
    state = saved.checkpoint
    assert state.begun and 2 < state.begun["done"] < 12  # 6 tiles, twice
    events = run(saved.machine_job, read_sources(saved.job), state)
    swept = next(event for event in events if isinstance(event, Swept))
    assert swept.done == state.begun["done"] + 1
    assert swept.evaluation == state.evaluation + 1
    outcome = desk.call("resume", str(kept), "--json", "--quiet")
    assert (outcome.json["evaluations"], outcome.json["device"]) == (12, device)
    assert trace_of("r.jsonl") == trace_of("whole.jsonl")
    assert Path("r.png").read_bytes() == Path("whole.png").read_bytes()


def test_a_resumed_run_begins_in_the_results_colours(desk: Desk) -> None:
    """What is shown and rescued then: the picture that luminance works on is grey."""
    kept(desk, color="luminance")
    saved = read_run(Path("kept"))
    started = next(run(saved.machine_job, read_sources(saved.job), saved.checkpoint))
    assert isinstance(started, Started)
    spread = [float((x.amax(1) - x.amin(1)).max()) for x in (saved.checkpoint.image, started.start)]
    assert spread[0] < 1e-5
    assert spread[1] > 0.2


@pytest.mark.slow
def test_ctrl_c_names_the_line_that_goes_on(desk: Desk) -> None:
    """From standard input, with sheets and numbered pictures; resumed from another folder."""
    wanted: dict[str, Value] = {"grid": "grid.png", "record": "numbered", "comparison": "three.png"}
    desk.stylize(output="whole.png", trace="whole.jsonl", threads=1, **ADAM_RUN, **wanted)
    for name in wanted.values():
        Path(str(name)).rename(f"whole-{name}")
    running = begun(desk, 45, lambda: True, content="-", checkpoint_every=1000, **ADAM_RUN, **wanted)
    running.send_signal(signal.SIGINT)
    told = running.communicate()[1].decode()
    assert running.returncode == 130
    first, second = told.splitlines()
    assert first == "interrupted; the picture so far is in r.png"
    assert second == "go on: brushwork resume r.png.run"
    assert desk.picture("r.png").shape == (36, 48, 3)
    Path("elsewhere").mkdir()
    with contextlib.chdir("elsewhere"):  # where the line's relative path is another
        assert "no run directory" in desk.call("resume", "r.png.run").complaint
        assert desk.call("resume", "../r.png.run", "--json", "--quiet").json["output"] == str(
            desk.folder / "r.png"
        )
    assert shlex.split(second)[-1] == "r.png.run"
    assert trace_of("r.jsonl") == trace_of("whole.jsonl")
    assert np.array_equal(desk.picture("r.png"), desk.picture("whole.png"))
    for name in ("grid.png", "three.png"):
        assert np.array_equal(desk.picture(name), desk.picture(f"whole-{name}"))
    numbered = sorted(path.name.removeprefix("r_") for path in Path("numbered").iterdir())
    assert numbered == sorted(path.name.removeprefix("whole_") for path in Path("whole-numbered").iterdir())


def kept(desk: Desk, **options: Value) -> bytes:
    """A finished run whose directory is kept, with the state after its first evaluation; the result."""
    outcome = desk.stylize(output="r.png", run_dir="kept", steps=8, **options)
    assert outcome.json["run_dir"] == "kept"
    return Path("r.png").read_bytes()


def test_a_run_directory_of_ones_own_is_kept(desk: Desk) -> None:
    whole = kept(desk, trace="r.jsonl", scales=["0.5", "1"])
    before = trace_of("r.jsonl")
    Path("r.png").unlink()
    Path("r.jsonl").unlink()
    assert sorted(p.name for p in Path("kept").iterdir()) == [
        "checkpoint.safetensors",
        "job.json",
        "trace.jsonl",
    ]
    assert desk.call("resume", "kept", "--json", "--quiet").json["run_dir"] == "kept"
    assert Path("r.png").read_bytes() == whole
    assert trace_of("r.jsonl") == before


def test_what_auto_chose_is_chosen_again(desk: Desk) -> None:
    """Device, precision and threads: another number of threads adds up in another order."""
    kept(desk)
    path = Path("kept/job.json")
    record = json.loads(path.read_bytes())
    record["job"] |= {"threads": None, "precision": "auto", "device": "auto"}
    record |= {"threads": 1, "precision": "bfloat16", "device": "cpu"}
    path.write_text(json.dumps(record))
    job = read_run(Path("kept")).machine_job
    assert (job.threads, job.precision, job.device) == (1, "bfloat16", "cpu")


def places() -> list[str]:
    """The files and folders that one may want of a run: what is a text or None."""
    names = [name for name, field in Wanted.model_fields.items() if field.annotation == str | None]
    assert {"output", "run_dir"} < set(names)
    return names


@pytest.mark.parametrize("name", places())
def test_from_another_folder_every_output_is_named_in_full(desk: Desk, name: str) -> None:
    kept(desk)
    path = Path("kept/job.json")
    record = json.loads(path.read_bytes())
    record["wanted"][name] = "some/where.png"
    path.write_text(json.dumps(record))
    saved = read_run(Path("kept"))
    assert getattr(located(saved).wanted, name) == "some/where.png"
    Path("elsewhere").mkdir()
    with contextlib.chdir("elsewhere"):
        assert getattr(located(saved).wanted, name) == str(desk.folder / "some/where.png")


def test_two_runs_do_not_share_a_folder(desk: Desk, tmp_path: Path) -> None:
    """Both asked before either had anything to keep."""
    kept(desk)
    saved = read_run(Path("kept"))
    first, second = (RunFolder(tmp_path / "-o.run", Wanted(), None) for _ in range(2))
    for folder in (first, second):
        folder.check()
    assert first.store("{}", saved.checkpoint, saved.memory)
    assert first.command == f"brushwork resume {tmp_path}/-o.run"
    assert not second.store("{}", saved.checkpoint, saved.memory)
    assert "File exists" in second.trouble
    second.finish()
    assert first.holds_state
    first.finish()
    assert not first.path.exists()


def test_a_disk_that_was_full_at_first_is_tried_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(desk)
    saved = read_run(Path("kept"))
    folder = RunFolder(tmp_path / "later.run", Wanted(), None)
    with monkeypatch.context() as patch:
        patch.setattr("brushwork.outputs.files.os.fsync", full_disk)
        assert not folder.store("{}", saved.checkpoint, saved.memory)
    assert folder.store("{}", saved.checkpoint, saved.memory)
    assert folder.holds_state


def full_disk(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_quick_run_leaves_nothing(desk: Desk) -> None:
    assert desk.stylize(output="r.png").json["run_dir"] is None
    assert desk.outputs() == ["r.png"]


def test_a_film_begins_anew_and_that_is_said(desk: Desk) -> None:
    kept(desk, record="film.mp4")
    before = Path("film.mp4").read_bytes()
    outcome = desk.call("resume", "kept")
    assert "a film cannot be continued: film-from-2.mp4 begins at evaluation 2\n" in outcome.err
    assert Path("film-from-2.mp4").stat().st_size > 0
    assert Path("film.mp4").read_bytes() == before


def test_a_run_that_went_astray_is_not_resumed(desk: Desk) -> None:
    wild: dict[str, Value] = {"optimizer": "sgd", "learning_rate": 1e9, "json": None, "steps": 20}
    assert "--learning-rate" in desk.stylize(output="r.png", **(wild | OFTEN)).complaint
    assert desk.outputs() == ["r.png"]


# ------------------------------------------------------------------------------------ refused, and damage


def test_an_interrupted_run_is_not_lost_by_starting_it_again(desk: Desk) -> None:
    kept(desk)
    shutil.move("kept", "r.png.run")
    Path("r.png").unlink()
    complaint = desk.stylize(output="r.png", overwrite=None, json=None).complaint
    assert "`brushwork resume r.png.run`, or --overwrite" in complaint
    assert desk.stylize(output="r.png").status == 0  # with --overwrite
    assert desk.outputs() == ["r.png"]
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    assert "holds other files" in desk.stylize(run_dir="full", json=None).complaint
    assert "--checkpoint-every 0" in desk.stylize(run_dir="new", checkpoint_every=0, json=None).complaint


@pytest.mark.parametrize("name", ["photo.png", "painting.png", "network.safetensors"])
def test_changed_inputs_are_refused(desk: Desk, name: str) -> None:
    kept(desk)
    with Path(name).open("ab") as file:
        file.write(b"x")
    assert f"{name} has changed since the run began" in desk.call("resume", "kept").complaint
    Path(name).unlink()
    assert f"{name} is not there any more" in desk.call("resume", "kept").complaint


def test_damage_is_found(desk: Desk) -> None:
    """Wherever a byte of the checkpoint is wrong, it is not used."""
    kept(desk)
    assert "nowhere is no run directory" in desk.call("resume", "nowhere").complaint
    state = Path("kept/checkpoint.safetensors")
    whole = state.read_bytes()
    for at in [0, 9, 200, *range(500, len(whole), len(whole) // 7), len(whole) - 1]:
        state.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "damaged" in desk.call("resume", "kept").complaint
    for length in (0, 5, 1000, len(whole) - 1):
        state.write_bytes(whole[:length])
        assert "damaged" in desk.call("resume", "kept").complaint
    state.unlink()
    assert "nothing to go on from" in desk.call("resume", "kept").complaint
    state.write_bytes(whole)
    for name in ("trace.jsonl", "job.json"):
        content = Path("kept", name).read_bytes()
        for wrong in (b"", b"{}", content[:40]):
            Path("kept", name).write_bytes(wrong)
            assert "damaged" in desk.call("resume", "kept").complaint
        Path("kept", name).write_bytes(content)
    assert desk.call("resume", "kept", "--quiet").status == 0


def test_a_run_that_is_overwritten_leaves_no_state_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when its own first state cannot be written: the old one does not go with the new job."""
    kept(desk, trace="r.jsonl")
    saved = read_run(Path("kept"))
    Path("kept/photo").touch()

    def full(path: Path, state: dict[str, Any]) -> None:
        raise OutputError(f"{path}: no space left")

    monkeypatch.setattr(checkpoint, "save", full)
    folder = RunFolder(Path("kept"), Wanted(run_dir="kept", overwrite=True), None)
    folder.check()
    folder.add_line(b'{"new": 1}\n')
    assert not folder.store('{"job": "new"}', saved.checkpoint, saved.memory)
    assert "no space left" in folder.trouble
    assert not folder.holds_state
    assert sorted(path.name for path in Path("kept").iterdir()) == ["job.json", "trace.jsonl"]
    assert Path("kept/trace.jsonl").read_bytes() == b'{"new": 1}\n'


def test_a_trace_goes_on_where_the_state_was_kept(desk: Desk) -> None:
    """Lines that were written after it are neither read nor kept."""
    kept(desk, trace="r.jsonl")
    path = Path("kept/trace.jsonl")
    known = path.read_bytes()
    assert known.count(b"\n") == 1
    path.write_bytes(known + b'{"evaluation": 2, "of a state that was never finished": 1}\n')
    saved = read_run(Path("kept"))
    assert saved.trace == known
    folder = RunFolder(Path("kept"), saved.wanted, None, saved)
    folder.add_line(b'{"evaluation": 2}\n')
    assert folder.store("", saved.checkpoint, saved.memory)
    assert path.read_bytes() == known + b'{"evaluation": 2}\n'
    assert read_run(Path("kept")).trace == known + b'{"evaluation": 2}\n'


def medium_files() -> None:
    """No file may grow beyond 15 kB: the picture fits, the state does not."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000))


@pytest.mark.slow
def test_a_full_disk_does_not_stop_the_run(desk: Desk) -> None:
    line = desk.line(output="r.png", steps=30, quiet=True, **OFTEN)
    done = process(line, desk.folder, preexec_fn=medium_files)
    told = done.stderr.decode()
    assert done.returncode == 0, told
    assert told.count("\n") == 1
    assert "no checkpoint could be written (r.png.run/checkpoint.safetensors: " in told
    assert desk.outputs() == ["r.png"]


@pytest.mark.slow
def test_killed_in_the_middle_of_a_checkpoint(tmp_path: Path) -> None:
    """The file is one whole checkpoint or another."""
    program = (
        "import sys, torch; from pathlib import Path; from brushwork.outputs.checkpoint import save\n"
        "for n in range(10**6): save(Path(sys.argv[1]), {'n': n, 'x': torch.full((3_000_000,), n * 1.0)})"
    )
    file = tmp_path / "checkpoint.safetensors"
    for delay in (0.07, 0.11, 0.2):
        with subprocess.Popen([sys.executable, "-c", program, str(file)], env=environment()) as writer:
            while not file.exists():
                time.sleep(0.01)
            time.sleep(delay)
            writer.kill()
        state = checkpoint.load(file)
        assert bool((state["x"] == state["n"]).all())


# --------------------------------------------------------------------------------------------- the state


def test_a_state_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    shared = torch.randn(1, 3, 5, 4)
    state: dict[str, Any] = {
        "nothing": None, "true": True, "float": 0.1 + 0.2, "infinite": math.inf, "text": "é",
        "pairs": [(shared, torch.randn(7).bfloat16()), (shared, 3)], "nested": {"number": torch.tensor(2.5)},
        "layout": shared.contiguous(memory_format=torch.channels_last), "none at all": [],
    }  # fmt: skip
    checkpoint.save(tmp_path / "s.safetensors", state)
    back = checkpoint.load(tmp_path / "s.safetensors")
    pairs, layout, nested = back.pop("pairs"), back.pop("layout"), back.pop("nested")
    assert torch.equal(pairs[0][0], shared) and pairs[0][0] is pairs[1][0]
    assert isinstance(pairs[0], tuple) and torch.equal(pairs[0][1], state["pairs"][0][1])
    assert torch.equal(layout, shared) and layout.stride() == state["layout"].stride()
    assert nested["number"].item() == 2.5 and pairs[1][1] == 3
    assert back == {name: state[name] for name in back}


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_state_may_be_gone_on_from_twice(desk: Desk, optimizer: str) -> None:
    kept(desk, optimizer=optimizer)
    saved = read_run(Path("kept"))
    ends = [finished(run(saved.machine_job, read_sources(saved.job), saved.checkpoint)) for _ in range(2)]
    assert torch.equal(ends[0].picture.pixels, ends[1].picture.pixels)


def test_what_a_state_remembers_goes_to_disk_where_the_plan_wants_it() -> None:
    one, other = LBFGS(), LBFGS(vault=Vault(on_disk=True))
    for x in (torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.2)):
        one.step(x, float((x**4).sum()), 4 * x**3)
    state = take(one)
    give(other, state, torch.device("cpu"))
    before = state["pairs"]
    pairs = other.stored()
    assert len(pairs) == 2
    for old, new in zip(before, pairs, strict=True):
        assert all(torch.equal(a, b) and a.data_ptr() != b.data_ptr() for a, b in zip(old, new, strict=True))


def test_optimisers_give_and_take_their_state() -> None:
    x = torch.randn(1, 3, 4, 4)
    one, other = LBFGS(), LBFGS()
    for _ in range(4):
        x = one.step(x, float((x**4).sum()), 4 * x**3)
    give(other, take(one), x.device)
    gradient, loss = 4 * x**3, float((x**4).sum())
    assert torch.equal(one.step(x, loss, gradient), other.step(x, loss, gradient))
    with pytest.raises(InputError, match="another version"):
        give(Adam(0.1), take(one), x.device)


def test_what_takes_long_is_done_more_seldom() -> None:
    pace = Pace(0.02, at_once=True)
    assert pace.due
    with pace.timed():
        time.sleep(0.05)
    done = time.monotonic()
    while not pace.due:
        time.sleep(0.01)
    assert time.monotonic() - done > 0.49


# ------------------------------------------------------------------------------------------ seeing it work


@pytest.mark.slow
def test_the_preview_changes_while_it_works(desk: Desk) -> None:
    """Always whole, always of the result's size."""
    seen: set[bytes] = set()

    def changed() -> bool:
        if Path("now.png").exists():
            seen.add(Path("now.png").read_bytes())
        return len(seen) > 2

    long: dict[str, Value] = {"scales": ["0.5", "1"], "steps": 100_000, "optimizer": "adam"}
    running = begun(desk, 1, changed, preview="now.png", **long)
    for content in seen:
        Path("seen.png").write_bytes(content)
        assert desk.picture("seen.png").shape == (36, 48, 3)
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode == 130


def test_the_preview_ends_as_the_result_and_fails_alone(desk: Desk) -> None:
    result = desk.painted(output="r.png", preview="now.png")
    assert np.array_equal(desk.picture("now.png"), result)
    assert "now.png exists" in desk.stylize(preview="now.png", overwrite=None, json=None, output="s.png").err
    assert "same name" in desk.stylize(preview="result.png", json=None).complaint
    large = desk.painted(output="r.png", preview="now.jpg", size=1100, steps=1)
    assert large.shape == (825, 1100, 3)
    with Image.open("now.jpg") as image:
        assert image.size == (1024, 768)


def test_time_left_counts_pixels() -> None:
    scales = [Scale(20, 40, 30), Scale(40, 80, 10)]
    started = Started(80, 40, 40, "cpu", "float32", "w", torch.zeros(1, 3, 20, 40), scales)
    work = Work(started)
    assert work.total == 30 / 4 + 10
    assert [work.after(n) for n in (0, 8, 30, 35)] == [0, 2, 7.5, 12.5]


def test_trials_of_detail_are_no_progress(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """In tiles: what is done never becomes less, and a resumed run begins with them."""
    job = build(Stylize, {**desk.quick, "size": 96, "tile": 64, "scales": ["0.5", "1"], "style_detail": True})
    lines, work, done = Lines(), None, 0.0
    monkeypatch.setattr("brushwork.surfaces.terminal.LINE_EVERY", -1.0)
    state: Checkpoint | None = None
    for event in run(job):
        work = Work(event) if isinstance(event, Started) else work
        if work and isinstance(event, Swept | Progress):
            now = work.during(event) if isinstance(event, Swept) else work.after(event.evaluation)
            assert now >= done
            done = now
        if isinstance(event, Checkpoint) and event.rung == 0:
            state = replace(event, optimizer=copy.deepcopy(event.optimizer))
    assert state
    for event in run(job, state=state):
        lines.show(event)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 130])
def test_the_bar_shows_scale_step_losses_and_time_left(desk: Desk, columns: int) -> None:
    ours, theirs = os.openpty()
    line = desk.line(output="r.png", steps=160, scales=["0.5", "1"], threads=1)
    size = environment(COLUMNS=str(columns), TERM="xterm")
    with subprocess.Popen([BRUSHWORK, *line], env=size, stderr=theirs, stdout=theirs) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the end, on Linux
            while more := os.read(ours, 65536):
                shown += more
    os.close(ours)
    assert running.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"[━╸╺] [-\d]:[-\d]{2}:[-\d]{2} scale 1/2, 24 px, step \d+/80, loss [\d.]+", text)
    assert re.search(r"━ 0:00:00 scale 2/2, 48 px, step 80/80, loss [\d.]+", text)
    # Where a line is too narrow for the terms they are left out, and nothing is cut.
    assert ("(content " in text) is (columns == 130)
    assert "…" not in text
