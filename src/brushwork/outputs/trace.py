"""The trace: one JSON line an evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from brushwork.context import process_seconds
from brushwork.errors import OutputError
from brushwork.events import Losses, Progress


def trace_line(event: Progress, earlier: float = 0.0) -> bytes:
    """One line of ``--trace``: the weighted terms, which add up to the total, and where the time went.

    ``earlier`` are the seconds of the run that this one resumes.
    """
    line = {
        "evaluation": event.evaluation,
        "scale": event.scale,
        "step": event.step,
        **as_json(event.losses),
        "gradient_norm": _finite(event.gradient_norm),
        "seconds": round(earlier + process_seconds(), 3),
    }
    return json.dumps(line).encode() + b"\n"


def as_json(losses: Losses) -> dict[str, float | None]:
    """The terms by name; None, as JSON has no other word for it, for what is no finite number."""
    return {name: _finite(value) for name, value in asdict(losses).items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Trace:
    """A file of one JSON line an evaluation, each there as soon as it is known."""

    def __init__(self, path: Path, earlier: bytes = b"") -> None:
        self._path = path
        with self._writing():
            # Unbuffered: what a full disk refused would be tried once more when the file is closed.
            self._file = path.open("wb", buffering=0)
            if earlier:
                self._file.write(earlier)

    def add(self, line: bytes) -> None:
        """Append a line. Raises OutputError when that fails."""
        with self._writing():
            self._file.write(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"--trace {self._path}: {error.strerror}: choose another place") from error
