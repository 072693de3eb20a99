"""`brushwork evaluate` on folders: results matched by name, seeds, means over pairs, the labelled sheet."""

import csv
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
import torch
from PIL import Image

from brushwork import encode
from brushwork.doctor import examine
from brushwork.errors import InputError
from brushwork.fetch import DOWNLOADS
from brushwork.metrics import Judge
from brushwork.outputs.labels import Cell, labelled
from brushwork.pairs import find_pairs
from brushwork.surfaces.cli import call


@pytest.fixture(scope="session")
def weights_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """VGG16 and LPIPS's layers in two files, named inside as their publishers name them."""
    generator = torch.Generator().manual_seed(0)
    network: dict[str, torch.Tensor] = {"classifier.6.bias": torch.zeros(1000)}
    inputs = 3
    channels = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    places = zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), channels, strict=True)
    for place, outputs in places:
        kernel = (2 / (9 * inputs)) ** 0.5 * torch.randn(outputs, inputs, 3, 3, generator=generator)
        network |= {f"features.{place}.weight": kernel, f"features.{place}.bias": torch.zeros(outputs)}
        inputs = outputs
    linear = {
        f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 512, 512))
    }
    folder = tmp_path_factory.mktemp("published")
    torch.save(network, folder / "vgg16.pth")
    torch.save(linear, folder / "lpips.pth")
    return folder / "vgg16.pth", folder / "lpips.pth"


def paint(path: Path, seed: int) -> str:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for number, name in enumerate(("photos/sea.png", "photos/dog.jpg", "art/oil.png", "art/ink-wash.png")):
        paint(tmp_path / name, number)
    results = ("sea-oil.png", "dog-ink-wash.1.png", "dog-ink-wash.2.png", "sketch.png", "dog-oils.png")
    for number, name in enumerate(results):
        paint(tmp_path / "out" / name, 10 + number)
    (tmp_path / "out" / "notes.txt").touch()
    return tmp_path


def test_results_find_their_pair_by_name(folders: Path) -> None:
    pairs, strays = find_pairs(str(folders / "photos"), str(folders / "art"), [str(folders / "out")])
    assert {pair.name: [path.name for path in pair.results] for pair in pairs} == {
        "dog-ink-wash": ["dog-ink-wash.1.png", "dog-ink-wash.2.png"],
        "sea-oil": ["sea-oil.png"],
    }
    assert [path.name for path in strays] == ["dog-oils.png", "sketch.png"]


def test_one_photo_and_painting_take_pictures_of_any_name(folders: Path) -> None:
    photo, art = str(folders / "photos" / "sea.png"), str(folders / "art" / "oil.png")
    pairs, strays = find_pairs(photo, art, [str(folders / "out" / "sketch.png")])
    assert ([len(pair.results) for pair in pairs], strays) == ([1], [])
    pairs, strays = find_pairs(photo, art, [str(folders / "out")])  # a folder's are told by name
    assert ([len(pair.results) for pair in pairs], len(strays)) == ([1], 4)


def test_the_longest_name_wins_and_ambiguous_ones_are_strays(tmp_path: Path) -> None:
    for name in ("p/a.png", "p/a-b.png", "s/c.png", "s/b-c.png", "s/c.d.png"):
        paint(tmp_path / name, 0)
    names = [paint(tmp_path / "o" / name, 0) for name in ("a-b-c.png", "a-c.d.1.png", "a-c.png")]
    pairs, strays = find_pairs(str(tmp_path / "p"), str(tmp_path / "s"), names)
    assert [pair.name for pair in pairs] == ["a-c", "a-c.d"]
    assert [path.name for path in strays] == ["a-b-c.png"]


def test_folders_without_pictures_or_fitting_names(folders: Path) -> None:
    (folders / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures in this folder"):
        find_pairs(str(folders / "empty"), str(folders / "art"), [str(folders / "out")])
    with pytest.raises(InputError, match=r"have this name: PHOTO-ART\.png"):
        find_pairs(str(folders / "photos"), str(folders / "art"), [str(folders / "out" / "sketch.png")])


def test_the_command_on_folders(
    folders: Path, weights_files: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", "--content", str(folders / "photos"), "--style", str(folders / "art")]
    line += [str(folders / "out"), *(f"--metric-weights={file}" for file in weights_files)]
    sheet, table = folders / "sheet.png", folders / "scores.csv"
    assert call([*line, "--json", "--sheet", str(sheet), "--csv", str(table)]) == 0
    told = capfd.readouterr()
    report = json.loads(told.out)
    assert "dog-oils.png" in told.err
    assert len(report["strays"]) == 2
    named = {(row["pair"], Path(row["name"]).name): row["content"] for row in report["rows"]}
    assert len(named) == 7
    seeds = [named["dog-ink-wash", f"dog-ink-wash.{seed}.png"] for seed in (1, 2)]
    dog = report["pairs"]["dog-ink-wash"]["content"]
    assert dog == {"mean": pytest.approx(mean(seeds)), "deviation": pytest.approx(stdev(seeds))}
    pairs = [mean(seeds), named["sea-oil", "sea-oil.png"]]
    overall = report["results"]["content"]
    assert overall == {"mean": pytest.approx(mean(pairs)), "deviation": pytest.approx(stdev(pairs))}
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["pair"] for row in csv.DictReader(file)] == ["dog-ink-wash"] * 4 + ["sea-oil"] * 3
    with Image.open(sheet) as picture:
        assert picture.width > 4 * 240
        assert picture.height > 2 * 190
    assert call(line) == 0
    assert "mean of 2 pairs" in capfd.readouterr().out


def test_the_sheet_shows_as_many_rows_as_its_format_holds(
    folders: Path,
    weights_files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(encode.LONGEST, "WEBP", 1100)
    monkeypatch.setattr("brushwork.surfaces.evaluate.TALLEST", 600)
    line = ["evaluate", "--content", str(folders / "photos"), "--style", str(folders / "art")]
    line += [str(folders / "out"), *(f"--metric-weights={file}" for file in weights_files)]
    sheet = folders / "s.webp"
    assert call([*line, "--sheet", str(sheet)]) == 0
    assert f"{sheet} shows the first 1 of 2 rows" in capfd.readouterr().err
    with Image.open(sheet) as picture:
        assert 190 < picture.height < 320
    assert call([*line, "--csv", "-"]) == 2
    assert "--csv and --sheet are files" in capfd.readouterr().err


def test_labels_are_under_the_pictures_and_fit() -> None:
    grey = torch.full((1, 3, 10, 20), 0.5)
    plain, worded = (labelled([[Cell(grey, lines)]], cell=100) for lines in (("",), ("x" * 500,)))
    assert plain.shape == worded.shape
    differ = (plain != worded).any(1)[0].nonzero()
    assert differ[:, 0].min() > 50  # the picture of 50 rows is untouched
    assert differ[:, 1].max() < 8 + 100 + 1


# --- Downloads ----------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def published(
    weights_files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A local server in place of the publishers', with the hashes of what it has."""
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "cache"))
    serve = partial(Quiet, directory=str(weights_files[0].parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        for name, file in zip(("vgg16", "lpips"), weights_files, strict=True):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            url = f"http://127.0.0.1:{server.server_port}/{file.name}"
            monkeypatch.setitem(DOWNLOADS, name, replace(DOWNLOADS[name], url=url, digest=digest[:8]))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_fetch_downloads_what_the_judge_needs(
    published: None, weights_files: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def judge_found() -> bool:
        return next(finding.ok for finding in examine() if finding.name == "judge")

    assert not judge_found()
    assert call(["evaluate", "--fetch"]) == 0
    assert (tmp_path / "cache" / "vgg16-397923af.pth").is_file()
    assert judge_found()
    assert "lpips-0.1-vgg.pth" in capfd.readouterr().err
    picture = paint(tmp_path / "photo.png", 1)
    line = ["evaluate", "--fetch", "--content", picture, "--style", paint(tmp_path / "art.png", 2)]
    assert call([*line, picture]) == 0
    assert "photo.png" in capfd.readouterr().out
    fetched, given = Judge.load(), Judge.load(weights_files)
    assert torch.equal(fetched.channel_weights["relu3_3"], given.channel_weights["relu3_3"])
    (tmp_path / "cache" / "vgg16-397923af.pth").write_bytes(b"damaged")
    assert not judge_found()
    assert call(["evaluate", "--content", "a", "--style", "b", "c"]) == 2
    assert "brushwork evaluate --fetch" in capfd.readouterr().err


def test_the_tables_hashes_are_the_publishers() -> None:
    assert DOWNLOADS["vgg16"].digest in DOWNLOADS["vgg16"].file
    # base64 of the same bytes stands in the RECORD of lpips 0.1.4.
    assert DOWNLOADS["lpips"].digest.startswith("a78928a0af1e5f0f")
