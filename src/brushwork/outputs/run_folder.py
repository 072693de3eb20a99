"""The run directory: what `brushwork resume` goes on from after Ctrl-C, kill -9 or a power cut.

``job.json`` (job, wanted files, machine, sha256 of the inputs), ``checkpoint.safetensors`` (the state),
``trace.jsonl`` (the trace so far) and, when it came by standard input, ``photo``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from brushwork.command import place_word
from brushwork.errors import BrushworkError, InputError, OutputError
from brushwork.events import Checkpoint, Losses
from brushwork.fields import build
from brushwork.jobs import Stylize
from brushwork.outputs import checkpoint as checkpoint_file
from brushwork.outputs import files
from brushwork.outputs.pace import Pace
from brushwork.outputs.provenance import fingerprint
from brushwork.wanted import Wanted

PLACES = (
    "output", "trace", "record", "grid", "plot", "comparison", "preview", "high_pass", "run_dir"
)  # fmt: skip
HELD = JOB, STATE, TRACE, PHOTO = "job.json", "checkpoint.safetensors", "trace.jsonl", "photo"
"""What a run directory holds."""


@dataclass(frozen=True)
class Memory:
    """What a writer must know of a run besides the engine's state."""

    best: tuple[float, Tensor | None]  # lowest loss of the scale, and its picture
    snapshots: list[Tensor]
    seconds: float  # that the run took so far


@dataclass(frozen=True)
class Saved:
    """An interrupted run, read back."""

    folder: Path
    home: Path  # the folder from which the paths of job and wanted go
    job: Stylize
    wanted: Wanted
    made_with: dict[str, Any]  # device, precision, threads, weights, versions
    checkpoint: Checkpoint
    memory: Memory
    trace: bytes
    photo: bytes | None

    @property
    def machine_job(self) -> Stylize:
        """The job with what "auto" chose then, so that it computes the same again."""
        return self.job.model_copy(
            update={name: self.made_with[name] for name in ("device", "precision", "threads")}
        )


class RunFolder:
    """Keeps a run's state on disk, at intervals; a disk that is full does not stop the run."""

    def __init__(self, path: Path, wanted: Wanted, photo: bytes | None, saved: Saved | None = None) -> None:
        self.path, self.trouble = path, ""
        self._wanted, self._photo = wanted, photo
        self._pace = Pace(wanted.checkpoint_every, at_once=wanted.run_dir is not None and not saved)
        self._is_begun = saved is not None
        self._is_new = not (saved or path.exists())
        self._pending: list[bytes] = []  # lines of the trace that are not in the folder yet
        self._trace_length = len(saved.trace) if saved else 0

    def check(self) -> None:
        """Raise OutputError when the place holds another run, or something that is no run."""
        if self._is_begun:
            return
        if not self.path.exists():
            files.check_folder(self.path.parent)
            return
        if not self.path.is_dir():
            raise OutputError(f"{self.path} is a file: give --run-dir another name")
        if is_run(self.path) and not self._wanted.overwrite:
            raise OutputError(f"{self.path} holds an interrupted run: `{self.command}`, or --overwrite")
        if not is_run(self.path) and any(self.path.iterdir()):
            raise OutputError(f"{self.path} holds other files: give an empty or a new folder")

    def add_line(self, line: bytes) -> None:
        """Take the next line of the trace."""
        self._pending.append(line)

    @property
    def holds_state(self) -> bool:
        """Whether there is something to go on from."""
        return self._is_begun and (self.path / STATE).is_file()

    @property
    def command(self) -> str:
        """What to type to go on."""
        return f"brushwork resume {shlex.quote(place_word(str(self.path)))}"

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._pace.due

    def store(self, record: str, checkpoint: Checkpoint, memory: Memory) -> bool:
        """Write the state; False, with the reason in ``trouble``, when that fails."""
        with self._pace.timed():
            try:
                self._begin(record)
                self._store_trace()
                checkpoint_file.save(self.path / STATE, _as_data(checkpoint, memory, self._trace_length))
            except (OSError, OutputError) as error:
                self.trouble = f"no checkpoint could be written ({error})"
                return False
        return True

    def _begin(self, record: str) -> None:
        """Make the folder and what does not change; ``record`` is what the picture carries."""
        if self._is_begun:
            return
        # One that has appeared since is another run's. Not the folders above: those that went away are gone.
        self.path.mkdir(exist_ok=not self._is_new)
        self._is_new = False  # it is ours, also when the rest fails and is tried again
        remove(self.path, whole=False)
        if self._photo is not None:
            files.write(self.path / PHOTO, self._photo)
        more = {"home": str(Path.cwd()), "wanted": self._wanted.model_dump()}
        files.write(self.path / JOB, json.dumps(json.loads(record) | more, indent=1).encode())
        self._is_begun = True

    def _store_trace(self) -> None:
        """Append the new lines; what an earlier try left behind them is cut off."""
        lines = b"".join(self._pending)
        descriptor = os.open(self.path / TRACE, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(self._trace_length)
            file.truncate()
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self._trace_length += len(lines)
        self._pending.clear()

    def finish(self) -> None:
        """The run is done: remove the folder, unless the user gave it."""
        if self._wanted.run_dir is None and (self._is_begun or not self._is_new):
            remove(self.path)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory."""
    return (folder / JOB).is_file()


def remove(folder: Path, *, whole: bool = True) -> None:
    """Remove a run from its folder, and the ``whole`` folder when nothing else is in it."""
    with contextlib.suppress(OSError):
        # The job last: without it the folder is no run any more.
        for name in (*(path.name for path in folder.glob("*.part")), STATE, TRACE, PHOTO, JOB):
            (folder / name).unlink(missing_ok=True)
        if whole:
            folder.rmdir()


def _as_data(checkpoint: Checkpoint, memory: Memory, trace_length: int) -> dict[str, Any]:
    engine = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    engine["losses"] = asdict(checkpoint.losses)
    writer = {field.name: getattr(memory, field.name) for field in fields(memory)}
    return {"engine": engine, "writer": writer, "trace_length": trace_length}


def read_run(folder: Path) -> Saved:
    """Read an interrupted run. Raises InputError when it is none, is damaged, or an input has changed."""
    if not is_run(folder):
        raise InputError(f"{folder} is no run directory: give the one that the interrupted run named")
    record = _read_record(folder)
    state = checkpoint_file.load(folder / STATE)
    try:
        engine = state["engine"] | {"losses": Losses(**state["engine"]["losses"])}
        job, wanted = build(Stylize, record["job"]), build(Wanted, record["wanted"])
        saved = Saved(
            folder,
            Path(record["home"]),
            job,
            wanted,
            {name: record[name] for name in ("device", "precision", "threads", "weights", "torch")},
            Checkpoint(**engine),
            Memory(**state["writer"]),
            _read_trace(folder, state["trace_length"]),
            (folder / PHOTO).read_bytes() if job.content == "-" else None,
        )
    except (OSError, KeyError, TypeError, ValueError, BrushworkError) as error:
        raise InputError(f"{folder} is damaged ({_reason(error)}): start the job anew") from error
    _check_inputs(record["inputs"], saved)
    return saved


def located(saved: Saved) -> Saved:
    """The run as it is to be resumed: with leave to replace its outputs, and paths good for going home.

    From another folder than the run's the outputs are named in full. Raises InputError when the run's
    folder is gone.
    """
    if not saved.home.is_dir():
        raise InputError(f"{saved.home}, where the run began, is not there any more: bring it back")
    changes: dict[str, Any] = {"overwrite": True}
    folder = saved.folder
    if saved.home != Path.cwd():
        folder = folder.absolute()
        named = {name: getattr(saved.wanted, name) for name in PLACES}
        changes |= {name: str(saved.home / path) for name, path in named.items() if path not in (None, "-")}
    return replace(saved, folder=folder, wanted=saved.wanted.model_copy(update=changes))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}" if isinstance(error, (KeyError, TypeError)) else str(error)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / JOB).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / JOB} is damaged: start the job anew") from error


def _read_trace(folder: Path, length: int) -> bytes:
    """The trace up to the checkpoint; lines of a later one that was never finished are left out."""
    trace = (folder / TRACE).read_bytes()
    if len(trace) < length:
        raise ValueError(f"{TRACE} is too short")
    return trace[:length]


def _check_inputs(inputs: dict[str, str], saved: Saved) -> None:
    for name, digest in inputs.items():
        now = fingerprint(str(saved.home / name))
        if now != digest:
            what = "has changed since the run began" if now else "is not there any more"
            raise InputError(f"{saved.home / name} {what}: bring back the old file to resume {saved.folder}")
