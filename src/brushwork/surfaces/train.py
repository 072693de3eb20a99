"""`brushwork train`: networks of one's own."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import App, Parameter

from brushwork.errors import DivergedError, InputError
from brushwork.jobs import Frozen, build, flag
from brushwork.surfaces.options import of_model, typed, with_options
from brushwork.training.jobs import NetworkFiles, StyleNetTrain

if TYPE_CHECKING:  # torch takes seconds
    from brushwork.outputs.network import NetworkFolder
    from brushwork.training.events import Event
    from brushwork.training.gates import Verdict
    from brushwork.training.processes import Processes
    from brushwork.training.stylenet_runner import StyleNetRun

app = App(name="train", help="Train networks of one's own.")

MAY_CHANGE = {"photos", "threads", "device", "learning_rate"}
"""What may differ from the training that ``--resume`` goes on with."""

Json = Annotated[
    bool, Parameter(name="--json", help="one JSON object on stdout", negative=(), show_default=False)
]
Quiet = Annotated[bool, Parameter(help="no progress", negative=(), show_default=False)]
Job = TypeVar("Job", bound=Frozen)
Result = TypeVar("Result")


def stylenet(
    photos: Annotated[
        str | None, Parameter(help=str(StyleNetTrain.model_fields["photos"].description))
    ] = None,
    /,
    *,
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Train a network that paints photos in the manner of one painting, in one pass.

    Strength and stroke size stay adjustable. Ends with scores on photos that were held back, beside those of
    the optimise engine, and says plainly what is wrong if something is. Paint with the network by
    `brushwork stylize PHOTO --engine feedforward --style NET.safetensors`.
    """
    from brushwork.context import keep_freed_memory
    from brushwork.training.processes import processes

    given = typed({"photos": photos, **options})
    wanted = build(NetworkFiles, of_model(NetworkFiles, given))
    job = _job(StyleNetTrain, "stylenet", of_model(StyleNetTrain, given), wanted)
    keep_freed_memory()
    together = processes(job.device)
    status = _stylenet(job, wanted, together, as_json=json_, quiet=quiet)
    together.close()  # not after an error: the others wait for sums then, and the launcher ends them
    return status


def _job(kind: type[Job], task: str, asked: dict[str, Any], wanted: NetworkFiles) -> Job:
    """The job that is asked for; of a training to be resumed, with what may change of it."""
    if wanted.output is None:
        raise InputError(
            f"-o NET.safetensors is missing: brushwork train {task} PHOTOS --style ART -o NET.safetensors"
        )
    if not wanted.resume:
        for name, field in kind.model_fields.items():
            if field.is_required() and name not in asked:
                raise InputError(f"{name.upper() if name == 'photos' else flag(name)} is missing")
        return build(kind, asked)
    from brushwork.outputs.network import run_folder
    from brushwork.outputs.training import read_record

    folder = run_folder(Path(wanted.output))
    before = build(kind, read_record(folder, task))
    job = build(kind, before.model_dump() | asked)
    for name in kind.model_fields.keys() - MAY_CHANGE:
        old, new = getattr(before, name), getattr(job, name)
        if old != new:
            raise InputError(
                f"{flag(name)} {new}: the training in {folder} has {old}: leave it out, or start another"
            )
    return job


def _stylenet(
    job: StyleNetTrain, wanted: NetworkFiles, together: Processes, *, as_json: bool, quiet: bool
) -> int:
    from brushwork.outputs.files import write_standard_output
    from brushwork.outputs.network import NetworkFolder, saved_reference
    from brushwork.outputs.training import saved_state
    from brushwork.surfaces.cli import DONE
    from brushwork.surfaces.terminal import say
    from brushwork.training.stylenet_runner import run_stylenet

    place = Path(f"{wanted.output}.run")
    state = saved_state(place) if wanted.resume else None
    reference = saved_reference(place) if state else None
    folder = NetworkFolder("stylenet", job, wanted, state)
    if not together.rank:
        folder.check()
    preparing = run_stylenet(job, state, reference, look_every=wanted.look_every, together=together)
    run = _watched(preparing, quiet=quiet or together.rank > 0)
    if together.rank:  # helps the first one, which writes
        for _ in run.events:
            pass
        return DONE
    for note in run.notes:
        say(note)
    folder.begin(run.reference)
    if not _drain(run, folder, quiet=quiet):
        return _interrupted(run, folder)
    verdict = run.verdict()
    folder.finish(run.task, verdict)
    _tell(folder, run)
    if as_json:
        write_standard_output(json.dumps(folder.summary(verdict)).encode() + b"\n")
    elif not quiet:
        _show(verdict)
        say(f"wrote {folder.place}")
    return DONE


def _watched(events: Generator[Event, None, Result], *, quiet: bool) -> Result:
    """Show events; returns what they end with."""
    from brushwork.surfaces.progress import watcher

    with watcher(quiet=quiet) as person:
        while True:
            try:
                person.show(next(events))
            except StopIteration as end:
                return end.value


def _drain(run: StyleNetRun, folder: NetworkFolder, *, quiet: bool) -> bool:
    """Hand each event to the folder and the person; False when a Ctrl-C ended it early."""
    from brushwork.surfaces.cli import interruptible
    from brushwork.surfaces.progress import watcher
    from brushwork.training.events import Checkpoint

    with interruptible() as interrupted, watcher(quiet=quiet) as person, closing(run.events):
        try:
            for event in run.events:
                folder.handle(event, run.task)
                person.show(event)
                _tell(folder, run)
                if interrupted and isinstance(event, Checkpoint):
                    return False
        except DivergedError as error:
            raise DivergedError(
                f"{error} (--learning-rate {run.task.learning_rate / 3:.1g} --resume)"
            ) from error
    return True


def _interrupted(run: StyleNetRun, folder: NetworkFolder) -> int:
    from brushwork.surfaces.cli import INTERRUPTED
    from brushwork.surfaces.terminal import say

    is_stored = folder.store(run.task)
    _tell(folder, run)
    again = f"brushwork train {run.task.name} -o {quote(str(folder.place))} --resume"
    say(f"interrupted; go on: {again}" if is_stored else "interrupted")
    return INTERRUPTED


def _tell(folder: NetworkFolder, run: StyleNetRun) -> None:
    from brushwork.surfaces.terminal import say

    while folder.notes:
        say(folder.notes.pop(0))
    while run.photos.troubles:
        say(f"left out: {run.photos.troubles.pop(0)}")


def _show(verdict: Verdict) -> None:
    """Scores as a table, then the gates: what is wrong and what to change."""
    from brushwork.surfaces.terminal import say, table

    rows = [(name, f"{one.content:.3f}", f"{one.style:.3f}") for name, one in verdict.scores.items()]
    table([("on photos held back", "content", "style"), *rows])
    failing = [gate for gate in verdict.gates if not gate.is_passed]
    for gate in failing:
        say(f"NOT GOOD: {gate.name} {gate.value:.2f}, at most {gate.limit:.2f}: {gate.remedy}")
    if not failing:
        say(f"passed: {', '.join(f'{gate.name} {gate.value:.2f}' for gate in verdict.gates)}")


_STYLENET = {name: field for name, field in StyleNetTrain.model_fields.items() if name != "photos"}
app.command(
    with_options(stylenet, {"Training": _STYLENET, "Files": NetworkFiles.model_fields}), name="stylenet"
)
