"""Turns the events of one job into the files that are wanted."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import brushwork
from brushwork.context import Context, process_seconds
from brushwork.encode import encode_picture, format_of
from brushwork.events import Event, Finished, Progress, Started
from brushwork.images import Picture, resize
from brushwork.jobs import Stylize
from brushwork.optimize.engine import Sources, resize_between
from brushwork.outputs import files, provenance, sheets
from brushwork.outputs.film import Film
from brushwork.outputs.places import check, default_output, is_film
from brushwork.outputs.plot import CurvePoint, loss_curves
from brushwork.outputs.trace import Trace, trace_line
from brushwork.wanted import Wanted

STDOUT = "-"


class Writer:
    """Receives a job's events in order; ``finish`` writes the result, ``rescue`` the picture so far.

    Raises OutputError when it is made and something is already known not to be writable.
    """

    def __init__(self, job: Stylize, wanted: Wanted, sources: Sources) -> None:
        self.job, self.wanted, self.sources = job, wanted, sources
        self.place = None if wanted.output == STDOUT else Path(wanted.output or default_output(job))
        check(job, wanted, self.place, sources)
        self.started: Started | None = None
        self.finished: Finished | None = None
        self.latest: Tensor | None = None
        self.best: tuple[float, Tensor | None] = (math.inf, None)  # lowest loss so far, and its picture
        self._curve: list[CurvePoint] = []
        self._snapshots: list[Tensor] = []
        self._trace: Trace | None = None
        self._film: Film | None = None

    def handle(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Progress):
            self._step(event)
        else:
            self.finished = event

    def _start(self, event: Started) -> None:
        self.started, self.latest = event, event.start
        wanted = self.wanted
        if wanted.trace:
            self._trace = Trace(Path(wanted.trace))
        if wanted.record and is_film(wanted.record):
            self._film = Film(event.width, event.height, event.evaluations)
        elif wanted.record:
            files.make_folder(Path(wanted.record))
        if self.job.snapshot_start:
            self._snapshot(event.start, 0)

    def _step(self, event: Progress) -> None:
        # The losses were measured before the step, on the picture that came with the event before.
        if event.losses.total < self.best[0] or event.step == 1:
            self.best = (event.losses.total, self.latest)
        self.latest = event.image
        if self.wanted.plot:
            self._curve.append(CurvePoint(event.evaluation, event.scale, event.losses))
        if self._trace:
            self._trace.add(trace_line(event))
        if self._film:
            self._film.add(event.image, event.evaluation)
        if is_snapshot(self.job, event):
            self._snapshot(event.image, event.evaluation)

    def _snapshot(self, image: Tensor, evaluation: int) -> None:
        if self.wanted.grid:
            self._snapshots.append(image.detach().cpu())
        if self.wanted.record and not is_film(self.wanted.record):
            stem = self.place.stem if self.place else "brushwork"
            path = Path(self.wanted.record) / f"{stem}_at_iteration_{evaluation}.png"
            self._write_picture(path, image.detach().cpu().clamp(0, 1))

    def finish(self) -> None:
        """Write the result and whatever shows how it came about."""
        assert self.finished is not None, "finish() comes after a Finished event"
        self._result(self.finished.picture)
        self._sheets(self.finished.picture.pixels)

    def rescue(self, *, best: bool = False) -> bool:
        """After an interruption: write the picture so far as the result; False when there is none yet.

        ``best`` takes the one of lowest loss, for when the latest may be spoilt.
        """
        picture = self.best[1] if best else self.latest
        if picture is None or self.started is None:
            return False
        height, width, content = self.started.height, self.started.width, self.sources.content
        pixels = resize_between(self.job, picture.detach().cpu().clamp(0, 1), height, width)
        alpha = None if content.alpha is None else resize(content.alpha, height, width, "lanczos")
        self._result(Picture(pixels, alpha, content.bits, content.dpi))
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
            "engine": "optimize",
            "recipe": self.job.recipe,
            "device": self.started.device,
            "precision": self.started.precision,
            "weights": self.started.weights,
            "seed": self.job.seed,
            "seconds": round(process_seconds(), 3),
            "evaluations": self.finished.evaluations,
            "losses": asdict(self.finished.losses),
            "peak_memory_bytes": context.peak_memory(),
            "run_dir": None,
        }

    def _result(self, picture: Picture) -> None:
        if self.place is None:
            files.write_standard_output(self._encode(picture, "PNG"))
        else:
            files.write_or_rescue(self.place, self._encode(picture, format_of(self.place)))

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
            files.write(Path(wanted.record), self._film.finish())

    def _write_picture(self, path: Path, pixels: Tensor) -> None:
        files.write(path, self._encode(Picture(pixels), format_of(path)))

    def _encode(self, picture: Picture, format: str) -> bytes:
        job = provenance.record(self.job, self._made_with()) if self.wanted.metadata else None
        quality, rounding = self.wanted.quality, self.job.rounding
        return encode_picture(picture, format, job=job, quality=quality, rounding=rounding)

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
