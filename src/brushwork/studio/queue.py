"""Does one job at a time, in turns between browsers; what it has accepted survives a restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Condition, Event, Thread

from brushwork.errors import BrushworkError, InputError, OutputError
from brushwork.studio.folder import Folder, Kind, State, Ticket

OPEN = ("waiting", "painting")


@dataclass
class Going:
    """The job that is being done: how far it is, and what is wanted of it."""

    id: str
    kind: Kind = "picture"
    stop: Event = field(default_factory=Event)
    give_way: Event = field(default_factory=Event)  # leave the turn to others, and wait for another
    is_closing: bool = False
    words: str = ""  # what is going on, when it is not the usual
    _began: float = field(default_factory=time.monotonic)
    _before: float = 0.0  # what an earlier turn of the job had done
    _done: float = 0.0
    _total: float = 0.0

    def begin(self, done: float, total: float) -> None:
        """The work itself begins: so much of it is done, in any unit."""
        self._began, self._before, self._done, self._total = time.monotonic(), done, done, total

    def advance(self, done: float) -> None:
        """So much is done."""
        self._done = done

    @property
    def fraction(self) -> float:
        """How much is done, 0..1."""
        return self._done / self._total if self._total else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go at the speed so far; None when that cannot be told yet."""
        if self._done <= self._before:
            return None
        return (time.monotonic() - self._began) * (self._total - self._done) / (self._done - self._before)


Worker = Callable[[Ticket, Going], State]
"""Does a job, or goes on with it; returns how it ended: ``waiting`` when it has given way."""


class Queue:
    """Accepts jobs and has them done in a thread of its own, from ``start`` to ``close``.

    Pictures go before networks, which take hours: a training leaves its turn to a picture that comes in.
    """

    def __init__(self, folder: Folder, workers: Mapping[Kind, Worker], *, places: int) -> None:
        self.folder, self.places, self._workers = folder, places, workers
        self._open: dict[str, Ticket] = {t.id: t for t in reversed(folder.tickets()) if t.state in OPEN}
        self._served: dict[str, float] = {}  # when each browser had its last turn
        self._going: Going | None = None
        self._closed = False
        self._news = Condition()
        self._thread = Thread(target=self._work, name="queue", daemon=True)

    def start(self) -> None:
        """Begin to work, with what was interrupted."""
        self._thread.start()

    def close(self) -> None:
        """Stop working; the job that was interrupted goes on at the next start."""
        with self._news:
            self._closed = True
            if self._going:
                self._going.is_closing = True
                self._going.stop.set()
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def add(self, ticket: Ticket) -> None:
        """Accept a job.

        Raises InputError when the queue, or the browser's half of it, is full, OutputError when the disk is.
        """
        with self._news:
            own = sum(other.session == ticket.session for other in self._open.values())
            if len(self._open) >= self.places or own >= max(1, self.places // 2):
                raise InputError("too many jobs are waiting: try again when one is done")
            self.folder.keep(ticket)
            self._open[ticket.id] = ticket
            if self._going and self._going.kind == "network" and ticket.kind == "picture":
                self._going.give_way.set()
            self._news.notify_all()

    def stop(self, ticket: Ticket) -> None:
        """Stop a job: of one that is being done what there is so far is kept."""
        with self._news:
            if self._going and self._going.id == ticket.id:
                self._going.stop.set()
            elif self._open.pop(ticket.id, None):
                self._keep(ticket, state="stopped")

    def going(self, id: str) -> Going | None:
        """How far a job is, when it is the one that is being done."""
        going = self._going
        return going if going and going.id == id else None

    def ahead(self, id: str) -> int:
        """How many jobs have their turn before this one."""
        with self._news:
            order, served = list[str](), dict(self._served)
            left = [t for t in self._open.values() if not (self._going and t.id == self._going.id)]
            while left and id not in order:
                ticket = next_turn(left, served)
                left.remove(ticket)
                served[ticket.session] = time.monotonic()
                order.append(ticket.id)
            return max(0, len(order) - 1) + (self._going is not None)

    # ------------------------------------------------------------------------------------- the one thread

    def _work(self) -> None:
        from brushwork.context import keep_freed_memory, trim_memory

        while ticket := self._wait():
            keep_freed_memory()  # a picture in tiles may have asked for the contrary
            began, going = time.monotonic(), self._going
            assert going is not None, "a job is done when it has its turn"
            try:
                state = self._workers[ticket.kind](ticket, going)
            except BrushworkError as error:
                self._end(ticket, "failed", str(error), began)
            except Exception:
                # One job's failure is not the others'; its trace is for the log, not for the page.
                logging.getLogger(__name__).exception("job %s", ticket.id)
                self._end(ticket, "failed", "this is our fault: the studio's log has more", began)
            else:
                if state == "done" or not going.is_closing:
                    self._end(ticket, state, "", began)
            if not self._open:
                trim_memory()  # of a training 3 GB would stay, and wait for nothing

    def _wait(self) -> Ticket | None:
        """The next job, when there is one; None when the studio closes."""
        with self._news:
            self._going = None
            while not (self._open or self._closed):
                self._news.wait()
            if self._closed:
                return None
            ticket = next_turn(list(self._open.values()), self._served)
            self._served[ticket.session] = time.monotonic()
            self._going = Going(ticket.id, ticket.kind)
            return self._keep(ticket, state="painting")

    def _end(self, ticket: Ticket, state: State, message: str, began: float) -> None:
        seconds = (ticket.seconds or 0) + time.monotonic() - began
        with self._news:
            going = self._going
            if state == "waiting" and going and going.stop.is_set() and not going.is_closing:
                state = "stopped"  # it was asked for after the turn was given away
            if state != "waiting":
                self._open.pop(ticket.id, None)
            self._keep(ticket, state=state, message=message, seconds=round(seconds, 1))
            self._going = None

    def _keep(self, ticket: Ticket, **changes: object) -> Ticket:
        changed = ticket.model_copy(update=changes)
        if ticket.id in self._open:
            self._open[ticket.id] = changed
        try:
            self.folder.keep(changed)
        except OutputError as error:
            # A disk that is full must not end the thread: it may have room again.
            logging.getLogger(__name__).warning("job %s: %s", ticket.id, error)
        return changed


def next_turn(waiting: list[Ticket], served: dict[str, float]) -> Ticket:
    """Whose turn it is: what was interrupted, pictures, the browser that waited longest, then the oldest."""
    return min(
        waiting,
        key=lambda t: (t.state != "painting", t.kind == "network", served.get(t.session, 0.0), t.created),
    )
