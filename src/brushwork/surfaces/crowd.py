"""How threads wait where a machine is busy with other work."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

LOAD = Path("/proc/loadavg")
SAMPLES, BETWEEN = 4, 0.003  # looks at what runs, seconds between them


def wait_politely(load: Path = LOAD) -> None:
    """Let threads sleep where they wait for each other, if other work keeps every processor busy.

    OpenMP's threads spin, which is faster alone (by a sixth at 512×512) and, when processors are few,
    takes the time of those they wait for: on two, beside eight busy processes, a draft at 256×256 took
    29 s asleep, 63 s and more spinning.

    To be called before torch is loaded; a policy of the user's own stays.
    """
    if all(running >= (os.cpu_count() or 1) for running in _others_running(load)):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _others_running(load: Path) -> Iterator[int]:
    """How many threads run or could, but for this one, a few times; 0 where the system does not tell."""
    for _ in range(SAMPLES):
        try:
            # RUNNING of "0.2 0.3 0.2 RUNNING/ALL PID" counts this thread too.
            yield int(load.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1
        except (OSError, ValueError, IndexError):
            yield 0
        time.sleep(BETWEEN)
