"""ArtFID: its Inception-v3 against one of plain modules, the Fréchet distance, and the command on folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.linalg import sqrtm
from torch import Tensor, nn

from brushwork.errors import InputError, WeightsError
from brushwork.metrics import Inception, Judge
from brushwork.metrics.artfid import ArtFid, frechet_distance
from brushwork.metrics.inception import kernels
from brushwork.metrics.scores import perceptual
from commands import Desk

# --- The network, written the other way: modules whose names and children are torchvision's -----------------


class Unit(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], **more: int | tuple[int, int]
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **more)  # pyright: ignore[reportArgumentType]
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """A block of named units; ``wiring`` says how its input goes through them."""

    def __init__(self, wiring: Callable[[dict[str, nn.Module], Tensor], list[Tensor]], **units: Unit) -> None:
        super().__init__()
        for name, unit in units.items():
            self.add_module(name, unit)
        self.wiring = wiring

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.wiring(dict(self.named_children()), x), 1)


average, halve = nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 2)


def block_a(inputs: int, pooled: int) -> Mixed:
    def wiring(u: dict[str, nn.Module], x: Tensor) -> list[Tensor]:
        double = u["branch3x3dbl_3"](u["branch3x3dbl_2"](u["branch3x3dbl_1"](x)))
        return [
            u["branch1x1"](x),
            u["branch5x5_2"](u["branch5x5_1"](x)),
            double,
            u["branch_pool"](average(x)),
        ]

    return Mixed(
        wiring,
        branch1x1=Unit(inputs, 64, 1),
        branch5x5_1=Unit(inputs, 48, 1),
        branch5x5_2=Unit(48, 64, 5, padding=2),
        branch3x3dbl_1=Unit(inputs, 64, 1),
        branch3x3dbl_2=Unit(64, 96, 3, padding=1),
        branch3x3dbl_3=Unit(96, 96, 3, padding=1),
        branch_pool=Unit(inputs, pooled, 1),
    )


def block_b() -> Mixed:
    def wiring(u: dict[str, nn.Module], x: Tensor) -> list[Tensor]:
        return [
            u["branch3x3"](x),
            u["branch3x3dbl_3"](u["branch3x3dbl_2"](u["branch3x3dbl_1"](x))),
            halve(x),
        ]

    return Mixed(
        wiring,
        branch3x3=Unit(288, 384, 3, stride=2),
        branch3x3dbl_1=Unit(288, 64, 1),
        branch3x3dbl_2=Unit(64, 96, 3, padding=1),
        branch3x3dbl_3=Unit(96, 96, 3, stride=2),
    )


def block_c(c: int) -> Mixed:
    def wiring(u: dict[str, nn.Module], x: Tensor) -> list[Tensor]:
        double = x
        for number in range(1, 6):
            double = u[f"branch7x7dbl_{number}"](double)
        single = u["branch7x7_3"](u["branch7x7_2"](u["branch7x7_1"](x)))
        return [u["branch1x1"](x), single, double, u["branch_pool"](average(x))]

    return Mixed(
        wiring,
        branch1x1=Unit(768, 192, 1),
        branch7x7_1=Unit(768, c, 1),
        branch7x7_2=Unit(c, c, (1, 7), padding=(0, 3)),
        branch7x7_3=Unit(c, 192, (7, 1), padding=(3, 0)),
        branch7x7dbl_1=Unit(768, c, 1),
        branch7x7dbl_2=Unit(c, c, (7, 1), padding=(3, 0)),
        branch7x7dbl_3=Unit(c, c, (1, 7), padding=(0, 3)),
        branch7x7dbl_4=Unit(c, c, (7, 1), padding=(3, 0)),
        branch7x7dbl_5=Unit(c, 192, (1, 7), padding=(0, 3)),
        branch_pool=Unit(768, 192, 1),
    )


def block_d() -> Mixed:
    def wiring(u: dict[str, nn.Module], x: Tensor) -> list[Tensor]:
        long = x
        for number in range(1, 5):
            long = u[f"branch7x7x3_{number}"](long)
        return [u["branch3x3_2"](u["branch3x3_1"](x)), long, halve(x)]

    return Mixed(
        wiring,
        branch3x3_1=Unit(768, 192, 1),
        branch3x3_2=Unit(192, 320, 3, stride=2),
        branch7x7x3_1=Unit(768, 192, 1),
        branch7x7x3_2=Unit(192, 192, (1, 7), padding=(0, 3)),
        branch7x7x3_3=Unit(192, 192, (7, 1), padding=(3, 0)),
        branch7x7x3_4=Unit(192, 192, 3, stride=2),
    )


def block_e(inputs: int) -> Mixed:
    def wiring(u: dict[str, nn.Module], x: Tensor) -> list[Tensor]:
        single = u["branch3x3_1"](x)
        double = u["branch3x3dbl_2"](u["branch3x3dbl_1"](x))
        return [
            u["branch1x1"](x),
            u["branch3x3_2a"](single),
            u["branch3x3_2b"](single),
            u["branch3x3dbl_3a"](double),
            u["branch3x3dbl_3b"](double),
            u["branch_pool"](average(x)),
        ]

    return Mixed(
        wiring,
        branch1x1=Unit(inputs, 320, 1),
        branch3x3_1=Unit(inputs, 384, 1),
        branch3x3_2a=Unit(384, 384, (1, 3), padding=(0, 1)),
        branch3x3_2b=Unit(384, 384, (3, 1), padding=(1, 0)),
        branch3x3dbl_1=Unit(inputs, 448, 1),
        branch3x3dbl_2=Unit(448, 384, 3, padding=1),
        branch3x3dbl_3a=Unit(384, 384, (1, 3), padding=(0, 1)),
        branch3x3dbl_3b=Unit(384, 384, (3, 1), padding=(1, 0)),
        branch_pool=Unit(inputs, 192, 1),
    )


def reference_network() -> nn.Sequential:
    network = nn.Sequential()
    for name, module in (
        ("Conv2d_1a_3x3", Unit(3, 32, 3, stride=2)),
        ("Conv2d_2a_3x3", Unit(32, 32, 3)),
        ("Conv2d_2b_3x3", Unit(32, 64, 3, padding=1)),
        ("maxpool1", halve),
        ("Conv2d_3b_1x1", Unit(64, 80, 1)),
        ("Conv2d_4a_3x3", Unit(80, 192, 3)),
        ("maxpool2", halve),
        ("Mixed_5b", block_a(192, 32)),
        ("Mixed_5c", block_a(256, 64)),
        ("Mixed_5d", block_a(288, 64)),
        ("Mixed_6a", block_b()),
        ("Mixed_6b", block_c(128)),
        ("Mixed_6c", block_c(160)),
        ("Mixed_6d", block_c(160)),
        ("Mixed_6e", block_c(192)),
        ("Mixed_7a", block_d()),
        ("Mixed_7b", block_e(1280)),
        ("Mixed_7c", block_e(2048)),
        ("avgpool", nn.AdaptiveAvgPool2d(1)),
    ):
        network.add_module(name, module)
    return network.eval()


@pytest.fixture(scope="session")
def network() -> nn.Sequential:
    """Random weights, with statistics in the batch normalisation that are not the initial 0 and 1."""
    built = reference_network()
    generator = torch.Generator().manual_seed(0)
    for module in built.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.02, 3),  # from where epsilon counts
            ):
                assert tensor is not None
                nn.init.uniform_(tensor, low, high, generator=generator)
    return built


@pytest.fixture(scope="session")
def art_tensors(network: nn.Sequential) -> dict[str, Tensor]:
    """The published layout: the trunk, two heads, and two auxiliary ones that are not read."""
    heads = {f"fc{n}.{part}": torch.zeros(5, *more) for n in (1, 2) for part, more in HEAD.items()}
    return {**network.state_dict(), **heads, "AuxLogits1.conv0.conv.weight": torch.zeros(128, 768, 1, 1)}


HEAD: dict[str, tuple[int, ...]] = {"weight": (2048,), "bias": ()}


@pytest.fixture(scope="session")
def art_file(art_tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.save(art_tensors, path := tmp_path_factory.mktemp("art") / "art_inception.pth")
    return path


@pytest.mark.parametrize("size", [(75, 75), (96, 131)])
def test_features_are_those_of_plain_modules(
    network: nn.Sequential, art_tensors: dict[str, Tensor], size: tuple[int, int]
) -> None:
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(picture).flatten()
    found = Inception(art_tensors).features(picture)
    assert found.shape == (2048,)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_every_layer_of_the_trunk_is_read(art_tensors: dict[str, Tensor]) -> None:
    trunk = {name.removesuffix(".conv.weight") for name in art_tensors if name.endswith(".conv.weight")}
    assert {name for name, _ in kernels()} == trunk - {"AuxLogits1.conv0"}
    assert len(list(kernels())) == 94


def test_other_weights_are_refused(art_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "other.pth"

    def refused(tensors: dict[str, Tensor]) -> str:
        torch.save(tensors, path)
        with pytest.raises(WeightsError, match="--artfid-weights") as caught:
            Inception.load(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "no Conv2d_1a_3x3.conv.weight" in refused({"features.0.weight": torch.zeros(64, 3, 3, 3)})
    assert "Mixed_7c.branch_pool.bn.bias" in refused(
        {name: t for name, t in art_tensors.items() if name != "Mixed_7c.branch_pool.bn.bias"}
    )
    wrong = {"Mixed_6c.branch7x7_2.conv.weight": torch.zeros(160, 160, 7, 1)}
    assert "(160, 160, 7, 1), not Inception-v3's (160, 160, 1, 7)" in refused(art_tensors | wrong)
    photos = {name: tensor for name, tensor in art_tensors.items() if not name.startswith("fc")}
    assert "not trained on artworks" in refused(photos | {"fc.bias": torch.zeros(1000)})
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(WeightsError, match="--artfid-weights"):
        Inception.load(path)


# --- The Fréchet distance -----------------------------------------------------------------------------------


def gaussian(mean: list[float], deviations: list[float], turn: Tensor) -> Tensor:
    """Six samples whose mean and covariance are exactly those: ± one axis at a time."""
    axes = turn @ torch.diag(torch.tensor(deviations).double()) * (5 / 2) ** 0.5
    return torch.cat([axes.T, -axes.T]) + torch.tensor(mean).double()


def test_frechet_distance_of_known_gaussians() -> None:
    """Along common axes it is ‖μ − μ'‖² + Σ(σ − σ')², however the axes are turned."""
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).double())
    wide, narrow = gaussian([1, 2, 3], [3, 2, 1], turn), gaussian([1, 0, 3], [1, 2, 0], turn)
    assert frechet_distance(wide, narrow) == pytest.approx(4 + (3 - 1) ** 2 + (1 - 0) ** 2)


@pytest.mark.filterwarnings("ignore:Matrix is singular")
@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 8), st.integers(0, 1000))
def test_frechet_distance_is_that_of_the_matrix_root(few: int, many: int, channels: int, seed: int) -> None:
    """Also with fewer samples than channels, where covariances are singular."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(few, channels)), random.normal(1, 2, size=(many, channels))
    one, other = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    ridge = 1e-10 * np.eye(channels)  # without, a singular product may have no root at all
    root = np.real(sqrtm((one + ridge) @ (other + ridge)))
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one) + np.trace(other) - 2 * np.trace(root)
    mine, theirs = torch.from_numpy(a), torch.from_numpy(b)
    assert frechet_distance(mine, theirs) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert frechet_distance(theirs, mine) == pytest.approx(frechet_distance(mine, theirs))
    assert frechet_distance(mine, mine) == pytest.approx(0, abs=1e-9)


def test_one_picture_has_no_spread() -> None:
    with pytest.raises(InputError, match="needs two"):
        frechet_distance(torch.ones(2, 3), torch.ones(1, 3))


def test_artfid_is_the_published_product() -> None:
    assert ArtFid(lpips=0.5, fid=3.0, pictures=2).artfid == 6


# --- The command --------------------------------------------------------------------------------------------


def paint(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((100, 80)).save(path)


@pytest.fixture
def folders(desk: Desk, judge_file: Path) -> Desk:
    for seed, name in enumerate(("photos/sea", "photos/dog", "art/oil", "art/ink")):
        paint(desk.folder / f"{name}.png", seed)
    for seed, name in enumerate(("sea-oil", "dog-ink.1", "dog-ink.2")):
        paint(desk.folder / "out" / f"{name}.png", 10 + seed)
    return desk


def line(weights: Path, art: Path, *results: str) -> list[str]:
    return [
        *("evaluate", "--content", "photos", "--style", "art", *results),
        *("--metric-weights", str(weights), "--artfid-weights", str(art)),
    ]


def test_sets_are_scored_beside_photos_and_paintings(folders: Desk, judge_file: Path, art_file: Path) -> None:
    report = folders.call(*line(judge_file, art_file, "out"), "--json").json["artfid"]
    results, photos, paintings = (report[name] for name in ("results", "photos", "paintings"))
    assert (results["pictures"], photos["pictures"], paintings["pictures"]) == (3, 2, 2)
    assert photos["lpips"] == 0
    assert paintings["fid"] == pytest.approx(0, abs=1e-9 * photos["fid"])
    assert min(results["lpips"], results["fid"], photos["fid"], paintings["lpips"]) > 0
    assert results["artfid"] == pytest.approx((1 + results["lpips"]) * (1 + results["fid"]))
    assert "AlexNet" in report["note"]

    network = Inception.load(art_file)
    seen = {
        name: torch.stack([network.features(picture_of(path)) for path in (folders.folder / name).iterdir()])
        for name in ("out", "art")
    }
    assert results["fid"] == pytest.approx(frechet_distance(seen["out"], seen["art"]), rel=1e-4)

    judge = Judge.load([judge_file])

    def lpips(picture: str, photo: str) -> float:
        one, other = (judge.features(picture_of(folders.folder / f"{name}.png")) for name in (picture, photo))
        return perceptual(judge, one, other)

    # As it is, and not over the painting's as the score of content.
    painted = {"out/sea-oil": "photos/sea", "out/dog-ink.1": "photos/dog", "out/dog-ink.2": "photos/dog"}
    mean = np.mean([lpips(picture, photo) for picture, photo in painted.items()])
    assert results["lpips"] == pytest.approx(mean, rel=1e-3)
    mean = np.mean([lpips("art/oil", "photos/sea"), lpips("art/ink", "photos/dog")])
    assert paintings["lpips"] == pytest.approx(mean, rel=1e-3)


def picture_of(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image) / np.float32(255)).permute(2, 0, 1)[None]


def test_the_table_tells_the_count_and_the_reservations(
    folders: Desk, judge_file: Path, art_file: Path
) -> None:
    told = folders.call(*line(judge_file, art_file, "out"))
    assert told.status == 0
    words = " ".join(told.out.split())
    assert "3 results (few: FID is too high)" in words
    assert words.endswith("0.000 2 paintings as results")
    assert "AlexNet" in told.err


def test_no_artfid_of_one_pair_or_without_weights(folders: Desk, judge_file: Path, art_file: Path) -> None:
    refused = folders.call(*line(judge_file, art_file, "out/dog-ink.1.png", "out/dog-ink.2.png"))
    assert "results: 2, paintings: 1" in refused.complaint
    plain = [
        word for word in line(judge_file, art_file, "out") if word not in (str(art_file), "--artfid-weights")
    ]
    assert folders.call(*plain, "--json").json["artfid"] is None
    assert "--artfid-weights" in folders.call(*line(judge_file, judge_file, "out")).complaint


def test_pictures_too_small_for_the_network(folders: Desk, judge_file: Path, art_file: Path) -> None:
    Image.new("RGB", (74, 80)).save(folders.folder / "out" / "sea-oil.png")
    assert "74×80 is too small for ArtFID" in folders.call(*line(judge_file, art_file, "out")).complaint
