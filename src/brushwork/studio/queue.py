"""Paints one job at a time, in turns between browsers; what it has accepted survives a restart."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Any

from brushwork.errors import BrushworkError, InputError
from brushwork.jobs import Stylize
from brushwork.studio.folder import Folder, Ticket
from brushwork.studio.orders import job_of
from brushwork.wanted import Wanted

if TYPE_CHECKING:  # torch takes seconds, and the page is up before it
    from brushwork import events
    from brushwork.outputs.run_folder import Saved
    from brushwork.outputs.writer import Writer
    from brushwork.surfaces.terminal import Work

CHECKPOINT_EVERY = 10.0  # seconds: what a restart may cost
OPEN = ("waiting", "painting")


@dataclass
class Going:
    """The job that is being painted: how far it is."""

    id: str
    stop: Event = field(default_factory=Event)
    began: float = field(default_factory=time.monotonic)
    work: Work | None = None
    before: float = 0.0  # what an earlier run of the job had done
    done: float = 0.0

    @property
    def fraction(self) -> float:
        """How much is done, 0..1."""
        return self.done / self.work.total if self.work else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go at the speed so far; None when that cannot be told yet."""
        if self.work is None or self.done <= self.before:
            return None
        return (time.monotonic() - self.began) * (self.work.total - self.done) / (self.done - self.before)

    def note(self, event: events.Event) -> None:
        """Take note of how far the work is."""
        from brushwork.events import Progress, Started, Swept
        from brushwork.surfaces.terminal import Work

        if isinstance(event, Started):
            self.work, self.began = Work(event), time.monotonic()
            self.done = self.before = self.work.after(event.done)
        elif isinstance(event, Progress) and self.work:
            self.done = self.work.after(event.evaluation)
        elif isinstance(event, Swept) and self.work:
            self.done = self.work.during(event)


class Queue:
    """Accepts jobs and paints them in a thread of its own, from ``start`` to ``close``.

    ``machine`` are the settings that the host decides for every job.
    """

    def __init__(self, folder: Folder, *, places: int, machine: dict[str, Any]) -> None:
        self.folder, self.places, self._machine = folder, places, machine
        self._open: dict[str, Ticket] = {t.id: t for t in reversed(folder.tickets()) if t.state in OPEN}
        self._served: dict[str, float] = {}  # when each browser had its last turn
        self._going: Going | None = None
        self._closed = False
        self._news = Condition()
        self._thread = Thread(target=self._work, name="painter", daemon=True)

    def start(self) -> None:
        """Begin to paint, what was interrupted first."""
        self._thread.start()

    def close(self) -> None:
        """Stop painting; the job that was interrupted goes on at the next start."""
        with self._news:
            self._closed = True
            if self._going:
                self._going.stop.set()
            self._news.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def add(self, ticket: Ticket) -> None:
        """Accept a job. Raises InputError when the queue, or the browser's half of it, is full."""
        with self._news:
            own = sum(other.session == ticket.session for other in self._open.values())
            if len(self._open) >= self.places or own >= max(1, self.places // 2):
                raise InputError("too many pictures are waiting: try again when one is done")
            self._open[ticket.id] = ticket
            self.folder.keep(ticket)
            self._news.notify_all()

    def stop(self, ticket: Ticket) -> None:
        """Stop a job: of one that is being painted the picture so far is kept."""
        with self._news:
            if self._going and self._going.id == ticket.id:
                self._going.stop.set()
            elif self._open.pop(ticket.id, None):
                self._keep(ticket, state="stopped")

    def going(self, id: str) -> Going | None:
        """How far a job is, when it is the one that is being painted."""
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
        while ticket := self._wait():
            began = time.monotonic()
            try:
                ended = self._paint(ticket)
            except BrushworkError as error:
                self._end(ticket, "failed", str(error), began)
            except Exception:
                # One job's failure is not the others'; its trace is for the log, not for the page.
                logging.getLogger(__name__).exception("job %s", ticket.id)
                self._end(ticket, "failed", "this is our fault: the studio's log has more", began)
            else:
                if ended or not self._closed:
                    self._end(ticket, "done" if ended else "stopped", "", began)

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
            self._going = Going(ticket.id)
            return self._keep(ticket, state="painting")

    def _end(self, ticket: Ticket, state: str, message: str, began: float) -> None:
        seconds = (ticket.seconds or 0) + time.monotonic() - began
        with self._news:
            self._open.pop(ticket.id, None)
            self._keep(ticket, state=state, message=message, seconds=round(seconds, 1))
            self._going = None

    def _keep(self, ticket: Ticket, **changes: object) -> Ticket:
        changed = ticket.model_copy(update=changes)
        if ticket.id in self._open:
            self._open[ticket.id] = changed
        self.folder.keep(changed)
        return changed

    def _paint(self, ticket: Ticket) -> bool:
        """Paint a job, or go on with it; False when it was stopped."""
        from brushwork.events import Finished, Progress
        from brushwork.outputs.writer import Writer
        from brushwork.runner import read_sources, run

        going = self._going
        assert going is not None, "a job is painted when it has its turn"
        saved = self._saved(ticket)
        job = saved.job if saved else job_of(ticket, self.folder, self._machine)
        wanted = saved.wanted if saved else self._wanted(ticket)
        sources = read_sources(job)
        painted = run(saved.machine_job if saved else job, sources, saved.checkpoint if saved else None)
        with closing(Writer(job, wanted, sources, saved=saved)) as writer, closing(painted):
            for event in painted:
                writer.handle(event)
                going.note(event)
                # After a Progress there is a Checkpoint at once, which is the better place to stop.
                if going.stop.is_set() and not isinstance(event, Progress | Finished):
                    self._leave(ticket, writer, job)
                    return False
            writer.finish()
        self._show(ticket)
        return True

    def _leave(self, ticket: Ticket, writer: Writer, job: Stylize) -> None:
        """Keep the state and, unless the studio closes, the picture so far."""
        writer.store()
        if not self._closed and writer.rescue(best=job.optimizer == "lbfgs"):
            self._show(ticket)

    def _wanted(self, ticket: Ticket) -> Wanted:
        return Wanted(
            output=str(self.folder.picture(ticket.id)),
            preview=str(self.folder.preview(ticket.id)),
            overwrite=True,
            checkpoint_every=CHECKPOINT_EVERY,
        )

    def _saved(self, ticket: Ticket) -> Saved | None:
        """The state that a job goes on from; a damaged one is left aside."""
        from brushwork.outputs.run_folder import is_run, located, read_run, remove

        place = self.folder.run_folder(ticket.id)
        if not is_run(place):
            return None
        try:
            return located(read_run(place))
        except InputError:
            remove(place)
            return None

    def _show(self, ticket: Ticket) -> None:
        """Make the small version for the gallery."""
        from brushwork.studio.thumbnails import shrink

        shrink(self.folder.picture(ticket.id), self.folder.thumbnail(ticket.id))


def next_turn(waiting: list[Ticket], served: dict[str, float]) -> Ticket:
    """Whose turn it is: what was interrupted, then the browser that waited longest, then the oldest."""
    return min(waiting, key=lambda t: (t.state != "painting", served.get(t.session, 0.0), t.created))
