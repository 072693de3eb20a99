"""What a person sees in a terminal: progress on stderr, tables on stdout, errors in one line."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from brushwork.errors import OutputError
from brushwork.events import Event, Progress, Replanned, Started, Swept, Work

LINE_EVERY = 10.0  # seconds between plain lines
BAR_WIDTH, TIME_WIDTH = 20, 7  # columns


Shown = TypeVar("Shown", contravariant=True)


class Silence(Generic[Shown]):
    """Shows nothing of the events."""

    def show(self, event: Shown) -> None:
        """Take note of the next event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class OneBar(Silence[Shown]):
    """A progress bar with the time left and a description."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        columns: list[Any] = [
            BarColumn(bar_width=BAR_WIDTH),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=TIME_WIDTH)),
            TextColumn("{task.description}", markup=False),
        ]
        # An evaluation may take a minute; the speed is that of the last ten.
        self._bar = RichProgress(*columns, speed_estimate_period=600, console=Console(stderr=True))
        self._task = self._bar.add_task("reading", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


Watcher = Silence[Event]
"""Shows a painting's events to a person."""


def watcher(*, quiet: bool) -> Watcher:
    """What shows a painting, as ``suiting`` has it."""
    return suiting(Bar, Lines, quiet=quiet)


@contextlib.contextmanager
def waiting(what: str, *, quiet: bool) -> Generator[None]:
    """A word that stands in a terminal until something begins: importing torch alone takes seconds."""
    if quiet or not (sys.stderr and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def suiting(
    bar: Callable[[], Silence[Shown]], lines: Callable[[], Silence[Shown]], *, quiet: bool
) -> Silence[Shown]:
    """A bar when stderr is a terminal, plain lines otherwise, nothing when ``quiet``."""
    if quiet:
        return Silence()
    return bar() if sys.stderr and sys.stderr.isatty() else lines()


class Lines(Silence[Event]):
    """A line at the start and one every ten seconds, for logs."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._work: Work | None = None
        self._started: Started | None = None
        self._done = 0.0  # before this process took over

    def show(self, event: Event) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        is_time = now - self._last > LINE_EVERY
        if isinstance(event, Replanned):
            say(_less(event))
        elif isinstance(event, Started):
            self._began, self._work, self._started = now, Work(event), event
            self._done = self._work.after(event.done)
            say(_headline(event))
        elif isinstance(event, Progress) and self._work and (is_time or event.evaluation == 1):
            self._last = now
            at = _at(event, self._started)
            say(f"{at}: {_losses(event)}{self._left(self._work.after(event.evaluation), now)}")
        elif isinstance(event, Swept) and self._work and is_time:
            self._last = now
            left = self._left(self._work.during(event), now)
            say(f"{self._sweep(event)}, {event.done}/{event.parts} of its tiles{left}")

    def _sweep(self, event: Swept) -> str:
        return f"evaluation {event.evaluation}" if self._started and self._started.evaluations else "pass"

    def _left(self, done: float, now: float) -> str:
        """Seconds to go at the speed so far, when that can be told."""
        assert self._work is not None, "Started comes first"
        gained = done - self._done
        if gained <= 0:
            return ""
        return f", {(now - self._began) * (self._work.total - done) / gained:.0f} s left"


class Bar(OneBar[Event]):
    """A progress bar with scale, step, losses and time left; it moves by the pixels evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self._work: Work | None = None
        self._started: Started | None = None

    def show(self, event: Event) -> None:
        """Move the bar."""
        if isinstance(event, Replanned):
            self._bar.console.print(_less(event), highlight=False, markup=False)
        elif isinstance(event, Started):
            self._work, self._started = Work(event), event
            self._bar.console.print(_headline(event), highlight=False, markup=False)
            done = self._work.after(event.done)
            self._bar.update(self._task, total=self._work.total, completed=done, description="painting")
        elif isinstance(event, Swept) and self._work:
            self._bar.update(self._task, completed=self._work.during(event))
        elif isinstance(event, Progress) and self._work:
            completed = self._work.after(event.evaluation)
            self._bar.update(self._task, completed=completed, description=self._described(event))

    def _described(self, event: Progress) -> str:
        """Scale, step and losses; the total alone where a line has no room for its terms."""
        at = _at(event, self._started)
        whole = f"{at}, {_losses(event)}"
        room = self._bar.console.width - BAR_WIDTH - TIME_WIDTH - 2
        return whole if len(whole) <= room else f"{at}, loss {event.losses.total:.4g}"


def _headline(event: Started) -> str:
    size = f"{event.width}×{event.height}"
    plan = f", {event.plan}" if event.plan else ""
    on = f"{event.device}, {event.precision}, {event.weights}{plan}"
    return f"{size}, {event.evaluations} evaluations on {on}" if event.evaluations else f"{size} on {on}"


def _less(event: Replanned) -> str:
    return f"memory ran short: going on in {event.plan}"


def _at(event: Progress, started: Started | None) -> str:
    """Where the work is: which scale, its size, the step within it."""
    assert started is not None, "Started comes first"
    part = f"{started.part} {event.rung + 1}/{len(started.scales)}, " if started.scales[1:] else ""
    return f"{part}{event.scale} px, step {event.step}/{started.scales[event.rung].steps}"


def _losses(event: Progress) -> str:
    losses = event.losses
    terms = f"content {losses.content:.3g}, style {losses.style:.3g}, tv {losses.tv:.3g}"
    return f"loss {losses.total:.4g} ({terms})"


def say(message: str) -> None:
    """A message to the person, on stderr; where that is full or closed the work goes on without."""
    with contextlib.suppress(OSError, AttributeError):  # None stands for a stream that was closed before
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()


def tell(notes: list[str], before: str = "") -> None:
    """Say notes, each after ``before``, and empty the list."""
    while notes:
        say(before + notes.pop(0))


def table(rows: Iterable[tuple[str, ...]]) -> None:
    """Rows on stdout, without a frame; the last column wraps. Raises OutputError when that fails."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        grid.add_row(*map(Text, row))  # names and commands may hold what rich takes for markup
    for column in grid.columns:
        column.overflow = "fold"  # a long file name goes on below and is not cut
    try:
        Console(highlight=False).print(grid)
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror}") from error
    except UnicodeEncodeError as error:
        raise OutputError(f"standard output: {error.reason}: set PYTHONIOENCODING=utf-8") from error
