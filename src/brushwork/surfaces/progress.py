"""What a person sees of a training: progress on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import TypeVar

from brushwork.events import Returning
from brushwork.surfaces.status import DONE, INTERRUPTED, interruptible
from brushwork.surfaces.terminal import LINE_EVERY, OneBar, Silence, say, suiting
from brushwork.training.events import Checkpoint, EpochDone, Event, Preparing, Started, Stepped
from brushwork.training.processes import Processes

Result = TypeVar("Result")


def watcher(*, quiet: bool) -> Silence[Event]:
    """What shows a training, as ``suiting`` has it."""
    return suiting(Bar, Lines, quiet=quiet)


def watched(events: Generator[Event, None, Result], *, quiet: bool) -> Result:
    """Show events; returns what they end with."""
    returning = Returning(events)
    with watcher(quiet=quiet) as person:
        for event in returning:
            person.show(event)
    return returning.value


def drain(
    events: Generator[Event], handle: Callable[[Event], None], tell: Callable[[], None], *, quiet: bool
) -> bool:
    """Hand each event to ``handle`` and the person, then ``tell`` more; False when a Ctrl-C ended it."""
    with interruptible() as interrupted, watcher(quiet=quiet) as person, closing(events):
        for event in events:
            handle(event)
            person.show(event)
            tell()
            if interrupted and isinstance(event, Checkpoint):
                return False
    return True


def help_along(events: Generator[Event]) -> int:
    """Take part in a training that the first of several processes shows and writes; the exit status."""
    with interruptible() as interrupted:
        try:
            for _ in events:
                pass
        except RuntimeError:  # the first one has left
            if not interrupted:
                raise
            return INTERRUPTED
    return DONE


def take_leave(together: Processes, status: int) -> None:
    """Wait for the other processes, unless they wait for sums: the launcher ends them."""
    if status != INTERRUPTED:
        together.close()


class Lines(Silence[Event]):
    """A line at the start, one an epoch and one every ten seconds, for logs."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._is_in_epochs = True

    def show(self, event: Event) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        match event:
            case Preparing():
                say(f"{event.what}: {event.done} of {event.count}")
            case Started():
                self._is_in_epochs = event.is_in_epochs
                say(_headline(event))
            case Stepped() if now - self._last > LINE_EVERY:
                self._last = now
                epoch = f"epoch {event.epoch}, " if self._is_in_epochs else ""
                say(f"{epoch}step {event.step}: {_losses(event.means)}")
            case EpochDone() if self._is_in_epochs:
                self._last = now
                speed = f"{event.pictures_per_second:.0f} pictures/s"
                say(f"epoch {event.epoch} done: {_losses(event.means)}, {speed}")
            case _:
                pass


class Bar(OneBar[Event]):
    """A progress bar with epoch, losses and time left."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs = self._steps = 0

    def show(self, event: Event) -> None:
        """Move the bar."""
        if isinstance(event, Preparing):
            self._bar.update(self._task, total=event.count, completed=event.done, description=event.what)
        elif isinstance(event, Started):
            self._epochs = event.epochs if event.is_in_epochs else 0
            self._bar.console.print(_headline(event), highlight=False, markup=False)
            self._steps = event.steps
            self._bar.update(self._task, total=event.steps, completed=event.step, description="training")
        elif isinstance(event, Stepped):
            place = f"epoch {event.epoch}/{self._epochs}" if self._epochs else f"{event.step}/{self._steps}"
            description = f"{place}, {_losses(event.means)}"
            self._bar.update(self._task, completed=event.step, description=description)


def _headline(event: Started) -> str:
    sizes = ", ".join(f"{name} {count:,}" for name, count in event.parameters.items())
    length = f"{event.epochs} epochs of {event.steps_per_epoch} steps"
    what = f"{event.pictures} pictures, {length if event.is_in_epochs else f'{event.steps} steps'}"
    return f"{what} on {event.device}, {event.precision}; parameters: {sizes}"


def _losses(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
