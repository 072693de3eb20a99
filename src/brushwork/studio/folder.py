"""The studio's folder: uploads, jobs and results, each under an id that the studio drew.

No path is ever made from what a user sent: names of files are kept as text in records.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from brushwork.errors import InputError, OutputError
from brushwork.fields import Frozen
from brushwork.outputs import files

ID = re.compile(r"[0-9a-f]{32}")

SHOWN = "shown"
"""The folder of the small versions, which the browser may read."""

EVERYONE = "*"
"""The owner of the samples: no user's name, which has no such sign."""

Kind = Literal["picture", "network"]
State = Literal["waiting", "painting", "done", "stopped", "failed"]


class Upload(Frozen):
    """A picture that was taken in, or a network that was trained here."""

    id: str
    owner: str  # the user's name; `guard.EVERYBODY` where there are no passwords
    name: str  # as the user's file was called
    suffix: str  # by what the file is, whatever its name said
    width: int  # of a network's: its painting's
    height: int

    @property
    def title(self) -> str:
        """The name to read: without its ending."""
        return self.name.rpartition(".")[0].replace("_", " ") or self.name


class Ticket(Frozen):
    """A job in the studio: whose it is, what it asks for and how far it came."""

    id: str
    kind: Kind = "picture"
    owner: str
    session: str  # the browser that it came from: the queue takes turns between them
    created: float  # seconds since 1970
    options: dict[str, Any]  # of the job: only what was asked for; pictures are ids of uploads
    state: State = "waiting"
    message: str = ""  # what went wrong, in one line
    seconds: float | None = Field(default=None, ge=0)  # that the work took


Record = TypeVar("Record", Upload, Ticket)


def draw_id() -> str:
    """A new id: 128 random bits, which nobody guesses."""
    return secrets.token_hex(16)


class Folder:
    """Reads and writes the records; ``root`` is made when it is not there. Raises OutputError."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()
        self.uploads, self.jobs = self.root / "uploads", self.root / "jobs"
        self.shown, self.incoming = self.root / SHOWN, self.root / "incoming"
        for folder in (self.uploads, self.jobs, self.shown, self.incoming):
            files.make_folder(folder)
        files.check_folder(self.root)

    # ------------------------------------------------------------------------------------------- uploads

    def add_upload(self, upload: Upload, file: Path, thumbnail: Path) -> None:
        """Keep a picture's file and its small version; both are moved, the record comes last."""
        shutil.move(file, self.upload_file(upload))
        shutil.move(thumbnail, self.thumbnail(upload.id))
        self._write(self.uploads / f"{upload.id}.json", upload)

    def add_network(self, upload: Upload, file: Path, painting: Upload) -> None:
        """Keep a network beside the uploads, under its training's id; it looks like its painting."""
        files.write(self.upload_file(upload), file.read_bytes())
        files.write(self.thumbnail(upload.id), self.thumbnail(painting.id).read_bytes())
        self._write(self.uploads / f"{upload.id}.json", upload)

    def upload(self, id: str, owner: str) -> Upload:
        """An owner's upload. Raises InputError when there is none of that id."""
        return self._owned(Upload, self.uploads / f"{checked(id)}.json", owner)

    def upload_file(self, upload: Upload) -> Path:
        """Where its file is."""
        return self.uploads / f"{upload.id}{upload.suffix}"

    def everyones(self) -> dict[str, Upload]:
        """The samples that were made, by the name that they are offered under."""
        found = (self._read(Upload, path) for path in self.uploads.glob("*.json"))
        return {
            upload.name.partition(".")[0].capitalize(): upload
            for upload in found
            if upload and upload.owner == EVERYONE
        }

    def thumbnail(self, id: str) -> Path:
        """Where the small version of an upload or a result is."""
        return self.shown / f"{checked(id)}.webp"

    # ---------------------------------------------------------------------------------------------- jobs

    def ticket(self, id: str, owner: str) -> Ticket:
        """An owner's job. Raises InputError when there is none of that id."""
        return self._owned(Ticket, self.job_folder(id) / "ticket.json", owner)

    def tickets(self, owner: str | None = None, kind: Kind | None = None) -> list[Ticket]:
        """The jobs of an owner, or all, the newest first; a damaged record counts as none."""
        found = (self._read(Ticket, path) for path in self.jobs.glob("*/ticket.json"))
        wanted = [t for t in found if t and owner in (None, t.owner) and kind in (None, t.kind)]
        return sorted(wanted, key=lambda ticket: -ticket.created)

    def keep(self, ticket: Ticket) -> None:
        """Write a job's record."""
        files.make_folder(self.job_folder(ticket.id))
        self._write(self.job_folder(ticket.id) / "ticket.json", ticket)

    def job_folder(self, id: str) -> Path:
        """The folder of a job's files."""
        return self.jobs / checked(id)

    def picture(self, id: str) -> Path:
        """Where a job's result is, or will be."""
        return self.job_folder(id) / "picture.png"

    def preview(self, id: str) -> Path:
        """Where a job's picture so far is."""
        return self.job_folder(id) / "preview.jpg"

    def run_folder(self, id: str) -> Path:
        """Where the state is that a job goes on from."""
        return self.job_folder(id) / "picture.png.run"

    def network(self, id: str) -> Path:
        """Where a training's network is, or will be."""
        return self.job_folder(id) / "network.safetensors"

    def is_network(self, id: str) -> bool:
        """Whether an upload is a network."""
        return (self.uploads / f"{checked(id)}.safetensors").is_file()

    def samples(self, id: str) -> Path:
        """Where the latest sheet of a training's samples is, or will be."""
        run = self.network(id).with_suffix(".safetensors.run")
        return max(run.glob("samples_*.png"), default=run / "samples_0.png")

    def curves(self, id: str) -> Path:
        """Where the curves of a training's losses are, or will be."""
        return self.samples(id).with_name("losses.png")

    def collect(self, id: str, uploads: Iterable[Upload]) -> Path:
        """A folder of a training's photos, which takes no room of its own."""
        place = self.job_folder(id) / "photos"
        files.make_folder(place)
        try:
            for upload in uploads:
                os.link(self.upload_file(upload), place / self.upload_file(upload).name)
        except OSError as error:
            raise OutputError(f"{place}: {error.strerror}") from error
        return place

    def forget(self, ticket: Ticket) -> None:
        """Delete a job and its result; a network stays with the pictures that were painted with it."""
        shutil.rmtree(self.job_folder(ticket.id), ignore_errors=True)
        if ticket.kind == "picture":
            self.thumbnail(ticket.id).unlink(missing_ok=True)

    def sweep(self, older: float = 3600) -> None:
        """Remove what uploads left behind that nobody finished, after so many seconds."""
        for path in self.incoming.iterdir():
            with contextlib.suppress(OSError):  # what is just being taken in may be gone by now
                if path.lstat().st_mtime < time.time() - older:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    # ------------------------------------------------------------------------------------------- records

    def _owned(self, kind: type[Record], path: Path, owner: str) -> Record:
        record = self._read(kind, path)
        if record is None or record.owner not in (owner, EVERYONE):
            raise InputError("it is not there any more")
        return record

    def _read(self, kind: type[Record], path: Path) -> Record | None:
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            return None

    def _write(self, path: Path, record: Upload | Ticket) -> None:
        files.write(path, json.dumps(record.model_dump()).encode())


def checked(id: object) -> str:
    """An id as it came from outside. Raises InputError for anything else."""
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise InputError("it is not there any more")
    return id
