"""Two processes on this machine's processors, started by torchrun, train as one does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from brushwork.encode import to_image
from brushwork.outputs.checkpoint import load
from commands import BRUSHWORK, environment
from gan_bench import QUICK, Bench

pytestmark = pytest.mark.slow
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SCRIPT = """
import sys
from pathlib import Path
from brushwork.outputs import checkpoint
from brushwork.training.datasets import InMemory
from brushwork.training.events import Stepped
from brushwork.training.loop import Plan, train
from brushwork.training.processes import processes
from test_training import CPU, made, pictures

together = processes()
task = made(noise=0.0)
plan = Plan(3, seed=7, accumulate=2, processes=together)
events = train(task, InMemory(pictures(), 8, 7), plan, CPU)
losses = [event.losses["loss"] for event in events if isinstance(event, Stepped)]
weights = [parameter.detach() for parameter in task.network.parameters()]
state = {"count": together.count, "losses": losses, "weights": weights}
checkpoint.save(Path(f"{sys.argv[1]}-{together.rank}"), state)
together.close()
"""


def launched(folder: Path, *line: str) -> subprocess.CompletedProcess[bytes]:
    source = f"{Path(__file__).parents[1] / 'src'}:{Path(__file__).parent}"
    more = environment(OMP_NUM_THREADS="1", PYTHONPATH=source)
    return subprocess.run(
        [*LAUNCH, *line], cwd=folder, env=more, capture_output=True, timeout=60, check=False
    )


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    subprocess.run(
        [sys.executable, "script.py", "one"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{Path(__file__).parents[1] / 'src'}:{Path(__file__).parent}"),
        check=True,
    )
    done = launched(tmp_path, "script.py", "two")
    assert done.returncode == 0, done.stderr.decode()
    one, first, second = (load(tmp_path / name) for name in ("one-0", "two-0", "two-1"))
    assert (one["count"], first["count"]) == (1, 2)
    assert first["losses"] == second["losses"] == pytest.approx(one["losses"], rel=1e-4)
    for alone, a, b in zip(one["weights"], first["weights"], second["weights"], strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, alone, atol=1e-5, rtol=1e-3)


def test_the_command_line_trains_in_two_processes(bench: Bench) -> None:
    line = [BRUSHWORK, "gan", "train", *QUICK, "--epochs", "2", "-o", "run", "--json"]
    done = launched(bench.folder, *line)
    assert done.returncode == 0, done.stderr.decode()
    (told,) = [json.loads(row) for row in done.stdout.splitlines()]  # one process speaks
    assert told["epochs"] == 2
    assert bench.gan("train", "-o", "run", "--resume", "--epochs", "3", "--quiet").status == 0


def test_ctrl_c_in_two_processes_keeps_what_was_learnt(bench: Bench) -> None:
    """The launcher hands it to both; the first stores and the other says nothing."""
    line = [BRUSHWORK, "gan", "train", *QUICK, "--epochs", "5000", "-o", "run"]
    running = subprocess.Popen(
        [*LAUNCH, *line], cwd=bench.folder, env=environment(OMP_NUM_THREADS="1"), stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while not (bench.folder / "run" / "strip_000.png").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=60)[1].decode()
    assert "interrupted; go on: brushwork gan train -o run --resume" in told
    assert "this is our fault" not in told
    assert load(bench.folder / "run" / "checkpoint.safetensors")["place"]["step"] > 0


def test_a_style_network_is_trained_in_two_processes(tmp_path: Path, photo: Tensor, painting: Tensor) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(6):
        to_image(photo.roll(9 * number, -1)).save(tmp_path / "photos" / f"{number}.png")
    to_image(painting).save(tmp_path / "painting.png")
    line = [
        BRUSHWORK, "train", "stylenet", "photos", "--style", "painting.png", "--steps", "3", "--batch", "2",
        "--crop", "64", "--width", "4", "--blocks", "1", "--style-size", "64", "--compare-steps", "5",
        "--threads", "1", "--device", "cpu", "-o", "net.safetensors", "--json",
    ]  # fmt: skip
    done = launched(tmp_path, *line)
    assert done.returncode == 0, done.stderr.decode()
    (told,) = [json.loads(row) for row in done.stdout.splitlines()]
    assert told["steps"] == 3
    assert (tmp_path / "net.safetensors").exists()
