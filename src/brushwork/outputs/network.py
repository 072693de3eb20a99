"""The training of a network as files: the network, and beside it a folder with all that led to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import brushwork
from brushwork.encode import encode_picture
from brushwork.errors import InputError, MissingExtraError, OutputError
from brushwork.fields import Frozen
from brushwork.images import Picture
from brushwork.outputs import checkpoint as checkpoint_file
from brushwork.outputs import files, samples
from brushwork.outputs.labels import Cell, labelled
from brushwork.outputs.pace import Pace
from brushwork.outputs.training import CURVES, JOB, LOG, STATE, claim, record
from brushwork.training.events import Checkpoint, Event, Finished, Looked, Started, Stepped
from brushwork.training.gates import Verdict
from brushwork.training.jobs import NetworkFiles

REFERENCE, NETWORK, VERDICT = "reference.safetensors", "network.safetensors", "verdict.json"
SAMPLES, BOARD = "samples_", "tensorboard"
SHOWN = 4  # photos on a sheet of samples
LINE_EVERY = 50  # steps: of the log, means over so many


class Maker(Protocol):
    """A task that makes a network."""

    name: str

    def to_bytes(self, about: Mapping[str, Any]) -> bytes:
        """The network as a file that says this about itself."""
        ...


class NetworkFolder:
    """Turns a training's events into files; a full disk does not stop the training before its end."""

    def __init__(
        self, task: str, job: Frozen, wanted: NetworkFiles, state: dict[str, Any] | None = None
    ) -> None:
        if wanted.output is None:
            raise InputError("-o NET.safetensors is missing: say where the network goes")
        self.place = Path(wanted.output)
        if self.place.suffix.lower() != ".safetensors":
            raise InputError(f"--output {self.place}: a network is written as .safetensors")
        self.path, self.notes = run_folder(self.place), list[str]()
        self._task, self._job, self._wanted = task, job, wanted
        self._pace = Pace(wanted.checkpoint_every)
        memory: dict[str, Any] = state["folder"] if state else {}
        self._curve: list[list[float]] = memory["curve"].tolist() if memory else []
        self._names: list[str] = memory.get("names", [])
        self._board: _Board | None = None
        self._latest: Checkpoint | None = None
        self.finished: Finished | None = None
        self.started: Started | None = None

    def check(self) -> None:
        """Make the folder. Raises OutputError when something is not to be replaced or cannot be written.

        And MissingExtraError when TensorBoard is wanted and not there, before anything is replaced.
        """
        if self._wanted.tensorboard:
            _board_module()
        files.check_place(self.place, overwrite=self._wanted.overwrite or self._wanted.resume)
        claim(self.path, resume=self._wanted.resume, overwrite=self._wanted.overwrite)

    def begin(self, reference: dict[str, Any] | None = None) -> None:
        """Write the job and what was measured before; what a replaced training left behind goes."""
        if not self._wanted.resume:
            for path in self.path.iterdir():
                if path.name == BOARD and path.is_dir():
                    shutil.rmtree(path)
                elif _is_ours(path.name):
                    path.unlink()
        if reference is not None:
            checkpoint_file.save(self.path / REFERENCE, reference)
        files.write(self.path / JOB, record(self._task, self._job))

    def handle(self, event: Event, task: Maker) -> None:
        """Take the next event."""
        match event:
            case Started():
                self.started = event
                if self._wanted.tensorboard:
                    self._board = _Board(self.path / BOARD, event.step)
            case Stepped():
                self._names = list(event.losses)
                self._curve.append(list(event.losses.values()))
                if self._board:
                    self._board.losses(event)
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

    def _look(self, event: Looked) -> None:
        page = sheet(event.pictures)
        name = f"{SAMPLES}{event.step:07d}.png"
        try:
            files.write(self.path / name, encode_picture(Picture(page), "PNG"))
        except OutputError as error:
            self.notes.append(f"no samples could be written ({error})")
        if self._board:
            self._board.picture(page, event.step)

    def store(self, task: Maker) -> bool:
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

    def _write(self, state: dict[str, Any], task: Maker) -> None:
        curve = torch.tensor(self._curve, dtype=torch.float64)
        memory = {"curve": curve, "names": self._names}
        checkpoint_file.save(self.path / STATE, state | {"folder": memory})
        files.write(self.path / NETWORK, task.to_bytes(self._about(state["place"]["step"])))
        files.write(self.path / LOG, _log(self._curve, self._names))
        files.write(self.path / CURVES, samples.curves(np.asarray(self._curve), self._names))

    def _about(self, step: int) -> dict[str, Any]:
        return {"brushwork": brushwork.__version__, "job": self._job.model_dump(mode="json"), "step": step}

    def finish(self, task: Maker, verdict: Verdict | None = None) -> None:
        """Write the network and the rest. Raises OutputError when that fails."""
        step = self.finished.step if self.finished else 0
        told = _told(verdict) if verdict else None
        if self._latest is not None:
            self._write(self._latest.state(), task)
        if told:
            files.write(self.path / VERDICT, json.dumps(told, indent=1).encode())
        files.write_or_rescue(self.place, task.to_bytes(self._about(step) | {"verdict": told}))
        if self._board:
            self._board.close()

    def summary(self, verdict: Verdict | None = None) -> dict[str, Any]:
        """What ``--json`` reports of the finished training."""
        assert self.started is not None and self.finished is not None
        report: dict[str, Any] = {
            "parameters": dict(self.started.parameters),
            "steps": self.finished.step,
            "losses": dict(self.finished.means),
            "images_per_second": round(self.finished.pictures_per_second, 2),
            "output": str(self.place),
            "run_dir": str(self.path),
        }
        if verdict:
            report |= _told(verdict)
        return report


def _told(verdict: Verdict) -> dict[str, Any]:
    gates = [asdict(gate) | {"passed": gate.is_passed} for gate in verdict.gates]
    return {"scores": dict(verdict.scores), "gates": gates}


def run_folder(place: Path) -> Path:
    """Where a network's training lies: beside the network."""
    return place.with_name(f"{place.name}.run")


def saved_reference(folder: Path) -> dict[str, Any]:
    """What was measured before a training began. Raises InputError when it is not there."""
    return checkpoint_file.load(folder / REFERENCE)


def _is_ours(name: str) -> bool:
    own = (JOB, STATE, LOG, CURVES, REFERENCE, NETWORK, VERDICT)
    return name in own or (name.startswith(SAMPLES) and name.endswith(".png"))


def sheet(pictures: Mapping[str, Tensor]) -> Tensor:
    """Pictures (N, 3, h, w) by what they are as one page: a row a photo, a column a kind; (1, 3, H, W)."""
    count = min(SHOWN, *(len(each) for each in pictures.values()))
    rows = [
        [Cell(each[i : i + 1].float().cpu().clamp(0, 1), (name,)) for name, each in pictures.items()]
        for i in range(count)
    ]
    return labelled(rows, cell=min(320, max(128, next(iter(pictures.values())).shape[-1])))


def _log(curve: list[list[float]], names: list[str]) -> bytes:
    """A JSON line every ``LINE_EVERY`` steps, with the means since the last."""
    lines: list[str] = []
    for first in range(0, len(curve), LINE_EVERY):
        part = np.asarray(curve[first : first + LINE_EVERY])
        means = dict(zip(names, part.mean(0).tolist(), strict=True))
        lines.append(json.dumps({"step": first + len(part), **means}) + "\n")
    return "".join(lines).encode()


def _board_module() -> Any:
    try:
        return import_module("torch.utils.tensorboard")
    except ImportError as error:
        raise MissingExtraError("--tensorboard needs an extra: pip install 'brushwork[train]'") from error


class _Board:
    """TensorBoard's files. Raises MissingExtraError without it."""

    def __init__(self, folder: Path, step: int) -> None:
        board = _board_module()
        # What a killed training told of steps that are now done again is forgotten.
        self._writer = board.SummaryWriter(str(folder), purge_step=step + 1)

    def losses(self, event: Stepped) -> None:
        for name, value in event.losses.items():
            self._writer.add_scalar(name, value, event.step)

    def picture(self, page: Tensor, step: int) -> None:
        self._writer.add_image("samples", page[0], step)

    def close(self) -> None:
        self._writer.close()
