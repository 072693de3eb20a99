"""What can be asked of the studio, by its page and by other programs alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from brushwork.errors import BrushworkError
from brushwork.jobs import Stylize
from brushwork.studio import samples
from brushwork.studio.folder import Folder, Ticket, Upload, draw_id
from brushwork.studio.lessons import lesson_of
from brushwork.studio.options import Options
from brushwork.studio.orders import job_of
from brushwork.studio.painter import Painter
from brushwork.studio.queue import OPEN, Queue
from brushwork.studio.sketch import Sketches
from brushwork.studio.trainer import Trainer, verdict
from brushwork.studio.uploads import receive


@dataclass(frozen=True)
class Status:
    """How far a job is."""

    id: str
    kind: str
    state: str
    message: str
    words: str  # what is going on when it is not painting, or what came of it
    fraction: float  # 0..1
    left: float | None  # seconds, when that can be told
    ahead: int  # jobs before it
    seconds: float | None  # that it took
    version: int  # another one is another picture; 0 when there is none yet
    photo: str  # the photo's id; none of a training
    ratio: float  # the picture's width over its height


class Desk:
    """One studio: its folder, its queue and its limits. Every call says whose it is."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.is_seen = Event()  # somebody's page is drawn
        self.folder = Folder(Path(options.folder))
        self.sketches = Sketches()
        self._machine = {"threads": options.threads, "max_pixels": options.max_pixels}
        painter = Painter(self.folder, self._machine)
        trainer = Trainer(self.folder, self._machine, options.photos)
        self.queue = Queue(self.folder, {"picture": painter, "network": trainer}, places=options.queue)

    def upload(self, file: Path, name: str, owner: str) -> Upload:
        """Take in a file. Raises InputError when it is no picture or too large."""
        self.folder.sweep()
        most = self.options.max_upload * 1_000_000
        pixels = self.options.max_pixels
        return receive(self.folder, file, name, owner=owner, max_bytes=most, max_pixels=pixels)

    def sample(self, name: str) -> Upload:
        """A picture that ships with Brushwork."""
        return samples.sample(self.folder, name)

    def has_network(self, styles: Sequence[str]) -> bool:
        """Whether one of these is a network that was trained here."""
        return any(self.folder.is_network(style) for style in styles)

    def ticket(
        self, content: str, styles: Sequence[str], options: dict[str, Any], *, owner: str, session: str
    ) -> tuple[Ticket, Stylize]:
        """A job that is not accepted yet. Raises InputError for what is wrong with it."""
        asked = {**options, "content": content, "styles": list(styles)}
        ticket = Ticket(id=draw_id(), owner=owner, session=session, created=time.time(), options=asked)
        return ticket, job_of(ticket, self.folder, self._machine)

    def paint(self, content: str, styles: Sequence[str], options: dict[str, Any], **whose: str) -> Ticket:
        """Accept a job. Raises InputError for what is wrong with it, or when the queue is full."""
        ticket, _ = self.ticket(content, styles, options, **whose)
        self.queue.add(ticket)
        return ticket

    def train(
        self, style: str, photos: Sequence[str], options: dict[str, Any], *, owner: str, session: str
    ) -> Ticket:
        """Accept a training of a painting and photos, the host's when none are given. Raises InputError."""
        asked = {**options, "style": style, "photos": list(photos)}
        ticket = Ticket(
            id=draw_id(),
            kind="network",
            owner=owner,
            session=session,
            created=time.time(),
            options=asked,
        )
        lesson_of(ticket, self.folder, self._machine, self.options.photos)
        own = [self.folder.upload(id, owner) for id in dict.fromkeys(photos)]
        try:
            if own:
                self.folder.collect(ticket.id, own)
            self.queue.add(ticket)
        except BrushworkError:  # the queue is full, or the disk
            self.folder.forget(ticket)
            raise
        return ticket

    def go_on(self, id: str, owner: str) -> None:
        """Go on with a job that was stopped."""
        ticket = self.folder.ticket(id, owner)
        if ticket.state in ("stopped", "failed"):
            self.queue.add(ticket.model_copy(update={"state": "waiting", "message": ""}))

    def stop(self, id: str, owner: str) -> None:
        """Stop a job; what there is so far is kept."""
        self.queue.stop(self.folder.ticket(id, owner))

    def delete(self, id: str, owner: str) -> None:
        """Delete a job and its result, whatever it is doing."""
        ticket = self.folder.ticket(id, owner)
        self.queue.stop(ticket)
        while self.queue.going(id):
            time.sleep(0.05)
        self.folder.forget(ticket)

    def status(self, id: str, owner: str) -> Status:
        """How far a job is. Raises InputError when there is none of that id."""
        ticket = self.folder.ticket(id, owner)
        going = self.queue.going(id)
        photo = str(ticket.options.get("content", ""))
        return Status(
            id,
            ticket.kind,
            ticket.state,
            ticket.message,
            going.words if going else verdict(self.folder, id) if ticket.kind == "network" else "",
            1.0 if ticket.state == "done" else going.fraction if going else 0.0,
            round(going.left, 1) if going and going.left is not None else None,
            self.queue.ahead(id) if ticket.state == "waiting" else 0,
            ticket.seconds,
            self.version(ticket),
            photo,
            self.ratio(photo, owner) if photo else 1.0,
        )

    def ratio(self, photo: str, owner: str) -> float:
        """A photo's width over its height. Raises InputError when it is not there."""
        upload = self.folder.upload(photo, owner)
        return upload.width / upload.height

    def curves(self, id: str) -> int:
        """Another number is another state of a training's curves; 0 is none."""
        return _version(self.folder.curves(id))

    def shown(self, ticket: Ticket) -> Path:
        """The file of a job's picture, or of the picture so far; of a training, its samples."""
        if ticket.kind == "network":
            return self.folder.samples(ticket.id)
        picture, preview = self.folder.picture(ticket.id), self.folder.preview(ticket.id)
        if ticket.state in OPEN:  # one that goes on has the picture of its stop, too
            return max(picture, preview, key=_version)
        return picture if picture.is_file() else preview

    def version(self, ticket: Ticket) -> int:
        """Another number is another picture; 0 is none."""
        return _version(self.shown(ticket))


def _version(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0
