"""The folder of a training: its networks, pictures, curves and what it goes on from."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

import brushwork
from brushwork.errors import InputError, OutputError
from brushwork.fields import Frozen
from brushwork.outputs import checkpoint as checkpoint_file
from brushwork.outputs import files, samples
from brushwork.outputs.pace import Pace
from brushwork.training.events import Checkpoint, EpochDone, Event, Finished, Looked, Started, Stepped
from brushwork.training.gan import Gan
from brushwork.training.jobs import GanTrain, NetworkFiles, TrainingFiles

JOB, STATE, LOG, CURVES, FILM = "job.json", "checkpoint.safetensors", "log.jsonl", "losses.png", "film.mp4"
GENERATOR = "generator.safetensors"
MONITOR, STRIP = "generated_img_", "strip_"
STRIP_EVERY = 10  # epochs
Learnt = TypeVar("Learnt")
"""The task whose networks learn."""


def saved_state(folder: Path) -> dict[str, Any] | None:
    """Where the training in a folder stopped; None when it was before the first checkpoint."""
    return checkpoint_file.load(folder / STATE) if (folder / STATE).exists() else None


def claim(path: Path, *, resume: bool, overwrite: bool) -> None:
    """Make a training's folder. Raises OutputError when it holds something that is not to be replaced."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file: give -o a folder")
    is_run = (path / JOB).is_file()
    if not resume and is_run and not overwrite:
        raise OutputError(f"{path} holds a training: --resume goes on with it, --overwrite replaces it")
    if path.is_dir() and not is_run and any(path.iterdir()):
        raise OutputError(f"{path} holds other files: give an empty or a new folder")
    files.make_folder(path)
    files.check_folder(path, need=40_000_000)


def record(task: str, job: Frozen) -> bytes:
    """What a training's folder says of itself; ``read_record`` gives the job's fields back."""
    return json.dumps(
        {"brushwork": brushwork.__version__, "task": task, "job": job.model_dump()}, indent=1
    ).encode()


def read_record(folder: Path, task: str) -> dict[str, Any]:
    """The fields of the job of the training in a folder. Raises InputError when none is."""
    try:
        found = json.loads((folder / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--resume: {folder} holds no training: leave --resume out to start one") from error
    if not isinstance(found, dict) or found.get("task") != task:
        raise InputError(f"--resume: the training in {folder} is none of {task!r}: give another folder")
    return dict(found.get("job", {}))


class TrainingFolder(ABC, Generic[Learnt]):
    """Turns a training's events into files; a disk that is full does not stop it before its end."""

    own: ClassVar[tuple[str, ...]] = (JOB, STATE, LOG, CURVES)
    pictures: ClassVar[tuple[str, ...]] = ()
    """How the names of the pictures begin that a training writes as it goes."""

    def __init__(
        self, path: Path, record: bytes, wanted: TrainingFiles | NetworkFiles, memory: dict[str, Any]
    ) -> None:
        """``memory`` is what the folder of a training to go on with remembered; empty for another."""
        self.path, self.notes = path, list[str]()
        self._record, self._pace = record, Pace(wanted.checkpoint_every)
        self._resume, self._overwrite = wanted.resume, wanted.overwrite
        self._curve: list[list[float]] = memory["curve"].tolist() if memory else []
        self._names: list[str] = memory.get("names", [])
        self._latest: Checkpoint | None = None
        self._is_new = False
        self.finished: Finished | None = None
        self.started: Started | None = None

    def check(self) -> None:
        """Make the folder. Raises OutputError when it holds something that is not to be replaced."""
        self._is_new = not self.path.exists()
        claim(self.path, resume=self._resume, overwrite=self._overwrite)

    @contextlib.contextmanager
    def preparing(self) -> Generator[None]:
        """While a training is made ready: one that cannot begin leaves no empty folder behind."""
        try:
            yield
        except BaseException:
            if self._is_new:
                with contextlib.suppress(OSError):  # it is not empty
                    self.path.rmdir()
            raise

    def begin(self) -> None:
        """Write the job; what a replaced training left behind goes."""
        if not self._resume:
            for path in self.path.iterdir():
                if self._is_ours(path.name):
                    path.unlink()
        files.write(self.path / JOB, self._record)

    def _is_ours(self, name: str) -> bool:
        return name in self.own or (name.endswith(".png") and name.startswith(self.pictures))

    def handle(self, event: Event, task: Learnt) -> None:
        """Take the next event."""
        match event:
            case Started():
                self.started = event
            case Stepped():
                self._names = list(event.losses)
                self._curve.append(list(event.losses.values()))
            case Looked():
                self._look(event)
            case Checkpoint():
                self._latest = event
                if self._pace.due:
                    self.store(task)
            case Finished():
                self.finished = event
            case _:
                pass

    def store(self, task: Learnt) -> bool:
        """Write checkpoint, network, log and curves; False, with a note, when that fails."""
        if self._latest is None:
            return False
        with self._pace.timed():
            try:
                self._write(self._latest.state(), task)
            except OutputError as error:
                self.notes.append(f"no checkpoint could be written ({error}); the last one stays")
                return False
        return True

    def _write(self, state: dict[str, Any], task: Learnt) -> None:
        curve = torch.tensor(self._curve, dtype=torch.float64)
        memory = {"curve": curve, "names": self._names, **self._remembered()}
        checkpoint_file.save(self.path / STATE, state | {"folder": memory})
        self._write_network(task, state["place"]["step"])
        files.write(self.path / LOG, "".join(json.dumps(line) + "\n" for line in self._log()).encode())
        files.write(self.path / CURVES, samples.curves(np.asarray(self._curve), self._names))

    def finish(self, task: Learnt) -> None:
        """Write the last state and all that is made of it. Raises OutputError when that fails."""
        if self._latest is not None:
            self._write(self._latest.state(), task)

    @abstractmethod
    def _look(self, event: Looked) -> None:
        """Write pictures; what fails is a note."""

    @abstractmethod
    def _write_network(self, task: Learnt, step: int) -> None:
        """Write what is learnt."""

    @abstractmethod
    def _log(self) -> list[dict[str, Any]]:
        """The log's lines so far."""

    def _remembered(self) -> dict[str, Any]:
        """What else the folder needs to go on."""
        return {}


class GanFolder(TrainingFolder[Gan]):
    """A GAN's networks and samples."""

    own = (*TrainingFolder.own, FILM, GENERATOR)
    pictures = (MONITOR, STRIP)

    def __init__(self, job: GanTrain, wanted: TrainingFiles, state: dict[str, Any] | None = None) -> None:
        assert wanted.output is not None
        memory: dict[str, Any] = state["folder"] if state else {}
        super().__init__(Path(wanted.output), record("gan", job), wanted, memory)
        self._job, self._film_every = job, wanted.film_every
        self._lines: list[dict[str, Any]] = memory.get("lines", [])
        self._frames: list[Tensor] = list(memory["frames"]) if memory else []

    def handle(self, event: Event, task: Gan) -> None:
        """Take the next event."""
        super().handle(event, task)
        if isinstance(event, EpochDone):
            speed = round(event.pictures_per_second, 1)
            line = {"epoch": event.epoch, "step": event.step, **event.means, "images_per_second": speed}
            self._lines.append(line)

    def _look(self, event: Looked) -> None:
        if not self._frames or event.step % self._film_every == 0:
            self._frames.append(event.pictures["film"].mul(255).round().to("cpu", torch.uint8)[0])
        if not event.is_epoch_end:
            return
        try:
            self._show(event)
        except OutputError as error:
            self.notes.append(f"no samples could be written ({error}); the training goes on")

    def _show(self, event: Looked) -> None:
        number = event.epoch - 1  # Keras counts epochs from 0
        for i, sample in enumerate(event.pictures["monitor"]):
            files.write(self.path / f"{MONITOR}{number:03d}_{i}.png", samples.stretched(sample))
        if number % STRIP_EVERY == 0 or event.epoch == self._job.epochs:
            files.write(self.path / f"{STRIP}{number:03d}.png", samples.strip(event.pictures["strip"]))

    def _write_network(self, task: Gan, step: int) -> None:
        save_generator(self.path / GENERATOR, task, self._job)

    def _log(self) -> list[dict[str, Any]]:
        return self._lines

    def _remembered(self) -> dict[str, Any]:
        frames = torch.stack(self._frames) if self._frames else torch.empty(0, 1, 28, 28).byte()
        return {"lines": self._lines, "frames": frames}

    def finish(self, task: Gan) -> None:
        """Write the rest. Raises OutputError when that fails."""
        super().finish(task)
        if self._frames:
            files.write(self.path / FILM, samples.film(self._frames))

    def summary(self) -> dict[str, Any]:
        """What ``--json`` reports of the finished training."""
        assert self.started is not None and self.finished is not None
        means, speed = self.finished.means, self.finished.pictures_per_second
        return {
            "parameters": {name: self.started.parameters[name] for name in ("discriminator", "generator")},
            "epochs": self.finished.epochs,
            "d_loss": means["d_loss"],
            "g_loss": means["g_loss"],
            "images_per_second": round(speed, 1),
            "output": str(self.path),
        }


def save_generator(path: Path, task: Gan, job: GanTrain) -> None:
    """Write the generator that makes the samples: its averaged weights when there are such."""
    with task.learners["generator"].averaged():
        weights = {name: value.detach().clone() for name, value in task.generator.state_dict().items()}
    made = {"network": "dcgan-28", "recipe": job.recipe, "brushwork": brushwork.__version__}
    checkpoint_file.save(path, {**made, "weights": weights})


def load_generator(path: Path) -> dict[str, Tensor]:
    """The weights in a file, or in a training's folder. Raises InputError for another network's."""
    place = path / GENERATOR if path.is_dir() else path
    if not place.is_file():
        raise InputError(f"{place} is missing: give the folder of a `brushwork gan train`")
    try:
        state = checkpoint_file.load(place)
        if state.get("network") != "dcgan-28":
            raise InputError(f"{place} holds another network")
    except InputError as error:
        raise InputError(
            f"{place}: damaged, or no generator of `brushwork gan train`: give its folder"
        ) from error
    return state["weights"]
