"""Trains a network, as the queue wants it done."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brushwork.errors import InputError
from brushwork.studio.folder import Folder, State, Ticket, Upload
from brushwork.studio.lessons import lesson_of
from brushwork.studio.queue import Going
from brushwork.training.jobs import NetworkFiles, StyleNetTrain

if TYPE_CHECKING:  # torch takes seconds, and the page is up before it
    from brushwork.outputs.network import NetworkFolder
    from brushwork.training import events
    from brushwork.training.stylenet_runner import StyleNetRun

CHECKPOINT_EVERY = 30.0  # seconds: what a restart may cost
LOOK_EVERY = 100  # steps between sheets of samples, at most


class Trainer:
    """Trains networks; ``machine`` are the settings that the host decides for every job."""

    def __init__(self, folder: Folder, machine: dict[str, Any], photos: str | None) -> None:
        self.folder, self._machine, self._photos = folder, machine, photos

    def __call__(self, ticket: Ticket, going: Going) -> State:
        """Train a network, or go on with it. Raises BrushworkError."""
        from brushwork.outputs.network import NetworkFolder, run_folder

        going.words, place = "Getting ready", self.folder.network(ticket.id)
        job = lesson_of(ticket, self.folder, self._machine, self._photos)
        state, reference = _saved(run_folder(place))
        wanted = NetworkFiles(
            output=str(place),
            resume=state is not None,
            overwrite=True,
            checkpoint_every=CHECKPOINT_EVERY,
            look_every=max(1, min(LOOK_EVERY, job.steps // 20)),
        )
        folder = NetworkFolder("stylenet", job, wanted, state)
        folder.check()
        run = _prepared(job, wanted, state, reference, going)
        if run is None:
            return "stopped"
        folder.begin(None if state else run.reference)
        ended = _train(run, folder, going)
        if ended == "done":
            folder.finish(run.task, run.verdict())
            self._keep(ticket, place)
        elif ended == "stopped" and not going.is_closing:
            self._keep(ticket, run_folder(place) / "network.safetensors")
        return ended

    def _keep(self, ticket: Ticket, network: Path) -> None:
        """Offer the network as something to paint with."""
        painting = self.folder.upload(ticket.options["style"], ticket.owner)
        upload = Upload(
            id=ticket.id,
            owner=ticket.owner,
            name=f"{painting.name.rpartition('.')[0] or painting.name}.safetensors",
            suffix=".safetensors",
            width=painting.width,
            height=painting.height,
        )
        self.folder.add_network(upload, network, painting)


def _saved(run: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Where a training stopped and what was measured before it; a damaged state is left aside."""
    from brushwork.outputs.network import saved_reference
    from brushwork.outputs.training import saved_state

    try:
        state = saved_state(run)
        return state, saved_reference(run) if state else None
    except InputError:
        return None, None


def _prepared(
    job: StyleNetTrain,
    wanted: NetworkFiles,
    state: dict[str, Any] | None,
    reference: dict[str, Any] | None,
    going: Going,
) -> StyleNetRun | None:
    """The training, ready; None when it was stopped before."""
    from brushwork.training.stylenet_runner import run_stylenet

    with closing(run_stylenet(job, state, reference, look_every=wanted.look_every)) as preparing:
        while not going.stop.is_set():
            try:
                event = next(preparing)
            except StopIteration as end:
                return end.value
            going.words = f"{event.what}: {event.done} of {event.count}"
    return None


def _train(run: StyleNetRun, folder: NetworkFolder, going: Going) -> State:
    """Train until the end, a stop, or another's turn."""
    from brushwork.training.events import Checkpoint

    with closing(run.events):
        for event in run.events:
            folder.handle(event, run.task)
            _note(event, going)
            if isinstance(event, Checkpoint) and (going.stop.is_set() or going.give_way.is_set()):
                folder.store(run.task)
                return "stopped" if going.stop.is_set() else "waiting"
    return "done"


def _note(event: events.Event, going: Going) -> None:
    """Tell how far the work is."""
    from brushwork.training.events import Started, Stepped

    if isinstance(event, Started):
        going.begin(event.step, event.steps)
    elif isinstance(event, Stepped):
        losses = ", ".join(f"{name} {event.means[name]:.2f}" for name in ("content", "style"))
        going.words = f"Training, {event.step} steps done: {losses}"
        going.advance(event.step)


def verdict(folder: Folder, id: str) -> str:
    """What a finished training's network is worth, in words; empty before its end."""
    try:
        told = json.loads((folder.curves(id).parent / "verdict.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    scores = "; ".join(
        f"{who}: " + ", ".join(f"{name} {value:.2f}" for name, value in one.items())
        for who, one in told["scores"].items()
    )
    failing = [f"{gate['name']} ({gate['remedy']})" for gate in told["gates"] if not gate["passed"]]
    found = f"Not good: {'; '.join(failing)}." if failing else "Nothing is wrong with it."
    return f"{found} On photos held back, {scores}."
