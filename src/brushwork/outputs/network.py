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
from torch import Tensor

import brushwork
from brushwork.encode import encode_picture
from brushwork.errors import InputError, MissingExtraError, OutputError
from brushwork.fields import Frozen
from brushwork.images import Picture
from brushwork.outputs import checkpoint as checkpoint_file
from brushwork.outputs import files
from brushwork.outputs.labels import Cell, labelled
from brushwork.outputs.training import TrainingFolder, record
from brushwork.training.events import Event, Looked, Started, Stepped
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


class NetworkFolder(TrainingFolder[Maker]):
    """A network, the sheets of samples by which it was watched, and what it was found to be worth."""

    own = (*TrainingFolder.own, REFERENCE, NETWORK, VERDICT)
    pictures = (SAMPLES,)

    def __init__(
        self, task: str, job: Frozen, wanted: NetworkFiles, state: dict[str, Any] | None = None
    ) -> None:
        if wanted.output is None:
            raise InputError("-o NET.safetensors is missing: say where the network goes")
        self.place = Path(wanted.output)
        if self.place.suffix.lower() != ".safetensors":
            raise InputError(f"--output {self.place}: a network is written as .safetensors")
        memory = state["folder"] if state else {}
        super().__init__(run_folder(self.place), record(task, job), wanted, memory)
        self._job, self._tensorboard = job, wanted.tensorboard
        self._board: _Board | None = None

    def check(self) -> None:
        """Make the folder. Raises OutputError when something is not to be replaced or cannot be written.

        And MissingExtraError when TensorBoard is wanted and not there, before anything is replaced.
        """
        if self._tensorboard:
            _board_module()
        files.check_place(self.place, overwrite=self._overwrite or self._resume)
        super().check()

    def begin(self, reference: dict[str, Any] | None = None) -> None:
        """Write the job and what was measured before; what a replaced training left behind goes."""
        super().begin()
        if not self._resume and (self.path / BOARD).is_dir():
            shutil.rmtree(self.path / BOARD)
        if reference is not None:
            checkpoint_file.save(self.path / REFERENCE, reference)

    def handle(self, event: Event, task: Maker) -> None:
        """Take the next event."""
        super().handle(event, task)
        if isinstance(event, Started) and self._tensorboard:
            self._board = _Board(self.path / BOARD, event.step)
        elif isinstance(event, Stepped) and self._board:
            self._board.losses(event)

    def _look(self, event: Looked) -> None:
        page = sheet(event.pictures)
        name = f"{SAMPLES}{event.step:07d}.png"
        try:
            files.write(self.path / name, encode_picture(Picture(page), "PNG"))
        except OutputError as error:
            self.notes.append(f"no samples could be written ({error})")
        if self._board:
            self._board.picture(page, event.step)

    def _write_network(self, task: Maker, step: int) -> None:
        files.write(self.path / NETWORK, task.to_bytes(self._about(step)))

    def _log(self) -> list[dict[str, Any]]:
        """A line every ``LINE_EVERY`` steps, with the means since the last."""
        lines: list[dict[str, Any]] = []
        for first in range(0, len(self._curve), LINE_EVERY):
            part = np.asarray(self._curve[first : first + LINE_EVERY])
            means = dict(zip(self._names, part.mean(0).tolist(), strict=True))
            lines.append({"step": first + len(part), **means})
        return lines

    def _about(self, step: int) -> dict[str, Any]:
        return {"brushwork": brushwork.__version__, "job": self._job.model_dump(mode="json"), "step": step}

    def finish(self, task: Maker, verdict: Verdict | None = None) -> None:
        """Write the network and the rest. Raises OutputError when that fails."""
        step = self.finished.step if self.finished else 0
        told = _told(verdict) if verdict else None
        # First of all: the disk may have room for it and not for a last checkpoint, three times as large.
        files.write_or_rescue(self.place, task.to_bytes(self._about(step) | {"verdict": told}))
        super().finish(task)
        if told:
            files.write(self.path / VERDICT, json.dumps(told, indent=1).encode())
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


def sheet(pictures: Mapping[str, Tensor]) -> Tensor:
    """Pictures (N, 3, h, w) by what they are as one page: a row a photo, a column a kind; (1, 3, H, W)."""
    count = min(SHOWN, *(len(each) for each in pictures.values()))
    rows = [
        [Cell(each[i : i + 1].float().cpu().clamp(0, 1), (name,)) for name, each in pictures.items()]
        for i in range(count)
    ]
    return labelled(rows, cell=min(320, max(128, next(iter(pictures.values())).shape[-1])))


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
