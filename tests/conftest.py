"""What several test files share: the embedded network, two small pictures, the larger test pictures."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings
from safetensors.torch import save_file
from torch import Tensor

import reference as ref
from brushwork.encode import to_image
from brushwork.painter import paint
from brushwork.weights import Weights, load_weights
from commands import Desk
from gan_bench import Bench, idx
from studio_bench import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples every time; `pytest --hypothesis-profile default` looks for others.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def weights() -> Weights:
    """VGG19 as it is installed."""
    return load_weights()


@pytest.fixture(scope="session")
def reference_weights(weights: Weights) -> ref.Weights:
    """The same network for ``reference.py``: float64, its first kernels for BGR in 0..255 again."""
    doubled = {
        name: (kernel.double(), bias.double()) for name, (kernel, bias) in weights.convolutions.items()
    }
    kernel, bias = doubled["block1_conv1"]
    return {**doubled, "block1_conv1": (kernel.flip(1) / 255, bias)}


@pytest.fixture(scope="session")
def photo() -> Tensor:
    """A disc before a gradient, (1, 3, 48, 64) in whole levels of 255."""
    y, x = np.mgrid[0:1:48j, 0:1:64j]
    disc = 1 / (1 + np.exp(80 * (np.hypot(x - 0.6, y - 0.45) - 0.25)))
    planes = np.stack([0.2 + 0.6 * x, 0.9 - 0.5 * y, 0.3 + 0.4 * x * y]) * (1 - 0.7 * disc)
    grain = np.random.default_rng(3).normal(0, 0.02, planes.shape)
    return torch.from_numpy(np.rint((planes + grain).clip(0, 1) * 255) / 255).float()[None]


@pytest.fixture(scope="session")
def painting() -> Tensor:
    """The painter's tiles, (1, 3, 64, 56) in whole levels of 255."""
    tiles = paint("tiles", size=64)[:, 4:60]
    return torch.from_numpy(tiles.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


@pytest.fixture
def photo_file(tmp_path: Path, photo: Tensor) -> Path:
    to_image(photo).save(path := tmp_path / "photo.png")
    return path


@pytest.fixture
def painting_file(tmp_path: Path, painting: Tensor) -> Path:
    to_image(painting).save(path := tmp_path / "painting.png")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of test pictures beside the project; tests that need it are skipped without it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the test pictures in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def network_file(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's first two blocks as a file of one's own: read in no time."""
    tensors: dict[str, Tensor] = {}
    for name, (kernel, bias) in list(weights.convolutions.items())[:4]:
        published = kernel.flip(1) / 255 if name == "block1_conv1" else kernel  # BGR in 0..255
        tensors |= {f"{name}.weight": published.contiguous(), f"{name}.bias": bias}
    save_file(tensors, path := tmp_path_factory.mktemp("network") / "network.safetensors")
    return path


@pytest.fixture(scope="session")
def judge_tensors() -> dict[str, Tensor]:
    """A network of VGG16's shapes, smaller numbers than a trained one's but not trivial."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    inputs = 3
    for block, outputs in zip(ref.VGG16_BLOCKS, (64, 128, 256, 512, 512), strict=True):
        for place in block:
            scale = (2 / (9 * inputs)) ** 0.5
            tensors[f"features.{place}.weight"] = scale * torch.randn(
                outputs, inputs, 3, 3, generator=generator
            )
            tensors[f"features.{place}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
            inputs = outputs
    for index, channels in enumerate((64, 128, 256, 512, 512)):
        tensors[f"lin{index}.weight"] = torch.rand(1, channels, 1, 1, generator=generator)
    return tensors


@pytest.fixture(scope="session")
def judge_file(judge_tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That network as a file for ``--metric-weights``."""
    path = tmp_path_factory.mktemp("judge") / "judge.pth"
    torch.save(judge_tensors, path)
    return path


@pytest.fixture
def desk(
    photo_file: Path,
    painting_file: Path,
    network_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Generator[Desk]:
    """A working folder with photo.png, painting.png and network.safetensors, and the command line in it."""
    shutil.copy(network_file, photo_file.parent)
    monkeypatch.chdir(photo_file.parent)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on pictures this small a second one only waits
    yield Desk(photo_file.parent, capsys)
    torch.set_num_threads(threads)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    y, x = np.mgrid[0:28, 0:28]
    shapes = [(np.hypot(x - 14, y - 10 - i % 9) < 3 + i % 7) * (200 + i) for i in range(20)]
    (tmp_path / "data" / "train-images-idx3-ubyte").write_bytes(idx(np.stack(shapes).astype(np.uint8)))
    return Bench(tmp_path, capsys)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """A real one; tests that need it are skipped without it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=needs_chromium(), args=["--no-sandbox"])
        yield chromium
        chromium.close()
