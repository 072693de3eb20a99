"""Exit statuses, and how a Ctrl-C is noted."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

DONE, OUR_FAULT, YOUR_TURN, INTERRUPTED = 0, 1, 2, 130


@contextmanager
def interruptible() -> Generator[list[int]]:
    """Collect Ctrl-C instead of stopping in the middle of an evaluation; a second one stops at once."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)
