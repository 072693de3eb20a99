"""`brushwork train` as it is typed: the network and its folder, JSON, resuming, painting, mistakes."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from brushwork.context import Context
from brushwork.encode import to_image
from brushwork.encoders import VGG19
from brushwork.feedforward.header import to_bytes
from brushwork.feedforward.stylenet import read_header
from brushwork.feedforward.unet import UNet, UNetSettings, read_unet
from brushwork.fields import build
from brushwork.outputs.checkpoint import load
from brushwork.outputs.samples import curves
from brushwork.surfaces.cli import call
from brushwork.training.jobs import PairedTrain
from brushwork.training.loop import learn
from brushwork.training.paired import Translate
from commands import BRUSHWORK, Outcome, environment
from gan_bench import exact

STYLENET = [
    "--style", "painting.png", "--crop", "64", "--width", "4", "--blocks", "1", "--batch", "2",
    "--style-size", "64", "--compare-steps", "5", "--threads", "1", "--device", "cpu",
]  # fmt: skip
UNDECIDED = ["--crop", "64", "--batch", "2", "--threads", "1", "--device", "cpu"]
PAIRED = [*UNDECIDED, "--width", "4", "--depth", "2"]


def merged(usual: Sequence[str], line: Sequence[str]) -> list[str]:
    """The usual options without those that the line has too, and the line."""
    kept: list[str] = []
    for name, value in zip(usual[::2], usual[1::2], strict=True):
        kept += [name, value] if name not in line else []
    return [*kept, *line]


class Studio:
    """A folder with photos/, painting.png, inputs/ and targets/, and the command line in it."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def call(self, *line: str) -> Outcome:
        self._capture.readouterr()
        status = call(list(line))
        out, err = self._capture.readouterr()
        return Outcome(status, out, err)

    def stylenet(self, *line: str, photos: str = "photos") -> Outcome:
        return self.call("train", "stylenet", photos, *merged(STYLENET, line), "--quiet")

    def paired(self, *line: str, usual: Sequence[str] = PAIRED) -> Outcome:
        return self.call("train", "paired", "inputs", "targets", *merged(usual, line), "--quiet")

    def killed(self, *line: str) -> Path:
        """Train until there is a checkpoint, then kill -9; where it is. The line ends with the network."""
        running = subprocess.Popen(
            [BRUSHWORK, "train", "stylenet", "photos", *line], env=environment(OMP_NUM_THREADS="1")
        )
        place = self.folder / f"{line[-1]}.run" / "checkpoint.safetensors"
        until = time.monotonic() + 60
        while not place.exists() and time.monotonic() < until:
            time.sleep(0.01)
        running.kill()
        running.wait()
        return place

    def state(self, name: str) -> object:
        """The last state and the network, to the bit."""
        state = load(self.folder / f"{name}.run" / "checkpoint.safetensors")
        return exact([state, load_file(self.folder / name)])


@pytest.fixture
def studio(
    tmp_path: Path,
    photo: Tensor,
    painting: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Generator[Studio]:
    monkeypatch.chdir(tmp_path)
    to_image(painting).save("painting.png")
    for name in ("photos", "inputs", "targets"):
        Path(name).mkdir()
    for number in range(8):
        one = photo.roll(9 * number, -1).flip(-2 if number % 2 else -1)
        for name in ("photos", "inputs"):
            to_image(one).save(f"{name}/{number}.png")
        to_image(1 - one).save(f"targets/{number}.png")
    threads = torch.get_num_threads()
    yield Studio(tmp_path, capsys)
    torch.set_num_threads(threads)


# -------------------------------------------------------------------------------------------- stylenet


@pytest.mark.slow
def test_a_training_writes_what_it_says_and_paints(studio: Studio) -> None:
    (studio.folder / "photos" / "broken.jpg").write_bytes(b"no JPEG")
    done = studio.stylenet("--steps", "4", "--look-every", "2", "-o", "my.safetensors", "--json")
    told = done.json
    assert "left out: photos/broken.jpg" in done.err
    assert "7 photos to learn from are few" in done.err
    assert (told["steps"], told["output"]) == (4, "my.safetensors")
    assert set(told) == {
        "parameters", "steps", "losses", "images_per_second", "output", "run_dir", "scores", "gates",
    }  # fmt: skip
    assert set(told["scores"]) == {"network", "optimise engine"}
    assert {gate["name"] for gate in told["gates"]} == {
        "style missing", "photo lost", "black", "blown out", "checkerboard", "frame",
    }  # fmt: skip
    names = sorted(path.name for path in (studio.folder / "my.safetensors.run").iterdir())
    assert names == [
        "checkpoint.safetensors", "job.json", "log.jsonl", "losses.png", "network.safetensors",
        "reference.safetensors", "samples_0000002.png", "samples_0000004.png", "verdict.json",
    ]  # fmt: skip
    header = read_header(Path("my.safetensors"))
    assert header is not None
    assert header[0].conditions == ("strength", "stroke_size")
    assert header[1]["job"]["style"] == "painting.png"
    assert header[1]["verdict"]["scores"] == told["scores"]
    paint = ("stylize", "photos/0.png", "--engine", "feedforward", "--style", "my.safetensors", "--quiet")
    made = [
        _pixels(studio, *paint, "--size", "64", "--strength", s, "-o", f"{s}.png") for s in ("0", "0.5", "1")
    ]
    assert np.abs(made[0] - _pixels_of("photos/0.png")).mean() < 2  # a small one is painted larger
    assert not np.array_equal(made[1], made[2])


def _pixels(studio: Studio, *line: str) -> Any:
    outcome = studio.call(*line)
    assert outcome.status == 0, outcome.err
    return _pixels_of(line[-1])


def _pixels_of(name: str) -> Any:
    with Image.open(name) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(studio: Studio) -> None:
    line = [*STYLENET, "--quiet", "--steps", "6", "--checkpoint-every", "0.01"]
    assert studio.stylenet("--steps", "6", "-o", "whole.safetensors").status == 0
    studio.killed(*line, "-o", "killed.safetensors")
    assert not Path("killed.safetensors").exists()
    done = studio.call("train", "stylenet", "-o", "killed.safetensors", "--resume", "--quiet")
    assert done.status == 0, done.err
    assert studio.state("whole.safetensors") == studio.state("killed.safetensors")
    again = studio.call("train", "stylenet", "-o", "killed.safetensors", "--resume", "--width", "8").complaint
    assert "--width 8: the training in killed.safetensors.run has 4" in again
    other = studio.call("train", "paired", "-o", "killed.safetensors", "--resume").complaint
    assert "is none of 'paired'" in other


@pytest.mark.slow
def test_a_disk_that_fills_leaves_the_last_checkpoint(studio: Studio) -> None:
    line = [*STYLENET, "--steps", "5", "--checkpoint-every", "0.01", "--quiet", "-o", "net.safetensors"]
    place = studio.killed(*line)
    whole, left_by_the_kill = place.read_bytes(), set(place.parent.glob(".*.part"))

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(
        [BRUSHWORK, "train", "stylenet", "-o", "net.safetensors", "--resume", "--checkpoint-every", "0.01"],
        env=environment(OMP_NUM_THREADS="1"), preexec_fn=small_files, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert b"no checkpoint could be written" in done.stderr
    assert place.read_bytes() == whole
    assert set(place.parent.glob(".*.part")) == left_by_the_kill
    assert studio.call("train", "stylenet", "-o", "net.safetensors", "--resume", "--quiet").status == 0


@pytest.mark.slow
def test_a_disk_that_has_room_for_the_network_alone(studio: Studio) -> None:
    def medium_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))  # a checkpoint has 144 kB
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    line = [*STYLENET, "--steps", "2", "--quiet", "-o", "net.safetensors"]
    done = subprocess.run(
        [BRUSHWORK, "train", "stylenet", "photos", *line],
        env=environment(OMP_NUM_THREADS="1"), preexec_fn=medium_files, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr.decode()
    assert b"checkpoint.safetensors: " in done.stderr
    paint = ("stylize", "photos/0.png", "--engine", "feedforward", "--style", "net.safetensors", "--quiet")
    assert studio.call(*paint, "-o", "painted.png").status == 0


def test_what_could_not_begin_leaves_no_folder(studio: Studio) -> None:
    style = ["--style", "painting.png", "-o", "n.safetensors"]
    for line in (["nowhere"], ["photos", "--from", "nowhere.safetensors"]):
        assert studio.call("train", "stylenet", *line, *style).complaint
    assert studio.call("train", "paired", "nowhere", "targets", "-o", "n.safetensors").complaint
    assert not Path("n.safetensors.run").exists()


@pytest.mark.slow
def test_a_training_goes_on_without_the_network_that_it_began_with(studio: Studio) -> None:
    usual = [*UNDECIDED, "--steps", "2"]
    assert studio.paired("-o", "first.safetensors", usual=[*PAIRED, "--steps", "2"]).status == 0
    assert studio.paired("--from", "first.safetensors", "-o", "net.safetensors", usual=usual).status == 0
    Path("first.safetensors").unlink()
    done = studio.call("train", "paired", "-o", "net.safetensors", "--resume", "--quiet")
    assert done.status == 0, done.err


@pytest.mark.slow
def test_tensorboard_gets_losses_and_samples(studio: Studio) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert studio.stylenet("--steps", "3", "-o", "net.safetensors", "--tensorboard").status == 0
    events = EventAccumulator(str(studio.folder / "net.safetensors.run" / "tensorboard"))
    events.Reload()
    assert len(events.Scalars("loss")) == 3
    assert events.Images("samples")


@pytest.mark.slow
def test_what_tensorboard_lacks_is_told_before_a_training_is_replaced(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studio.paired("--steps", "2", "-o", "net.safetensors").status == 0
    before = sorted(Path("net.safetensors.run").iterdir())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    told = studio.paired("--steps", "2", "-o", "net.safetensors", "--overwrite", "--tensorboard").complaint
    assert "--tensorboard needs an extra" in told
    assert sorted(Path("net.safetensors.run").iterdir()) == before


Spoil = Callable[[Path], object]


@pytest.mark.parametrize(
    ("line", "spoil", "words"),
    [
        (
            ["--steps", "4"],
            None,
            ["-o NET.safetensors is missing: brushwork train stylenet PHOTOS --style ART -o NET"],
        ),
        (["-o", "net.pth"], None, ["--output net.pth", ".safetensors"]),
        (["-o", "net.safetensors", "--crop", "70"], None, ["--crop 70", "multiple of 16"]),
        (["-o", "net.safetensors", "--resume"], None, ["holds no training"]),
        (["-o", "painting.safetensors"], lambda f: (f / "painting.safetensors").write_text("x"), ["exists"]),
        (["-o", "net.safetensors"], lambda f: shutil.rmtree(f / "photos"), ["photos: no folder of photos"]),
        (
            ["-o", "net.safetensors"],
            lambda f: [path.unlink() for path in sorted((f / "photos").iterdir())[1:]],
            ["one picture only"],
        ),
        (["-o", "no/net.safetensors"], None, ["no"]),
        (["-o", "net.safetensors", "--freeze", "down"], None, ["--from NET"]),
        (
            ["-o", "net.safetensors"],
            lambda f: Image.new("RGB", (20, 20)).save(f / "painting.png"),
            ["the painting has 20×20 pixels: give one of 32 at least"],
        ),
    ],
)
def test_mistakes_are_one_line(
    studio: Studio, line: list[str], spoil: Spoil | None, words: list[str]
) -> None:
    if spoil:
        spoil(studio.folder)
    complaint = studio.stylenet(*line).complaint
    for word in words:
        assert word in complaint
    assert not (studio.folder / "net.safetensors").exists()


# ---------------------------------------------------------------------------------------------- paired


@pytest.mark.slow
def test_pairs_become_a_network_that_paints(studio: Studio) -> None:
    (studio.folder / "inputs" / "alone.png").write_bytes((studio.folder / "inputs" / "0.png").read_bytes())
    line = ("--steps", "40", "--learning-rate", "0.01", "--average", "0", "-o", "pair.safetensors", "--json")
    done = studio.paired(*line)
    assert "left out: inputs/alone.png: no picture of this name in targets" in done.err
    told = done.json
    assert set(told["scores"]) == {"network", "input itself"}
    assert told["scores"]["network"]["l1"] < 0.5 * told["scores"]["input itself"]["l1"]
    paint = ("stylize", "inputs/0.png", "--engine", "feedforward", "--style", "pair.safetensors", "--quiet")
    made = _pixels(studio, *paint, "--size", "64", "-o", "made.png")
    wanted, given = _pixels_of("targets/0.png"), _pixels_of("inputs/0.png")
    assert np.abs(made - wanted).mean() < 0.6 * np.abs(given - wanted).mean()
    photo = _pixels(studio, *paint, "--size", "64", "--strength", "0", "-o", "photo.png")
    assert np.abs(photo - given).max() <= 1


@pytest.mark.slow
def test_paired_options_change_the_network(studio: Studio) -> None:
    def losses(*line: str) -> dict[str, float]:
        return studio.paired("--steps", "2", "-o", "p.safetensors", "--overwrite", "--json", *line).json[
            "losses"
        ]

    usual = losses()
    assert losses() == usual
    for option, value in {
        "--batch": "3", "--crop": "80", "--l1-weight": "2", "--perceptual-weight": "1", "--width": "5",
        "--depth": "3", "--learning-rate": "0.01", "--seed": "2", "--precision": "bfloat16",
    }.items():  # fmt: skip
        assert losses(option, value) != usual, option
    assert losses("--adversarial-weight", "0.1").keys() == usual.keys() | {"d_loss", "g_loss"}
    begun = ("--from", "p.safetensors", "--steps", "2", "-o", "q.safetensors", "--json")
    assert studio.paired(*begun, usual=UNDECIDED).json["losses"] != usual
    assert losses("--accumulate", "2") == pytest.approx(usual, rel=1e-2)  # Adam enlarges rounding


@pytest.mark.slow
def test_a_paired_training_resumes_to_the_same_bits(studio: Studio) -> None:
    line = ["--steps", "5", "--adversarial-weight", "0.05", "--checkpoint-every", "0.001"]
    assert studio.paired(*line, "-o", "whole.safetensors").status == 0
    running = subprocess.Popen(
        [BRUSHWORK, "train", "paired", "inputs", "targets", *PAIRED, *line, "-o", "b.safetensors"],
        env=environment(OMP_NUM_THREADS="1"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    place = studio.folder / "b.safetensors.run" / "checkpoint.safetensors"
    until = time.monotonic() + 60
    while not place.exists() and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    running.wait()
    assert studio.call("train", "paired", "-o", "b.safetensors", "--resume", "--quiet").status == 0
    assert studio.state("whole.safetensors") == studio.state("b.safetensors")


PAIRS = [
    "--style", "painting.png", "--size", "48", "--steps", "2", "--scales", "1", "--coarsest", "16",
    "--content-layer", "block2_conv1", "--style-layer", "block1_conv1", "--init", "content",
    "--weights", "network.safetensors", "--threads", "1", "-o", "pairs",
]  # fmt: skip


@pytest.mark.slow
def test_make_pairs_paints_them_once(studio: Studio, network_file: Path) -> None:
    shutil.copy(network_file, "network.safetensors")
    done = studio.call("train", "make-pairs", "photos", *PAIRS, "--count", "3")
    assert done.status == 0, done.err
    places = sorted(Path("pairs/targets").iterdir())
    assert [p.name for p in places] == sorted(p.name for p in Path("pairs/inputs").iterdir())
    assert len(places) == 3
    for place in places:
        given, wanted = _pixels_of(f"pairs/inputs/{place.name}"), _pixels_of(str(place))
        assert given.shape == wanted.shape
        assert not np.array_equal(given, wanted)
    times = [place.stat().st_mtime_ns for place in places]
    places[1].unlink()
    assert studio.call("train", "make-pairs", "photos", *PAIRS, "--count", "3").status == 0
    assert [places[i].stat().st_mtime_ns == times[i] for i in range(3)] == [True, False, True]
    slip = ["train", "make-pairs", "photos", "--style", "nowhere.png", "-o", "empty"]
    assert "nowhere.png: no such file" in studio.call(*slip).complaint
    assert not Path("empty").exists()
    other = studio.call("train", "make-pairs", "photos", *PAIRS, "--seed", "3").complaint
    assert "pairs holds pairs made with other options" in other
    complaint = studio.call("train", "make-pairs", "photos").complaint
    assert "--style ART is missing: brushwork train make-pairs PHOTOS --style ART -o DIR" in complaint


def test_make_pairs_leaves_out_what_cannot_be_painted(studio: Studio) -> None:
    Path("odd").mkdir()
    for name, size in {"a": (60, 40), "long": (300, 10), "b": (40, 60)}.items():
        Image.new("RGB", size, "#446688").save(f"odd/{name}.png")
    line = ["train", "make-pairs", "odd", "--style", "builtin:3", "--engine", "feedforward", "--size", "64"]
    done = studio.call(*line, "-o", "pairs")
    assert done.status == 0, done.err
    assert "left out: odd/long.png: the photo is 300×10, longer than 20:1" in done.err
    assert sorted(path.stem for path in Path("pairs/targets").iterdir()) == ["a", "b"]


@pytest.mark.slow
def test_make_pairs_takes_another_photo_for_one_that_is_damaged(studio: Studio, network_file: Path) -> None:
    shutil.copy(network_file, "network.safetensors")
    Path("few").mkdir()
    for name in ("a", "b"):
        Image.effect_noise((64, 48), 90).convert("RGB").save(f"few/{name}.jpg")
    whole = Path("few/b.jpg").read_bytes()
    Path("few/torn.jpg").write_bytes(whole[: len(whole) // 2])
    Path("few/text.jpg").write_text("no picture")
    line = ["train", "make-pairs", "few", *PAIRS, "--count"]
    for count, number in (("2", 2), ("3", 2)):
        done = studio.call(*line, count)
        assert done.status == 0, done.err
        assert len(list(Path("pairs/targets").iterdir())) == number
    assert done.err.count("torn.jpg") == 1 and "left out: few/torn.jpg: " in done.err
    assert "left out: few/text.jpg: " in done.err


# ------------------------------------------------------------------------------------------------ U-Net


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (16, 9), (3, 70)])
def test_a_unet_takes_pictures_of_any_size(size: tuple[int, int]) -> None:
    network = UNet(UNetSettings(width=4, depth=2)).eval()
    made = network(torch.rand(2, 3, *size))
    assert made.shape == (2, 3, *size)
    assert made.min() >= 0
    assert made.max() <= 1


def test_what_a_unet_cannot_follow_is_refused_and_planned(studio: Studio) -> None:
    Path("net.safetensors").write_bytes(to_bytes(UNet(UNetSettings(width=8, depth=2)).eval(), {}))
    job = ("photos/0.png", "--engine", "feedforward", "--style", "net.safetensors")
    for option in (("--stroke-size", "300"), ("--tile", "64"), ("--backend", "onnxruntime")):
        assert f"{option[0]}: a network from pairs" in studio.call("stylize", *job, *option).complaint
    told = studio.call("stylize", *job, "--size", "2048", "--memory", "500MB").complaint
    assert "lower --size or raise --memory" in told
    found = studio.call("plan", *job, "--size", "96", "--json").json
    assert (max(found["width"], found["height"]), len(found["scales"]), found["backend"]) == (96, 1, "torch")
    assert 4e8 < found["peak_memory_bytes"] < 6e8 and found["seconds"] > 0


def test_another_network_decides_its_width(studio: Studio) -> None:
    for option in ("--width", "--depth"):
        line = ("--from", "net.safetensors", option, "5", "-o", "new.safetensors")
        complaint = studio.paired(*line, usual=UNDECIDED).complaint
        assert f"{option} is decided by the network of --from: leave it out" in complaint


def test_a_short_training_is_no_mean_of_its_beginning() -> None:
    def average(steps: int) -> float:
        job = build(PairedTrain, {"inputs": "a", "targets": "b", "steps": steps, "width": 4, "depth": 1})
        task = Translate(job, UNet(UNetSettings(width=4, depth=1)), cast("VGG19", None), {})
        return task.learners["network"]._decay  # pyright: ignore[reportPrivateUsage]

    assert [average(steps) for steps in (1, 100, 20_000)] == [0, 0.9, 0.999]


def test_a_batch_is_judged_alike_in_whatever_parts() -> None:
    """Over the whole batch's energy dark pictures would count for nothing, unless they are a part."""
    job = build(PairedTrain, {"inputs": "a", "targets": "b", "steps": 1, "width": 4, "depth": 1})
    task = Translate(job, UNet(UNetSettings(width=4, depth=1)), VGG19.load(), {})
    generator = torch.Generator().manual_seed(0)
    made, wanted = (torch.rand(4, 3, 64, 64, generator=generator) for _ in range(2))
    wanted *= torch.tensor([0.02, 0.1, 0.5, 1]).view(4, 1, 1, 1)
    parts = zip(made.split(2), wanted.split(2), strict=True)
    with torch.no_grad():
        found = torch.stack([task.perceptual(*part) for part in parts]).mean()
        torch.testing.assert_close(found, task.perceptual(made, wanted), rtol=1e-4, atol=0)


def test_all_parts_of_a_batch_meet_the_same_discriminator() -> None:
    given = {"inputs": "a", "targets": "b", "steps": 1, "width": 4, "depth": 1, "adversarial_weight": 0.1}
    task = Translate(build(PairedTrain, given), UNet(UNetSettings(width=4, depth=1)), VGG19.load(), {})
    assert task.discriminator is not None
    seen = list[Tensor]()
    weight = next(task.discriminator.parameters())
    task.discriminator.register_forward_pre_hook(lambda *_: seen.append(weight.detach().clone()))
    batch = torch.rand(4, 3, 64, 64), torch.rand(4, 3, 64, 64)
    learn(task, batch, 2, Context(torch.device("cpu"), torch.float32))
    assert len(seen) == 6  # real, made, and for the network, of each part
    assert all(torch.equal(each, seen[0]) for each in seen) and not torch.equal(weight, seen[0])


def test_curves_have_a_line_for_each_loss() -> None:
    losses = np.random.default_rng(0).random((30, 6))
    names = ["loss", "d_loss", "g_loss", "l1", "perceptual", "more"]
    assert len({curves(losses[:, :count], names[:count]) for count in range(1, 7)}) == 6


def test_a_unet_file_comes_back_and_others_are_refused(studio: Studio) -> None:
    network = UNet(UNetSettings(width=4, depth=2)).eval()
    Path("net.safetensors").write_bytes(to_bytes(network, {"by": "test"}))
    picture = torch.rand(1, 3, 32, 32)
    assert torch.equal(network(picture), read_unet(Path("net.safetensors"))(picture))
    spoilt = Path("net.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(spoilt[:-50])
    line = ("stylize", "photos/0.png", "--engine", "feedforward", "--style", "cut.safetensors")
    assert studio.call(*line).status == 2
    whole = [*line[:-1], "net.safetensors"]
    two = studio.call(*whole, "--style", "b.safetensors")
    assert "cannot be blended" in two.complaint
    assert json.loads(json.dumps(network.settings.model_dump()))["depth"] == 2
    assert studio.call("sheet", *whole[1:], "--cell", "32", "-o", "sheet.png", "--quiet").status == 0
    complaint = studio.call("export", "--style", "net.safetensors").complaint
    assert "net.safetensors is a network from pairs: give one of `train stylenet`" in complaint
