"""What a person sees in a terminal: progress on stderr, tables on stdout, errors in one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self

from brushwork.errors import OutputError
from brushwork.events import Event, Progress, Started

LINE_EVERY = 10.0  # seconds between plain lines


class Watcher(Protocol):
    """Shows events to a person."""

    def show(self, event: Event) -> None:
        """Take note of the next event."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(*, quiet: bool) -> Watcher:
    """A bar when stderr is a terminal, plain lines otherwise, nothing when ``quiet``."""
    if quiet:
        return Silence()
    return Bar() if sys.stderr.isatty() else Lines()


class Silence:
    """Shows nothing."""

    def show(self, event: Event) -> None:
        """Take no note."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Lines(Silence):
    """A line at the start and one every ten seconds, for logs."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def show(self, event: Event) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        if isinstance(event, Started):
            say(_headline(event))
        elif isinstance(event, Progress) and (now - self._last > LINE_EVERY or event.evaluation == 1):
            self._last = now
            done = event.evaluation / event.evaluations
            left = (now - self._began) * (1 - done) / done
            at = f"{event.evaluation}/{event.evaluations} at {event.scale} px"
            say(f"{at}: {_losses(event)}, {left:.0f} s left")


class Bar(Silence):
    """A progress bar with scale, losses and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        self._bar = RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task("reading", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Move the bar."""
        if isinstance(event, Started):
            self._bar.console.print(_headline(event), highlight=False)
            self._bar.update(self._task, total=event.evaluations, description="painting")
        elif isinstance(event, Progress):
            description = f"{event.scale} px  {_losses(event)}"
            self._bar.update(self._task, completed=event.evaluation, description=description)


def _headline(event: Started) -> str:
    size = f"{event.width}×{event.height}"
    return f"{size}, {event.evaluations} evaluations on {event.device}, {event.precision}, {event.weights}"


def _losses(event: Progress) -> str:
    losses = event.losses
    terms = f"content {losses.content:.3g}, style {losses.style:.3g}, tv {losses.tv:.3g}"
    return f"loss {losses.total:.4g} ({terms})"


def say(message: str) -> None:
    """A message to the person, on stderr."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


def table(rows: Iterable[tuple[str, ...]]) -> None:
    """Rows on stdout, without a frame; the last column wraps. Raises OutputError when that fails."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*row)
    for column in grid.columns:
        column.overflow = "fold"  # a long file name goes on below and is not cut
    try:
        Console(highlight=False).print(grid)
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}") from error
