"""Turns the events of one job into the files that are wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import brushwork
from brushwork.context import Context, process_seconds
from brushwork.encode import format_of, save_picture
from brushwork.errors import InputError, OutputError
from brushwork.events import Checkpoint, Event, Finished, Progress, Started
from brushwork.images import Picture, Sources, like_the_photo
from brushwork.jobs import Stylize
from brushwork.optimize.engine import resize_between
from brushwork.outputs import files, provenance, sheets
from brushwork.outputs.film import Film
from brushwork.outputs.places import check, default_output, is_film, run_place, snapshot_name
from brushwork.outputs.plot import CurvePoint, curve_of, loss_curves
from brushwork.outputs.preview import Preview
from brushwork.outputs.run_folder import Memory, RunFolder, Saved
from brushwork.outputs.trace import Trace, as_json, trace_line
from brushwork.wanted import Wanted

STDOUT = "-"


class Writer:
    """Receives a job's events in order; ``finish`` writes the result, ``rescue`` the picture so far.

    ``photo`` is the photo's file when it came by standard input, ``saved`` the run that this one resumes,
    ``names`` are what files of the job are called in the pictures.
    ``notes`` are lines for the person, to be told and removed.

    Raises OutputError when it is made and something is already known not to be writable.
    """

    def __init__(
        self,
        job: Stylize,
        wanted: Wanted,
        sources: Sources,
        *,
        photo: bytes | None = None,
        saved: Saved | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._names = names or {}
        self.job, self.wanted, self.sources = job, wanted, sources
        self.place = None if wanted.output == STDOUT else Path(wanted.output or default_output(job))
        check(job, wanted, self.place, sources)
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.latest: Tensor | None = None
        self.best: tuple[float, Tensor | None] = (math.inf, None)  # lowest loss so far, and its picture
        self.checkpoint: Checkpoint | None = None
        self.notes: list[str] = []
        self.folder = self._run_folder(photo, saved)
        self._saved = saved
        self._curve: list[CurvePoint] = []
        self._snapshots: list[Tensor] = []
        self._trace: Trace | None = None
        self._film: Film | None = None
        self._pictures: Path | None = None  # the folder of ``--record``
        self._preview: Preview | None = None
        self._earlier = saved.memory.seconds if saved else 0.0

    def _run_folder(self, photo: bytes | None, saved: Saved | None) -> RunFolder | None:
        place = saved.folder if saved else run_place(self.job, self.wanted, self.place)
        wanted = self.wanted.model_copy(update={"output": str(self.place or STDOUT)})
        folder = RunFolder(place, wanted, photo, saved) if place else None
        if folder:
            folder.check()
        return folder

    def handle(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Progress):
            self._step(event)
        elif isinstance(event, Checkpoint):
            self._pause(event)
        elif isinstance(event, Finished):
            self.finished = event

    def _start(self, event: Started) -> None:
        self.started, self.latest = event, event.start
        wanted, saved = self.wanted, self._saved
        if self.folder:
            _ = self._record  # the inputs as they are when the run begins
        if wanted.trace:
            self._trace = Trace(Path(wanted.trace), saved.trace if saved else b"")
        if wanted.record and is_film(wanted.record):
            self._film = Film(event.width, event.height, event.evaluations)
        elif wanted.record:
            self._pictures = Path(wanted.record)
            files.make_folder(self._pictures)
        if wanted.preview:
            self._preview = Preview(Path(wanted.preview), event.height, event.width)
        if saved:
            self._go_on(saved)
        elif self.job.snapshot_start:
            self._snapshot(event.start, 0)
        self._show_preview()

    def _go_on(self, saved: Saved) -> None:
        """Take up what the interrupted run knew."""
        made, was = self._made_with(), saved.made_with
        if made["weights"] != was["weights"]:
            raise InputError(
                f"the run began with the weights {was['weights']}, now there are {made['weights']}"
            )
        if made["torch"] != was["torch"]:
            self.notes.append(
                f"torch was {was['torch']} and is {made['torch']}: the result may differ in the last bits"
            )
        self.checkpoint, self.best = saved.checkpoint, saved.memory.best
        self._snapshots = list(saved.memory.snapshots)
        if self.wanted.plot:
            self._curve = curve_of(saved.trace)
        if self._film:
            place, at = self._film_place, saved.checkpoint.evaluation + 1
            self.notes.append(f"a film cannot be continued: {place} begins at evaluation {at}")

    @property
    def _film_place(self) -> Path:
        """Where the film goes; of a resumed run beside the film that the interrupted one may have left."""
        place, saved = Path(self.wanted.record or ""), self._saved
        return place.with_stem(f"{place.stem}-from-{saved.checkpoint.evaluation + 1}") if saved else place

    def _pause(self, event: Checkpoint) -> None:
        """Between two evaluations: a preview, a checkpoint, when they are due."""
        self.checkpoint = event
        self._show_preview()
        if self.folder and self.folder.due:
            self.store()

    def store(self) -> bool:
        """Write a checkpoint now, before the next event is asked for; False when that cannot be."""
        if not (self.folder and self.checkpoint):
            return False
        memory = Memory(self.best, self._snapshots, self._earlier + process_seconds())
        told, done = self.folder.trouble, self.folder.store(self._record, self.checkpoint, memory)
        if self.folder.trouble and not told:
            self.notes.append(self.folder.trouble)
        return done

    def _show_preview(self, *, now: bool = False) -> None:
        if not self._preview or self.latest is None:
            return
        # L-BFGS's latest may be a trial step; its best is a picture.
        best = self.best[1] if self.job.optimizer == "lbfgs" else None
        try:
            self._preview.show(self.latest if best is None else best, now=now)
        except OutputError as error:
            self._preview = None
            self._go_without("previews", error)

    def _go_without(self, what: str, error: OutputError) -> None:
        """What shows the work is not worth the work."""
        self.notes.append(f"no more {what} ({error}); the run goes on")

    def _step(self, event: Progress) -> None:
        self._keep_best(event)
        self.latest = event.image
        if self.wanted.plot:
            self._curve.append(CurvePoint(event.evaluation, event.scale, event.losses))
        line = trace_line(event, self._earlier)
        self._add_to_trace(line)
        if self.folder:
            self.folder.add_line(line)
        if self._film:
            self._film.add(event.image, event.evaluation)
        if is_snapshot(self.job, event):
            self._snapshot(event.image, event.evaluation)

    def _add_to_trace(self, line: bytes) -> None:
        try:
            if self._trace:
                self._trace.add(line)
        except OutputError as error:
            self.close()
            self._trace = None
            self._go_without("lines in the trace", error)

    def _keep_best(self, event: Progress) -> None:
        # The losses were measured before the step, on the picture that came with the event before.
        if event.step == 1 and self.job.optimizer == "lbfgs" and self.best[1] is not None:
            self.best = (event.losses.total, self.best[1])  # a scale begins with the best of the last
        elif event.losses.total < self.best[0] or event.step == 1:
            self.best = (event.losses.total, self.latest)

    def _snapshot(self, image: Tensor, evaluation: int) -> None:
        if self.wanted.grid:
            self._snapshots.append(sheets.small(image.detach().cpu().clamp(0, 1)))
        if self._pictures:
            path = self._pictures / snapshot_name(self.place, evaluation)
            try:
                self._write_picture(path, image.detach().cpu().clamp(0, 1))
            except OutputError as error:
                self._pictures = None
                self._go_without("numbered pictures", error)

    def finish(self) -> None:
        """Write the result and whatever shows how it came about."""
        assert self.finished is not None, "finish() comes after a Finished event"
        self._result(self.finished.picture)
        self._sheets(self.finished.picture.pixels)
        self.latest, self.checkpoint = self.finished.picture.pixels, None
        self._show_preview(now=True)
        if self.folder:
            self.folder.finish()

    def rescue(self, *, best: bool = False) -> bool:
        """After an interruption: write the picture so far as the result; False when there is none yet.

        ``best`` takes the one of lowest loss, for when the latest may be spoilt.
        """
        picture = self.best[1] if best else self.latest
        if picture is None or self.started is None or self.job.engine == "feedforward":
            return False  # of a single pass there is all or nothing
        size = self.started.height, self.started.width
        pixels = resize_between(self.job, picture.detach().cpu().clamp(0, 1), *size)
        self._result(like_the_photo(pixels, self.sources.content))
        self._sheets(pixels)
        return True

    def close(self) -> None:
        """Close the trace, whatever came of the job."""
        if self._trace:
            self._trace.close()

    @property
    def name(self) -> str:
        """The result's path as the user reads it."""
        return str(self.place) if self.place else "standard output"

    def summary(self, context: Context) -> dict[str, Any]:
        """What ``--json`` prints of a finished job."""
        assert self.finished is not None
        assert self.started is not None
        return {
            "output": str(self.place),
            "width": self.started.width,
            "height": self.started.height,
            "engine": self.job.engine,
            "recipe": self.job.recipe,
            "device": self.started.device,
            "precision": self.started.precision,
            "weights": self.started.weights,
            "seed": self.job.seed,
            "seconds": round(self._earlier + process_seconds(), 3),
            "evaluations": self.finished.evaluations,
            "losses": as_json(self.finished.losses),
            "peak_memory_bytes": context.peak_memory(),
            "plan": self.started.plan,
            "run_dir": str(self.folder.path) if self.folder and self.folder.holds_state else None,
        }

    def _result(self, picture: Picture) -> None:
        if self.place is None:
            files.write_standard_output(self._encoded(picture, "PNG"))
        else:
            files.write_or_rescue(self.place, self._encoded(picture, format_of(self.place)))

    def _sheets(self, result: Tensor) -> None:
        wanted, photo = self.wanted, self.sources.content.pixels
        if wanted.grid:
            self._write_picture(Path(wanted.grid), sheets.grid(self._snapshots or [result]))
        if wanted.comparison:
            sheet = sheets.comparison(photo, self.sources.styles[0].pixels, result)
            self._write_picture(Path(wanted.comparison), sheet)
        if wanted.high_pass:
            self._write_picture(Path(wanted.high_pass), sheets.edges(photo, result))
        if wanted.plot:
            files.write(Path(wanted.plot), loss_curves(self._curve))
        if self._film and wanted.record:
            files.write(self._film_place, self._film.finish())

    def _write_picture(self, path: Path, pixels: Tensor) -> None:
        files.write(path, self._encoded(Picture(pixels), format_of(path)))

    def _encoded(self, picture: Picture, format: str) -> files.Content:
        """The picture as a file, written when that is asked for."""
        job = provenance.renamed(self._record, self._names) if self.wanted.metadata else None
        quality, rounding = self.wanted.quality, self.job.rounding
        return partial(save_picture, picture, format, job=job, quality=quality, rounding=rounding)

    @cached_property
    def _record(self) -> str:
        return provenance.record(self.job, self._made_with())

    def _made_with(self) -> dict[str, Any]:
        """What ran: enough to repeat the picture bit for bit on the same machine."""
        assert self.started is not None
        return {
            "brushwork": brushwork.__version__,
            "torch": torch.__version__,
            "weights": Path(self.started.weights).name,  # whose folder is nobody's business
            "device": self.started.device,
            "precision": self.started.precision,
            "threads": torch.get_num_threads(),
        }


def is_snapshot(job: Stylize, event: Progress) -> bool:
    """Whether the picture after this step is one of the snapshots; with epochs, each epoch's last is."""
    every = job.snapshot_every or max(1, event.evaluations // 10)
    epoch = job.steps_per_epoch
    step = (event.evaluation - 1) % epoch + 1 if epoch else event.evaluation
    return step == epoch or step % every == job.snapshot_offset % every
