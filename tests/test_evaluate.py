"""`brushwork evaluate`: the judge's network, the two distances and the command."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from brushwork.errors import InputError, WeightsError
from brushwork.images import read_picture, resize
from brushwork.metrics import Judge, Scores, Yardstick
from brushwork.metrics.judge import TAPS
from brushwork.metrics.scores import cover, perceptual, sketch, style_distances
from brushwork.surfaces.cli import call
from reference import VGG16_BLOCKS


@pytest.fixture(scope="session")
def judge(judge_tensors: dict[str, Tensor]) -> Judge:
    return Judge(judge_tensors)


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    photo, painting, result = (torch.rand(1, 3, 48, 64, generator=generator) for _ in range(3))
    return photo, painting, result


def score(judge: Judge, result: Tensor, photo: Tensor, painting: Tensor) -> Scores:
    return Yardstick(judge, photo, painting, result.shape[-2:]).score(result)


def distance(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    return float(style_distances(mine, theirs).mean())


def reference_lpips(tensors: dict[str, Tensor], a: Tensor, b: Tensor) -> float:
    """LPIPS as its paper writes it, in float64."""

    def features(x: Tensor) -> list[Tensor]:
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
        x = (x.double() - mean) / std
        taps: list[Tensor] = []
        for block in VGG16_BLOCKS:
            x = F.max_pool2d(x, 2) if taps else x
            for place in block:
                weight = tensors[f"features.{place}.weight"].double()
                x = F.conv2d(x, weight, tensors[f"features.{place}.bias"].double(), padding=1).clamp(min=0)
            taps.append(x)
        return taps

    total = 0.0
    for index, (f, g) in enumerate(zip(features(a), features(b), strict=True)):
        f, g = (v / v.norm(dim=1, keepdim=True) for v in (f, g))
        total += float(((f - g) ** 2 * tensors[f"lin{index}.weight"].double()).sum(1).mean())
    return total


def test_lpips_is_the_papers(judge: Judge, judge_tensors: dict[str, Tensor]) -> None:
    photo, painting, _ = pictures()
    ours = perceptual(judge, judge.features(photo), judge.features(painting))
    assert ours == pytest.approx(reference_lpips(judge_tensors, photo, painting), rel=1e-4)
    assert perceptual(judge, judge.features(photo), judge.features(photo)) == 0


def test_style_distance_is_one_of_distributions(judge: Judge) -> None:
    """Where things are does not matter; which values there are does, also for another number of them."""
    photo, painting, _ = pictures()
    features = judge.features(photo)
    mine, theirs = sketch(features), sketch(judge.features(painting))
    shuffled = {tap: f[..., torch.randperm(f.shape[-1])] for tap, f in features.items()}
    assert distance(sketch(shuffled), mine) == pytest.approx(0, abs=1e-6)
    twice = {tap: torch.cat([f, f], dim=-1) for tap, f in features.items()}
    # Not 0: the deepest layer has 12 positions, between which quantiles are interpolated.
    different = distance(mine, theirs)
    assert distance(sketch(twice), mine) < 0.3 * different
    other = (sketch(judge.features(picture), seed=1) for picture in (photo, painting))
    assert distance(*other) == pytest.approx(different, rel=0.2)


def test_projections_in_one_dimension_are_sorted_differences() -> None:
    """With one channel the distance is that of the sorted values."""
    generator = torch.Generator().manual_seed(2)
    one = {tap: torch.rand(1, 1, 1, 512, generator=generator) for tap in TAPS}
    two = {tap: torch.rand(1, 1, 1, 512, generator=generator) for tap in TAPS}
    expected = 0.0
    for tap in TAPS:
        a, b = (np.sort(values[tap].numpy().ravel()) for values in (one, two))
        expected += float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))) / len(TAPS)
    assert distance(sketch(one), sketch(two)) == pytest.approx(expected, rel=1e-4)


def test_photo_and_painting_score_0_and_1(judge: Judge) -> None:
    photo, painting, result = pictures()
    identity = score(judge, photo, photo, painting)
    assert (identity.content, identity.style, identity.roughness_photo) == (0, 1, 1)
    copy = score(judge, painting, photo, painting)
    assert (copy.content, copy.style, copy.roughness_painting) == (1, 0, 1)
    assert 0 < score(judge, result, photo, painting).content < 2


class ByLightness(Judge):
    """Sees the same everywhere in a picture, at each depth a number that goes with its lightness."""

    def __init__(self, numbers: dict[float, list[float]]) -> None:
        self._numbers = numbers
        self.channel_weights = {tap: torch.ones(1, 1, 1, 1) for tap in TAPS}

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """One channel of 4×4 positions at each depth."""
        seen = self._numbers[round(float(image.mean()), 2)]
        return {tap: torch.full((1, 1, 4, 4), number) for tap, number in zip(TAPS, seen, strict=True)}


def test_each_depth_counts_by_how_far_the_photo_is_from_the_painting_there() -> None:
    """The painting is 1 at every depth, so a distance is how far a number is from 1."""
    photo, result = [0.1, 0.3, 0.5, 4.0, 2.0], [0.1, 0.2, 0.1, 1.0, 2.0]
    judge = ByLightness(
        {0.2: [*(1 + far for far in photo[:-1]), -1.0], 0.8: [1.0] * 5, 0.5: [1 + far for far in result]}
    )
    dark, light, middle = (torch.full((1, 3, 64, 64), level) for level in (0.2, 0.8, 0.5))
    shares = [1 / (far + 0.1) for far in photo]
    expected, whole = (sum(s * far for s, far in zip(shares, row, strict=True)) for row in (result, photo))
    assert score(judge, middle, dark, light).style == pytest.approx(expected / whole, rel=1e-4)


def test_another_seed_draws_other_directions(judge: Judge) -> None:
    photo, painting, result = (picture[..., :32, :32] for picture in pictures())
    one, other = (Yardstick(judge, photo, painting, (32, 32), seed=seed).score(result) for seed in (0, 1))
    assert one.content == other.content
    assert one.style != other.style
    assert one.style == pytest.approx(other.style, rel=0.2)


def test_a_frame_around_the_painting_is_not_its_style(judge: Judge) -> None:
    generator = torch.Generator().manual_seed(2)
    photo, coarse = (torch.rand(1, 3, *size, generator=generator) for size in ((96, 96), (16, 16)))
    painting = resize(0.3 + 0.6 * coarse, 96, 96, "bicubic")
    framed = F.pad(painting, (6, 6, 6, 6))
    plain, dark = score(judge, painting, photo, framed), score(judge, framed[..., 6:, 6:], photo, framed)
    assert plain.style < 0.2  # all but what the last of the margin takes with it
    assert dark.style > 2 * plain.style


def test_cover_does_not_stretch() -> None:
    picture = torch.arange(12.0).view(1, 1, 3, 4).expand(1, 3, 3, 4) / 12
    assert torch.equal(cover(picture, 3, 2), picture[..., 1:3])


def test_what_cannot_be_scored_is_said(judge: Judge, tmp_path: Path) -> None:
    photo, painting, _ = pictures()
    with pytest.raises(InputError, match="needs 32 pixels"):
        score(judge, photo[..., :20], photo, painting)
    with pytest.raises(InputError, match="two different pictures"):
        score(judge, photo, photo, photo)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.bias"):
        Judge.load([tmp_path / "part.pth"])


def test_the_linear_layers_of_another_network_are_refused(
    judge_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    """AlexNet's are the lpips package's usual ones."""
    channels = (64, 192, 384, 256, 256)
    alex = {f"lin{i}.model.1.weight": torch.rand(1, count, 1, 1) for i, count in enumerate(channels)}
    torch.save(judge_tensors, tmp_path / "vgg16.pth")
    torch.save(alex, tmp_path / "alex.pth")
    with pytest.raises(WeightsError, match=r"lin1\.weight is \(1, 192, 1, 1\), not that of LPIPS with VGG16"):
        Judge.load([tmp_path / "vgg16.pth", tmp_path / "alex.pth"])


def save(path: Path, picture: Tensor) -> str:
    Image.fromarray((picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)
    return str(path)


def test_the_command(tmp_path: Path, judge_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [save(tmp_path / f"{i}.png", picture) for i, picture in enumerate(pictures())]
    line = ["evaluate", "--content", names[0], "--style", names[1], names[2], names[0]]
    line += ["--metric-weights", str(judge_file)]
    sheet, table = str(tmp_path / "sheet.png"), str(tmp_path / "scores.csv")
    assert call([*line, "--json", "--sheet", sheet, "--csv", table]) == 0
    report = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in report["rows"]] == ["photo itself", "painting itself", names[2], names[0]]
    assert report["rows"][3]["content"] == 0
    assert report["results"]["content"]["mean"] == pytest.approx(report["rows"][2]["content"] / 2)
    with Path(table).open(encoding="utf-8", newline="") as file:
        assert [float(row["content"]) for row in csv.DictReader(file)] == [
            r["content"] for r in report["rows"]
        ]
    with Image.open(sheet) as picture:
        assert picture.width > 4 * 240  # photo, painting and two results
    other = tmp_path / "other.csv"
    assert call([*line, "--metric-seed", "3", "--csv", str(other)]) == 0
    assert "mean ± deviation" in capfd.readouterr().out
    with other.open(encoding="utf-8", newline="") as file:
        drawn = list(csv.DictReader(file))[2]
    assert float(drawn["content"]) == report["rows"][2]["content"]
    assert float(drawn["style"]) != report["rows"][2]["style"]
    assert call([*line, "--sheet", sheet]) == 2
    assert "--overwrite" in capfd.readouterr().err


def test_files_that_are_in_each_others_way_and_names_that_are_too_long(
    tmp_path: Path, judge_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [save(tmp_path / f"{i}.png", picture) for i, picture in enumerate(pictures())]
    line = ["evaluate", "--content", names[0], "--style", names[1], "--metric-weights", str(judge_file)]
    assert call([*line, names[2], "--csv", f"{tmp_path}/a.png", "--sheet", f"{tmp_path}/a.png"]) == 2
    assert "give each its own name" in capfd.readouterr().err
    assert call([*line, "x" * 300]) == 2
    told = capfd.readouterr().err
    assert "File name too long" in told
    assert told.count("\n") == 1


def test_a_flat_picture_is_no_measure_of_roughness(judge: Judge) -> None:
    photo, _, result = pictures()
    scores = score(judge, result, photo, torch.full_like(photo, 0.5))
    assert 10 < scores.roughness_painting < 1000


def test_without_weights_one_line_says_how_to_get_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "cache"))
    names = [save(tmp_path / f"{i}.png", picture) for i, picture in enumerate(pictures())]
    assert call(["evaluate", "--content", names[0], "--style", names[1], names[2]]) == 2
    told = capfd.readouterr().err
    assert "vgg16-397923af.pth" in told
    assert "brushwork evaluate --fetch" in told
    assert told.count("\n") == 1


def test_weights_in_two_files(judge_tensors: dict[str, Tensor], judge: Judge, tmp_path: Path) -> None:
    """VGG16 as torchvision publishes it, and the linear layers as the lpips package names them."""
    network = {name: tensor for name, tensor in judge_tensors.items() if name.startswith("features")}
    linear = {
        name.replace(".", ".model.1."): t for name, t in judge_tensors.items() if name.startswith("lin")
    }
    torch.save(network, tmp_path / "vgg16.pth")
    torch.save(linear, tmp_path / "vgg.pth")
    loaded = Judge.load([tmp_path / "vgg16.pth", tmp_path / "vgg.pth"])
    photo, painting, result = pictures()
    assert score(loaded, result, photo, painting) == score(judge, result, photo, painting)


def test_the_trained_judge(shared_data: Path) -> None:
    """With the real weights a blurred photo is nearer to the photo than the painting is."""
    judge = Judge.load([shared_data / "weights" / "vgg16_torchvision_conv_plus_lpips_lin_fp32.pth"])
    photo = read_picture(shared_data / "photos" / "kodak_kodim21_500.png").pixels
    photo = resize(photo, 128, 128, "lanczos")
    blurred = F.avg_pool2d(F.pad(photo, (1, 1, 1, 1), mode="reflect"), 3, 1)
    _, painting, _ = pictures()
    scores = score(judge, blurred, photo, painting)
    assert 0 < scores.content < 0.5
    assert 0.5 < scores.style < 1.5
