"""`brushwork gan` as it is typed: the files of a training, its JSON, resuming, samples, mistakes."""

from __future__ import annotations

import gzip
import json
import resource
import signal
import subprocess
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brushwork.errors import OutputError
from brushwork.outputs import files
from brushwork.outputs.checkpoint import load
from brushwork.training.datasets import INSTALLED, read_idx, read_pictures
from brushwork.training.jobs import GanSample, GanTrain, TrainingFiles
from commands import BRUSHWORK, environment, process
from gan_bench import QUICK, Bench, idx


def small_files() -> None:
    """No file may grow beyond 5 MB, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))


def test_a_training_writes_what_it_says(bench: Bench) -> None:
    told = bench.train("--epochs", "2", "-o", "run", "--film-every", "1", "--json").json
    assert told.keys() == {"parameters", "epochs", "d_loss", "g_loss", "images_per_second", "output"}
    assert told["parameters"] == {"discriminator": 396_609, "generator": 310_849}
    assert (told["epochs"], told["output"]) == (2, "run")
    assert 0.3 < told["d_loss"] < 1 > told["g_loss"] > 0.3
    folder = bench.folder / "run"
    monitor = [f"generated_img_{epoch:03d}_{i}.png" for epoch in range(2) for i in range(10)]
    rest = ["checkpoint.safetensors", "film.mp4", "generator.safetensors", "job.json", "log.jsonl"]
    strips = ["losses.png", "strip_000.png", "strip_001.png"]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*monitor, *rest, *strips])
    with Image.open(folder / monitor[0]) as image:
        assert (image.mode, image.size) == ("L", (28, 28))
        assert image.getextrema() == (0, 255)  # stretched to its own minimum and maximum
    with Image.open(folder / "strip_000.png") as image:
        assert image.size == (4 * (8 * 29 + 1), 4 * 30)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 3), (2, 6)]
    assert lines[-1]["d_loss"] == told["d_loss"]


def test_a_training_does_without_a_stderr_that_is_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)  # as Python has it after 2>&-
    loud = [word for word in QUICK if word != "--quiet"]
    assert bench.gan("train", *loud, "--epochs", "1", "-o", "run").status == 0
    assert (bench.folder / "run" / "generator.safetensors").exists()


def test_the_film_has_a_frame_every_so_many_steps(bench: Bench) -> None:
    import av

    bench.train("--epochs", "3", "-o", "run", "--film-every", "2")
    with av.open(str(bench.folder / "run" / "film.mp4")) as film:
        frames = list(film.decode(video=0))
    assert (frames[0].width, frames[0].height) == (280, 280)
    assert len(frames) == 4  # after steps 2, 4, 6 and 8; nine in all


def test_resuming_ends_with_the_same_bits(bench: Bench) -> None:
    assert bench.train("--epochs", "3", "-o", "whole").status == 0
    assert bench.train("--epochs", "1", "-o", "parts").status == 0
    told = bench.gan("train", "-o", "parts", "--resume", "--epochs", "3", "--json").json
    assert told["epochs"] == 3
    assert bench.state("whole") == bench.state("parts")
    again = bench.gan("train", "-o", "parts", "--resume", "--json").json
    assert (again["d_loss"], again["g_loss"]) == (told["d_loss"], told["g_loss"])


@pytest.mark.slow
def test_killed_at_any_point_it_resumes_to_the_same_bits(bench: Bench) -> None:
    assert bench.train("--epochs", "12", "-o", "whole").status == 0
    line = [BRUSHWORK, "gan", "train", *QUICK, "--epochs", "12", "-o", "killed", "--checkpoint-every", "0.01"]
    for delay in (0.0, 0.4):
        running = subprocess.Popen(line, env=environment(OMP_NUM_THREADS="1"))
        place = bench.folder / "killed" / ("checkpoint.safetensors" if delay else "job.json")
        until = time.monotonic() + 60
        while not place.exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(delay)
        running.send_signal(signal.SIGKILL)
        running.wait()
        line = [*line, "--resume"] if "--resume" not in line else line
    assert bench.gan("train", "-o", "killed", "--resume", "--quiet").status == 0
    assert bench.state("whole") == bench.state("killed")


@pytest.mark.slow
def test_an_interrupted_training_says_how_to_go_on(bench: Bench) -> None:
    line = [BRUSHWORK, "gan", "train", *QUICK, "--epochs", "5000", "-o", "run"]
    running = subprocess.Popen(line, env=environment(OMP_NUM_THREADS="1"), stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (bench.folder / "run" / "strip_000.png").exists() and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"brushwork gan train -o run --resume" in err
    assert bench.state("run")


@pytest.mark.slow
def test_a_failing_checkpoint_keeps_the_last_good_one(bench: Bench) -> None:
    assert bench.train("--epochs", "1", "-o", "run").status == 0
    good = bench.state("run")
    line = ["gan", "train", "-o", "run", "--resume", "--epochs", "4", "--checkpoint-every", "0.01"]
    ended = process(line, bench.folder, preexec_fn=small_files)
    err = ended.stderr.decode()
    assert ended.returncode == 2
    assert "no checkpoint could be written" in err
    assert err.splitlines()[-1].startswith("brushwork: run/checkpoint.safetensors: ")
    assert "Traceback" not in err
    assert bench.state("run") == good
    assert not list((bench.folder / "run").glob("*.part"))


def test_samples_that_cannot_be_written_do_not_stop_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write

    def full(path: Path, content: files.Content) -> None:
        if path.name.startswith("generated_img_"):
            raise OutputError(f"{path}: No space left on device: nothing was written there")
        write(path, content)

    monkeypatch.setattr(files, "write", full)
    ended = bench.train("--epochs", "2", "-o", "run")
    assert ended.status == 0, ended.err
    assert ended.err.count("no samples could be written (run/generated_img_000_0.png: No space left") == 1
    assert (bench.folder / "run" / "generator.safetensors").exists()


# ------------------------------------------------------------------------------------------------- options

CHANGES: dict[str, list[list[str]]] = {
    "recipe": [[], ["--recipe", "other.toml"]],
    "data": [[], ["--data", "pictures"]],
    "epochs": [["--epochs", "1"], ["--epochs", "2"]],
    "limit": [[], ["--limit", "9"]],
    "seed": [[], ["--seed", "1"]],
    "precision": [[], ["--precision", "bfloat16"]],
    "batch": [[], ["--batch", "10"]],
    "loss": [[], ["--loss", "hinge"], ["--loss", "logits", "--label-noise", "0"]],
    "label_noise": [[], ["--label-noise", "0.2"]],
    "discriminator_rate": [[], ["--discriminator-rate", "1e-3"]],
    "generator_rate": [[], ["--generator-rate", "1e-3"]],
    "beta1": [[], ["--beta1", "0.5"]],
    "dropout": [[], ["--dropout", "0.5"]],
    "normalisation": [[], ["--normalisation", "spectral"]],
    "average": [[], ["--average", "0.9"]],
}


@pytest.mark.parametrize("option", CHANGES)
def test_option_changes_the_training(option: str, bench: Bench) -> None:
    (bench.folder / "other.toml").write_text('base = "fashion-dcgan"\nlabel_noise = 0.3\n')
    (bench.folder / "pictures").mkdir()
    for i in range(9):
        Image.new("RGB", (30 + i, 40), (20 * i, 90, 30)).save(bench.folder / "pictures" / f"{i}.png")
    seen = [_trained(bench, i, line) for i, line in enumerate(CHANGES[option])]
    assert all(a != b for a, b in combinations(seen, 2))


def _trained(bench: Bench, number: int, line: list[str]) -> bytes:
    usual = [] if "--epochs" in line else ["--epochs", "1"]
    own = [*QUICK[:2], *QUICK[4:]] if "--batch" in line else list(QUICK)
    own = own[2:] if "--data" in line else own
    outcome = bench.gan("train", *own, *usual, "-o", f"run{number}", *line)
    assert outcome.status == 0, outcome.err
    weights = load(bench.folder / f"run{number}" / "generator.safetensors")["weights"]
    return b"".join(tensor.numpy().tobytes() for tensor in weights.values())


def test_every_option_is_tried() -> None:
    seen = {"accumulate", "device", "threads"}  # below, and in the tests of the loop
    assert CHANGES.keys() | seen == GanTrain.model_fields.keys()
    assert TrainingFiles.model_fields.keys() == {
        "output", "resume", "overwrite", "checkpoint_every", "film_every"
    }  # fmt: skip
    assert GanSample.model_fields.keys() == {
        "generator", "count", "interpolate", "columns", "zoom", "seed", "output", "overwrite"
    }  # fmt: skip


def test_accumulate_computes_in_parts(bench: Bench) -> None:
    one = bench.train("--epochs", "1", "-o", "one", "--label-noise", "0", "--json").json
    two = bench.train("--epochs", "1", "-o", "two", "--label-noise", "0", "--accumulate", "4", "--json").json
    assert one["d_loss"] != two["d_loss"]  # other latents
    assert one["d_loss"] == pytest.approx(two["d_loss"], rel=0.02)


# ------------------------------------------------------------------------------------------------- samples


def test_samples(bench: Bench) -> None:
    bench.train("--epochs", "1", "-o", "run")
    assert (
        bench.gan("sample", "run", "--count", "6", "-o", "a.png", "--columns", "3", "--zoom", "2").status == 0
    )
    with Image.open("a.png") as image:
        assert image.size == (2 * (3 * 29 + 1), 2 * (2 * 29 + 1))
    bench.gan("sample", "run/generator.safetensors", "--count", "6", "-o", "b.png", "--columns", "3")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    bench.gan("sample", "run", "--count", "6", "-o", "c.png", "--columns", "3", "--seed", "1")
    assert Path("a.png").read_bytes() != Path("c.png").read_bytes()
    assert "--overwrite" in bench.gan("sample", "run", "-o", "a.png").complaint
    assert bench.gan("sample", "run", "-o", "a.png", "--overwrite").status == 0


def test_interpolation_is_a_row_a_pair_or_a_film(bench: Bench) -> None:
    import av

    bench.train("--epochs", "1", "-o", "run")
    assert bench.gan("sample", "run", "--count", "3", "--interpolate", "5", "-o", "a.png").status == 0
    with Image.open("a.png") as image:
        assert image.size == (2 * (5 * 29 + 1), 2 * (2 * 29 + 1))
        sheet = np.asarray(image)
    assert np.array_equal(sheet[2:58, -58:-2], sheet[60:116, 2:58])  # a row ends where the next begins
    assert bench.gan("sample", "run", "--count", "3", "--interpolate", "5", "-o", "a.mp4").status == 0
    with av.open("a.mp4") as film:
        assert len(list(film.decode(video=0))) == 10


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--epochs", "1"], "-o DIR is missing"),
        (["-o", "data"], "data holds other files"),
        (["-o", "run", "--resume"], "run holds no training"),
        (["-o", "run", "--data", "nowhere"], "nowhere: no such folder"),
        (["-o", "run", "--data", "empty"], "0 of 0 files"),
        (["-o", "run", "--data", "one"], "1 of 2 files can be read"),
        (["-o", "run", "--data", "cut"], "download it again"),
        (["-o", "run", "--data", "wide"], "must be 28×28"),
        (["-o", "run", "--recipe", "nothing"], "no recipe 'nothing'"),
        (["-o", "run", "--epochs", "many"], "--epochs many"),
    ],
)
def test_mistakes_are_one_line(line: list[str], words: str, bench: Bench) -> None:
    for name in ("empty", "one", "cut", "wide"):
        (bench.folder / name).mkdir()
    Image.new("L", (40, 40), 99).save(bench.folder / "one" / "a.png")
    (bench.folder / "one" / "b.png").write_bytes(b"no picture")
    whole = gzip.compress(idx(np.zeros((3, 28, 28), np.uint8)))
    (bench.folder / "cut" / "train-images-idx3-ubyte.gz").write_bytes(whole[:-20])
    (bench.folder / "wide" / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 28, 30), np.uint8)))
    assert words in bench.gan("train", *line).complaint
    assert not (bench.folder / "run").exists() or not any((bench.folder / "run").iterdir())


def test_a_training_is_not_replaced_or_mixed(bench: Bench) -> None:
    bench.train("--epochs", "1", "-o", "run")
    assert "--resume goes on" in bench.train("--epochs", "1", "-o", "run").complaint
    assert "--seed 3" in bench.gan("train", "-o", "run", "--resume", "--seed", "3").complaint
    (bench.folder / "run" / "job.json").write_text('{"task": "stylenet"}')
    assert "is none of 'gan'" in bench.gan("train", "-o", "run", "--resume").complaint
    assert bench.train("--epochs", "2", "-o", "run", "--overwrite").status == 0


def test_unreadable_pictures_are_listed_and_left_out(bench: Bench) -> None:
    folder = bench.folder / "mixed"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (50, 30), (9 * i, 9, 9)).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"nothing")
    pictures, troubles = read_pictures(str(folder), 28)
    assert pictures.shape == (3, 1, 28, 28)
    assert len(troubles) == 1
    outcome = bench.gan(
        "train", "--data", "mixed", "--epochs", "1", "--batch", "2", "-o", "run", "--threads", "1"
    )
    assert outcome.status == 0
    assert "left out: mixed/broken.jpg" in outcome.err


def test_the_samples_of_something_else(bench: Bench) -> None:
    assert "missing" in bench.gan("sample", "data", "-o", "a.png").complaint
    (bench.folder / "x.safetensors").write_bytes(b"x")
    assert "damaged" in bench.gan("sample", "x.safetensors", "-o", "a.png").complaint
    bench.train("--epochs", "1", "-o", "run")
    assert ".png" in bench.gan("sample", "run", "-o", "a.gif").complaint
    assert "--interpolate" in bench.gan("sample", "run", "-o", "a.mp4").complaint
    assert "--count 1" in bench.gan("sample", "run", "--count", "1", "--interpolate", "4").complaint


def test_the_real_set_is_found_where_debian_puts_it() -> None:
    if not INSTALLED.is_dir():
        pytest.skip("needs Debian's dataset-fashion-mnist")
    pictures, troubles = read_pictures(None, 28)
    assert pictures.shape == (60_000, 1, 28, 28)
    assert troubles == []
    labels = read_idx(INSTALLED / "train-labels-idx1-ubyte.gz")
    assert np.bincount(labels.numpy()).tolist() == [6000] * 10
