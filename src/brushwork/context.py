"""The machine a job runs on: device, precision, threads, memory, time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Protocol

import torch

from brushwork.errors import InputError

_IMPORTED = time.monotonic()


@dataclass(frozen=True)
class Context:
    """Where and how a job computes."""

    device: torch.device  # where the picture is
    dtype: torch.dtype  # of the network; statistics and the picture stay float32
    others: tuple[torch.device, ...] = ()  # that look at tiles too

    @property
    def precision(self) -> str:
        """The network's arithmetic by name, e.g. ``float32``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """All that look at tiles; a processor that looks at several at once is there as often."""
        return (self.device, *self.others)

    @property
    def place(self) -> str:
        """The devices by name, as a job has them, e.g. ``cuda:0,cuda:1``."""
        return ",".join(map(str, self.devices))

    def free_memory(self) -> int | None:
        """Bytes of the system that can still be had within this process's limits."""
        known = (_system_memory(), _group_memory())
        return min((free for free in known if free is not None), default=None)

    def memory_limit(self) -> int | None:
        """Bytes that this process may take in all, what it has and what is free; of GPUs the scarcest's."""
        if self.device.type == "cuda":
            # What torch holds for reuse counts as taken, and would look like another's.
            return min(torch.cuda.mem_get_info(d)[0] + torch.cuda.memory_reserved(d) for d in self.devices)
        free = self.free_memory()
        return free if free is None else free + _resident()

    def peak_memory(self) -> int:
        """Peak bytes: the device's allocations on a GPU, this process's resident memory on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with contextlib.suppress(OSError, ValueError, StopIteration):
            # What getrusage tells begins with the memory of the process that started this one.
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
        try:
            import resource
        except ImportError:  # Windows does not tell
            return 0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


class Machine(Protocol):
    """What a job says of the machine."""

    @property
    def threads(self) -> int | None:
        """Processor threads, None for torch's choice."""
        ...

    @property
    def device(self) -> str:
        """A device of torch, several with commas, or ``auto``."""
        ...

    @property
    def precision(self) -> str:
        """``float32``, ``bfloat16`` or ``auto``."""
        ...


def context_for(job: Machine) -> Context:
    """Resolve ``auto``, set the thread count. Raises InputError when a device is missing or named twice."""
    if job.threads:
        torch.set_num_threads(job.threads)
    device, *others = _devices(job.device)
    # A pass's convolutions are too narrow for bfloat16: it took twice as long where it pays for VGG19.
    is_narrow = getattr(job, "engine", "") == "feedforward" and job.precision == "auto"
    return Context(device, torch.float32 if is_narrow else _dtype(job.precision, device), tuple(others))


def _devices(names: str) -> list[torch.device]:
    """Those of a job, told apart by their numbers when there are several."""
    parts = names.split(",")
    devices = [_device(part, names) for part in parts]
    if len(devices) > 1:
        devices = [torch.device("cuda", d.index or 0) if d.type == "cuda" else d for d in devices]
    twice = [str(device) for device in devices if device.type != "cpu" and devices.count(device) > 1]
    if twice:
        raise InputError(f"--device {names}: {twice[0]} is named twice; name each GPU once")
    return devices


def _device(name: str, names: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type != "cpu" and (device.index or 0) >= count[device.type]:
        there = f"{count[device.type]} {device.type} devices and no {name}"
        none = f"no {device.type} device"
        raise InputError(
            f"--device {names}: this machine has {there if count[device.type] else none}; use --device cpu"
        )
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    if device.type == "cuda":
        pays = torch.cuda.get_device_capability(device) >= (8, 0)  # NVIDIA's since Ampere
    else:
        pays = device.type == "cpu" and _has_bfloat16() and _bfloat16_pays()
    return torch.bfloat16 if pays else torch.float32


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it must emulate, it is 4 times slower."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


@cache
def _bfloat16_pays() -> bool:
    """Whether bfloat16 products are at least 1.25 times as fast as float32's: less is not worth its rounding.

    Having the instructions is not enough: a Sapphire Rapids whose AMX was hidden ran them at 161 GFLOP/s
    and float32 at 299. Takes some 30 ms, once: two jobs of a process must not differ.
    """
    fast, slow = (torch.ones(512, 512, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    with threads(1):
        # In turns, and the median: an EPYC's 2.2 came out below 1.5 once in 600 times by the best of four.
        ratios = [_seconds_of_product(slow) / _seconds_of_product(fast) for _ in range(6)]
    return median(ratios) > 1.25


def _seconds_of_product(matrix: torch.Tensor) -> float:
    """One product's, by the thread's own time: other work must not decide. The first prepares the kernel."""
    began = time.thread_time()
    torch.mm(matrix, matrix)
    return time.thread_time() - began


@contextlib.contextmanager
def threads(count: int) -> Generator[None]:
    """Compute with so many threads of the processor, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def repeatable(*, exact: bool) -> None:
    """Have GPUs compute the same twice, whatever ran before, and when ``exact`` float32 in float32.

    Left alone cuDNN may add up in any order (forbidding it costs bfloat16 nothing), and torch lets
    convolutions round float32 to 10 bits of mantissa (TF32).
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = not exact
    torch.backends.cuda.matmul.allow_tf32 = False  # torch's default


def _system_memory() -> int | None:
    """Bytes that Linux counts as available; None elsewhere."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    return None


def _resident() -> int:
    """Bytes of this process in memory."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    return 0


_GROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def group_limit(root: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """The tightest limit, in bytes, on this process's control groups; None without one."""
    return min((most for _, most, _ in _limits(root, membership)), default=None)


def _group_memory(root: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """Bytes left within the tightest limit on this process's control groups; None without one."""
    left = (most - taken + _reclaimable(group) for group, most, taken in _limits(root, membership))
    return min(left, default=None)


def _limits(root: Path, membership: Path) -> Generator[tuple[Path, int, int]]:
    """The groups that have a limit, with it and what is used of it, in bytes (cgroup 2 or 1).

    A container's own group is the root of what it sees; elsewhere, as under systemd or Slurm, each group on
    the way from the root may have a limit. ``membership`` has lines ``number:controllers:path``.
    """
    groups = {root, root / "memory"}
    with contextlib.suppress(OSError, ValueError):
        for line in membership.read_text(encoding="utf-8").splitlines():
            _, controllers, name = line.split(":", 2)
            base = root / "memory" if "memory" in controllers.split(",") else root
            path = base / name.strip("/")
            groups.update(each for each in (path, *path.parents) if each.is_relative_to(base))
    names = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for group, (limit, used) in product(groups, names):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            yield group, int((group / limit).read_text("ascii")), int((group / used).read_text("ascii"))


def _reclaimable(group: Path) -> int:
    """Bytes of files that were read once: they count as used, yet the kernel gives them up for the asking."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        names = ("total_inactive_file ", "inactive_file ")  # cgroup 1's with its children, cgroup 2's
        return int(next(line for name in names for line in lines if line.startswith(name)).split()[1])
    return 0


def keep_freed_memory() -> None:
    """Ask glibc to reuse large blocks instead of returning them to the system after every layer.

    Feature maps of tens of megabytes are made and freed hundreds of times; fetching their pages anew
    cost 10 % of an evaluation at 400×600. Surfaces call this once; a library user decides for themselves.
    """
    _set_thresholds(2**30)


def give_back_freed_memory(above: int = 2**20) -> None:
    """Have glibc return to the system what is free now, and from now on blocks of more than ``above`` bytes.

    Kept blocks of many sizes leave holes: 1.9 GB instead of 1.4 for tiles of 512 pixels. But every page that
    is fetched anew is cleared by the system, which doubles the time of a tile.
    """
    _set_thresholds(above)
    trim_memory()


def trim_memory() -> None:
    """Have glibc return to the system what is free now; what is freed later it keeps as before."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _set_thresholds(mapped: int) -> None:
    """The size from which a block has a mapping of its own; smaller ones go back too when that is small."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(ctypes.c_int(-3), ctypes.c_int(mapped))  # M_MMAP_THRESHOLD
        trimmed = 2**31 - 1 if mapped > 2**20 else mapped
        libc.mallopt(ctypes.c_int(-1), ctypes.c_int(trimmed))  # M_TRIM_THRESHOLD


def process_seconds() -> float:
    """Seconds since this process started (since import where the system does not tell)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError, IndexError, ValueError):
        return time.monotonic() - _IMPORTED
