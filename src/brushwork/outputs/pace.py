"""When something that is done again and again is due."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

SHARE = 0.1  # of the time, at most, goes into it


class Pace:
    """Due every so many seconds, and later where the thing itself takes long."""

    def __init__(self, every: float, *, at_once: bool = False) -> None:
        self._every = every
        self._next = time.monotonic() + (0 if at_once else every)

    @property
    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._next

    @contextmanager
    def timed(self) -> Generator[None]:
        """Do it; how long that takes decides when it is due again, also when it fails."""
        began = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self._next = now + max(self._every, (now - began) / SHARE)
