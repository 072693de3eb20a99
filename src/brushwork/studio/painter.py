"""Paints a job's picture, as the queue wants it done."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from brushwork.errors import InputError
from brushwork.jobs import Stylize
from brushwork.studio.folder import Folder, State, Ticket
from brushwork.studio.orders import job_of, names_of
from brushwork.studio.queue import Going
from brushwork.wanted import Wanted

if TYPE_CHECKING:  # torch takes seconds, and the page is up before it
    from brushwork import events
    from brushwork.events import Work
    from brushwork.outputs.run_folder import Saved
    from brushwork.outputs.writer import Writer

CHECKPOINT_EVERY = 10.0  # seconds: what a restart may cost


class Painter:
    """Paints pictures; ``machine`` are the settings that the host decides for every job."""

    def __init__(self, folder: Folder, machine: dict[str, Any]) -> None:
        self.folder, self._machine = folder, machine

    def __call__(self, ticket: Ticket, going: Going) -> State:
        """Paint a job, or go on with it. Raises BrushworkError."""
        from brushwork.events import Finished, Progress
        from brushwork.outputs.writer import Writer
        from brushwork.runner import read_sources, run

        saved = self._saved(ticket)
        job = saved.job if saved else job_of(ticket, self.folder, self._machine)
        wanted = saved.wanted if saved else self._wanted(ticket)
        sources = read_sources(job)
        painted = run(saved.machine_job if saved else job, sources, saved.checkpoint if saved else None)
        work = None
        # Whoever takes a picture home has its photo there, under its own name.
        names = names_of(ticket, self.folder)
        with closing(Writer(job, wanted, sources, saved=saved, names=names)) as writer, closing(painted):
            for event in painted:
                writer.handle(event)
                work = _note(event, work, going)
                # After a Progress there is a Checkpoint at once, which is the better place to stop.
                if going.stop.is_set() and not isinstance(event, Progress | Finished):
                    self._leave(ticket, writer, job, going)
                    return "stopped"
            writer.finish()
        self._show(ticket)
        return "done"

    def _leave(self, ticket: Ticket, writer: Writer, job: Stylize, going: Going) -> None:
        """Keep the state and, unless the studio closes, the picture so far."""
        writer.store()
        if not going.is_closing and writer.rescue(best=job.optimizer == "lbfgs"):
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


def _note(event: events.Event, work: Work | None, going: Going) -> Work | None:
    """Tell how far the work is; returns what there is to do in all, once that is known."""
    from brushwork.events import Progress, Started, Swept, Work

    if isinstance(event, Started):
        work = Work(event)
        going.begin(work.after(event.done), work.total)
    elif isinstance(event, Progress) and work:
        going.advance(work.after(event.evaluation))
    elif isinstance(event, Swept) and work:
        going.advance(work.during(event))
    return work
