"""Ctrl-C, kill -9, a full disk and a run that goes astray: nothing half-written, nothing lost."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from brushwork.errors import OutputError
from brushwork.events import Losses, Progress, Started
from brushwork.images import Picture, Sources
from brushwork.jobs import Stylize
from brushwork.optimize.scales import Scale
from brushwork.outputs import files
from brushwork.outputs.writer import Writer
from brushwork.wanted import Wanted
from commands import BRUSHWORK, Desk, Value, environment, process

LONG: dict[str, Value] = {"steps": 100_000, "output": "result.png", "trace": "t.jsonl", "quiet": True}


def started(desk: Desk, *, wait: int = 3, **options: Value) -> subprocess.Popen[bytes]:
    """A long run in a process of its own, after its first few evaluations."""
    line = desk.line(**(LONG | options))
    running = subprocess.Popen(
        [BRUSHWORK, *line],
        cwd=desk.folder,
        env=environment(TMPDIR=str(desk.folder / "tmp")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    trace, patience = desk.folder / "t.jsonl", time.monotonic() + 60
    while not trace.exists() or trace.read_bytes().count(b"\n") < wait:
        assert running.poll() is None, running.communicate()[1].decode()
        assert time.monotonic() < patience
        time.sleep(0.02)
    return running


def said(running: subprocess.Popen[bytes]) -> str:
    """What it has to say at its end."""
    out, err = running.communicate(timeout=60)
    assert out == b""
    return err.decode()


@pytest.fixture(autouse=True)
def temporary_folder(desk: Desk) -> Path:
    (folder := desk.folder / "tmp").mkdir()
    return folder


# ------------------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.slow
def test_ctrl_c_saves_the_picture_so_far_and_says_how_to_go_on(desk: Desk) -> None:
    """Even at a coarse scale the picture has its final size, alpha and sheets."""
    photo = Image.open("photo.png").convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    photo.save("clear photo.png")
    running = started(
        desk, content="clear photo.png", scales=["0.5:9999", "1"], comparison="sheet.png", record="film.mp4",
        tv_weight=7,
    )  # fmt: skip
    running.send_signal(signal.SIGINT)
    told = said(running)
    assert running.returncode == 130
    assert "Traceback" not in told
    result = desk.picture("result.png")
    assert result.shape == (36, 48, 4)
    alpha = np.asarray(photo.resize((48, 36)))[..., 3]
    assert np.abs(result[..., 3].astype(int) - alpha).max() < 12
    outputs = {"result.png", "sheet.png", "film.mp4", "t.jsonl", "clear photo.png", "tmp"}
    assert {name for name in desk.outputs() if not name.startswith("result.png.run")} == outputs
    first, second = told.splitlines()
    assert first == "interrupted; the picture so far is in result.png"
    assert second == "go on: brushwork resume result.png.run"


@pytest.mark.slow
def test_ctrl_c_without_checkpoints_goes_on_from_the_picture(desk: Desk) -> None:
    running = started(desk, checkpoint_every=0)
    running.send_signal(signal.SIGINT)
    line = said(running).splitlines()[-1]
    assert line == "go on from it: brushwork stylize --from result.png --init result.png -o NEW.png"
    assert desk.call(*shlex.split(line.partition(": brushwork ")[2]), "--steps", "2", "--quiet").status == 0
    assert desk.picture("NEW.png").shape == (36, 48, 3)


@pytest.mark.slow
def test_ctrl_c_without_metadata_names_photo_and_styles(desk: Desk) -> None:
    Path("photo.png").rename("my photo.png")
    running = started(
        desk, content="my photo.png", styles=["painting.png:2"], metadata=False, checkpoint_every=0
    )
    running.send_signal(signal.SIGINT)
    line = said(running).splitlines()[-1]
    assert running.returncode == 130
    assert line == (
        "go on from it: brushwork stylize 'my photo.png' --style painting.png:2 --init result.png -o NEW.png"
    )


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once(desk: Desk) -> None:
    """In the middle of a long evaluation the second one does not wait; either way no traceback, no rest."""
    big: dict[str, Value] = {"size": 400, "weights": None, "style_layers": ["block5_conv1"]}
    running = started(desk, wait=1, **big)
    running.send_signal(signal.SIGINT)
    time.sleep(0.15)
    running.send_signal(signal.SIGINT)
    told = said(running)
    assert running.returncode == 130
    assert "interrupted" in told and "Traceback" not in told
    left = {"result.png", "t.jsonl", "tmp"}
    assert {name for name in desk.outputs() if not name.startswith("result.png.run")} <= left
    if "result.png" in desk.outputs():  # it was quick enough
        assert desk.picture("result.png").shape == (300, 400, 3)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_ctrl_c_while_it_starts(desk: Desk) -> None:
    running = subprocess.Popen(
        [BRUSHWORK, *desk.line(output="result.png")], env=environment(), stderr=subprocess.PIPE
    )
    while "torch" not in Path(f"/proc/{running.pid}/maps").read_text():
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, b"brushwork: interrupted\n")
    assert set(desk.outputs()) == {"tmp"}


# ------------------------------------------------------------------------------------------------ kill -9


@pytest.mark.slow
def test_kill_leaves_the_earlier_output(desk: Desk) -> None:
    Path("result.png").write_bytes(b"earlier")
    running = started(desk, overwrite=True)
    running.kill()
    assert said(running) == ""
    assert Path("result.png").read_bytes() == b"earlier"
    assert set(desk.outputs()) == {"result.png", "t.jsonl", "tmp"}


def test_kill_in_the_middle_of_writing(tmp_path: Path) -> None:
    """The file bears the old content or the new, whole, whenever the writer dies."""
    target, size = tmp_path / "big.bin", 30_000_000
    program = (
        "import sys; from pathlib import Path; from brushwork.outputs.files import write\n"
        "while True:\n"
        f"    for letter in b'ab': write(Path(sys.argv[1]), bytes([letter]) * {size})"
    )
    for delay in (0.05, 0.13):
        with subprocess.Popen([sys.executable, "-c", program, str(target)]) as writer:
            while not target.exists():
                time.sleep(0.01)
            time.sleep(delay)
            writer.kill()
        content = target.read_bytes()
        assert len(content) == size
        assert content == content[:1] * size


# ---------------------------------------------------------------------------------------------- full disks


def small_files() -> None:
    """No file may grow beyond 2 kB, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


@pytest.mark.slow
def test_a_full_disk_keeps_the_earlier_output(desk: Desk) -> None:
    earlier = desk.painted()
    line = desk.line(output="result.png", overwrite=True, quiet=True, seed=1, init="noise")
    done = process(
        line, desk.folder, preexec_fn=small_files, env=environment(TMPDIR=str(desk.folder / "tmp"))
    )
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "brushwork: result.png: File too large: nothing was written there; "
        "the temporary folder cannot take it either\n"
    )
    assert np.array_equal(desk.picture("result.png"), earlier)
    assert set(desk.outputs()) == {"result.png", "tmp"}


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_is_found_before_the_work(desk: Desk) -> None:
    disk = desk.folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        (disk / "earlier.png").write_bytes(bytes(60_000))
        complaint = desk.stylize(output="disk/earlier.png", size=64, json=None).complaint
        assert "4 kB free and 25 kB needed: free some space" in complaint
        complaint = desk.stylize(record="disk/film", json=None).complaint
        assert "free some space" in complaint
        assert (disk / "earlier.png").stat().st_size == 60_000
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_folder_that_goes_away_does_not_take_the_picture_with_it(desk: Desk) -> None:
    Path("away").mkdir()
    running = started(desk, output="away/result.png")
    Path("away").rmdir()
    running.send_signal(signal.SIGINT)
    told = said(running)
    assert running.returncode == 2
    assert told.count("\n") == 1
    assert told.startswith("brushwork: away/result.png: No such file or directory")
    saved = Path(told.rpartition("saved as ")[2].strip())
    assert saved.parent == desk.folder / "tmp"
    assert desk.picture(saved).shape == (36, 48, 3)


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_threads_write_files_whose_names_begin_alike(tmp_path: Path) -> None:
    names = [f"{'holiday in the mountains of Switzerland, 20'}{number:02}.png" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        _ = list(pool.map(lambda name: files.write(tmp_path / name, name.encode() * 100_000), names))
    assert {path.name: path.read_bytes()[:45] for path in tmp_path.glob("holiday*.png")} == {
        name: name.encode()[:45] for name in names
    }


def test_too_little_space_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"kB free and 1,000,000,000,000,000 kB needed: free some space"):
        files.check_place(tmp_path / "a.png", overwrite=False, need=10**18)


# ------------------------------------------------------------------------------------------ gone astray


def test_a_diverging_run_names_the_term_and_saves_the_best_picture(desk: Desk) -> None:
    options: dict[str, Value] = {"optimizer": "sgd", "learning_rate": 1e9, "json": None, "steps": 20}
    options |= {"color": "style", "init_noise": 0}
    complaint = desk.stylize(grid="grid.png", plot="plot.png", trace="t.jsonl", **options).complaint
    assert "loss" in complaint or "gradient" in complaint
    assert "evaluation 2" in complaint
    assert "--learning-rate" in complaint
    assert complaint.endswith("the best picture so far is in result.png")
    start = desk.painted(strength=0, tv_weight=0, output="start.png")
    assert np.array_equal(desk.picture("result.png"), start)  # what was best is where it began
    assert {"result.png", "grid.png", "plot.png", "t.jsonl"} <= set(desk.outputs())


@pytest.mark.parametrize(
    ("heavy", "term"),
    [
        ({"tv_weight": 1, "style_weight": 0, "content_weight": 0}, "total variation"),
        ({"style_weight": 1e9}, "style"),
    ],
)
def test_the_term_that_ran_away(desk: Desk, heavy: dict[str, Value], term: str) -> None:
    options: dict[str, Value] = {"optimizer": "sgd", "learning_rate": 1e3, "json": None, "steps": 20}
    assert term in desk.stylize(**heavy, **options).complaint


def test_nothing_is_saved_where_there_was_nothing_yet(desk: Desk) -> None:
    """A loss that is no number from the start has no best picture."""
    complaint = desk.stylize(style_weight=1e300, style_loss="keras", json=None).complaint
    assert "style loss is inf" in complaint
    assert "best picture" not in complaint
    assert "result.png" not in desk.outputs()


def test_a_scale_begins_with_the_best_picture_of_the_last(photo: Tensor) -> None:
    """Not with its last trial step, which may be far off."""
    pictures = [torch.full((1, 3, 4, 4), level / 10) for level in range(5)]
    job = Stylize(content="p.png", styles=("a.png",), optimizer="lbfgs")  # pyright: ignore[reportArgumentType]
    writer = Writer(
        job, Wanted(output="r.png", checkpoint_every=0), Sources(Picture(photo), [Picture(photo)])
    )
    writer.handle(Started(4, 4, 4, "cpu", "float32", "w", pictures[0], [Scale(4, 4, 4)]))
    steps = [(1, 5.0), (2, 3.0), (1, 9.0), (2, 10.0)]
    for at, (step, total) in enumerate(steps, 1):
        losses = Losses(total, total, 0, 0)
        writer.handle(Progress(at, 4, 0, 4, step, losses, 1.0, pictures[at]))
    assert writer.best[0] == 9
    assert writer.best[1] is pictures[1]
