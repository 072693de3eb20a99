"""`brushwork train`: networks of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from cyclopts import App, Parameter

from brushwork.errors import DivergedError, InputError
from brushwork.fields import Frozen, build, flag
from brushwork.jobs import Settings, Stylize
from brushwork.surfaces.options import Json, Quiet, of_model, require, typed, with_options
from brushwork.surfaces.status import DONE, INTERRUPTED
from brushwork.surfaces.terminal import say, table, tell
from brushwork.training.jobs import MakePairs, NetworkFiles, PairedTrain, StyleNetTrain

if TYPE_CHECKING:  # torch takes seconds
    from brushwork.outputs.network import Maker, NetworkFolder
    from brushwork.training.events import Event
    from brushwork.training.gates import Verdict
    from brushwork.training.processes import Processes

app = App(name="train", help="Train networks of one's own.")

MAY_CHANGE = {"photos", "inputs", "targets", "threads", "device", "learning_rate"}
"""What may differ from the training that ``--resume`` goes on with."""
POSITIONAL = {"photos": "PHOTOS", "inputs": "INPUTS", "targets": "TARGETS"}

Job = TypeVar("Job", bound=Frozen)
Network = TypeVar("Network", StyleNetTrain, PairedTrain)


class Run(Protocol):
    """A training that is ready."""

    @property
    def task(self) -> Maker:
        """What makes the network."""
        ...

    @property
    def troubles(self) -> list[str]:
        """What was left out and why; more may come."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a user should know before it takes hours."""
        ...

    @property
    def events(self) -> Generator[Event]:
        """The training."""
        ...

    @property
    def reference(self) -> dict[str, Any] | None:
        """What was measured before it, for when it is resumed."""
        ...

    def verdict(self) -> Verdict:
        """What the network is worth."""
        ...


Prepare = Callable[[NetworkFiles, dict[str, Any] | None, "Processes"], "Run"]
"""Makes a run ready: from a state to go on from, if any."""


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
    given = typed({"photos": photos, **options})
    wanted, job = _asked(StyleNetTrain, "stylenet", given)

    def prepare(wanted: NetworkFiles, state: dict[str, Any] | None, together: Processes) -> Run:
        from brushwork.outputs.network import run_folder, saved_reference
        from brushwork.surfaces.progress import watched
        from brushwork.training.stylenet_runner import run_stylenet

        known = saved_reference(run_folder(Path(wanted.output or ""))) if state else None
        preparing = run_stylenet(
            _from_itself(job, wanted, state), state, known, look_every=wanted.look_every, together=together
        )
        return watched(preparing, quiet=quiet or together.rank > 0)

    return _train("stylenet", job, wanted, prepare, as_json=json_, quiet=quiet)


def paired(
    inputs: Annotated[str | None, Parameter(help=str(PairedTrain.model_fields["inputs"].description))] = None,
    targets: Annotated[
        str | None, Parameter(help=str(PairedTrain.model_fields["targets"].description))
    ] = None,
    /,
    *,
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Train a network from pairs of pictures: it makes of inputs what their targets show.

    Pairs are told by name. `brushwork train make-pairs` paints them, so that a slow recipe becomes a fast
    network. Paint with it by `brushwork stylize PHOTO --engine feedforward --style NET.safetensors`.
    """
    given = typed({"inputs": inputs, "targets": targets, **options})
    wanted, job = _asked(PairedTrain, "paired", given)

    def prepare(wanted: NetworkFiles, state: dict[str, Any] | None, together: Processes) -> Run:
        from brushwork.training.paired_runner import run_paired

        return run_paired(
            _from_itself(job, wanted, state), state, look_every=wanted.look_every, together=together
        )

    return _train("paired", job, wanted, prepare, as_json=json_, quiet=quiet)


def make_pairs(
    photos: Annotated[
        str | None, Parameter(help=str(StyleNetTrain.model_fields["photos"].description))
    ] = None,
    /,
    *,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint photos as pairs for `brushwork train paired`: DIR/inputs and DIR/targets, same names and sizes.

    Takes the options of `brushwork stylize`. Pairs that are there already are kept, so that the same command
    goes on after an interruption.
    """
    from brushwork.surfaces.pairs import paint_pairs

    given = typed(options)
    wanted = build(MakePairs, of_model(MakePairs, given))
    needed = {"PHOTOS": photos, "--style ART": given.get("styles"), "-o DIR": wanted.output}
    require(needed, "brushwork train make-pairs PHOTOS --style ART -o DIR")
    job = build(Stylize, {"content": photos, **of_model(Stylize, given)})
    return paint_pairs(job, wanted, quiet=quiet)


def _asked(kind: type[Job], task: str, given: dict[str, Any]) -> tuple[NetworkFiles, Job]:
    """The files and the job that are asked for; of a training to be resumed, with what may change of it."""
    wanted, asked = build(NetworkFiles, of_model(NetworkFiles, given)), of_model(kind, given)
    names = [name for name, field in kind.model_fields.items() if field.is_required()]
    words = {POSITIONAL.get(name) or f"{flag(name)} ART": asked.get(name) for name in names}
    usage = f"brushwork train {task} {' '.join(words)} -o NET.safetensors"
    require({**({} if wanted.resume else words), "-o NET.safetensors": wanted.output}, usage)
    if not wanted.resume:
        return wanted, build(kind, asked)
    from brushwork.outputs.network import run_folder

    return wanted, resumed(kind, task, run_folder(Path(wanted.output or "")), asked, MAY_CHANGE)


def resumed(kind: type[Job], task: str, folder: Path, asked: dict[str, Any], may_change: set[str]) -> Job:
    """The job of the training in a folder, with what may change of it. Raises InputError."""
    from brushwork.outputs.training import read_record

    before = build(kind, read_record(folder, task))
    job = build(kind, before.model_dump() | asked)
    for name in kind.model_fields:
        old, new = getattr(before, name), getattr(job, name)
        if old != new and name not in may_change:
            raise InputError(
                f"{flag(name)} {new}: the training in {folder} has {old}: leave it out, or start another"
            )
    return job


def _from_itself(job: Network, wanted: NetworkFiles, state: dict[str, Any] | None) -> Network:
    """A job that goes on takes its network's layers from its own folder: ``--from``'s file may be gone."""
    if state is None or not job.from_network:
        return job
    from brushwork.outputs.network import NETWORK, run_folder

    known = run_folder(Path(wanted.output or "")) / NETWORK
    return job.model_copy(update={"from_network": str(known)}) if known.exists() else job


def _train(task: str, job: Any, wanted: NetworkFiles, prepare: Prepare, *, as_json: bool, quiet: bool) -> int:
    from brushwork.context import keep_freed_memory
    from brushwork.outputs.network import NetworkFolder, run_folder
    from brushwork.outputs.training import saved_state
    from brushwork.surfaces.progress import help_along, take_leave
    from brushwork.training.processes import processes

    keep_freed_memory()
    together = processes(job.device)
    state = saved_state(run_folder(Path(wanted.output or ""))) if wanted.resume else None
    folder = NetworkFolder(task, job, wanted, state)
    if not together.rank:
        folder.check()
    with folder.preparing():
        run = prepare(wanted, state, together)
    if together.rank:
        status = help_along(run.events)
    else:
        for note in run.notes:
            say(note)
        folder.begin(None if state else run.reference)
        status = _work(run, folder, as_json=as_json, quiet=quiet)
    take_leave(together, status)
    return status


def _work(run: Run, folder: NetworkFolder, *, as_json: bool, quiet: bool) -> int:
    from brushwork.outputs.files import write_standard_output

    if not _drain(run, folder, quiet=quiet):
        return _interrupted(run, folder)
    try:
        verdict = run.verdict()
    except Exception:
        folder.finish(run.task)  # what was learnt is not lost with the judge
        raise
    folder.finish(run.task, verdict)
    _tell(folder, run)
    if as_json:
        write_standard_output(json.dumps(folder.summary(verdict)).encode() + b"\n")
    elif not quiet:
        _show(verdict)
        say(f"wrote {folder.place}")
    return DONE


def _drain(run: Run, folder: NetworkFolder, *, quiet: bool) -> bool:
    from brushwork.surfaces.progress import drain

    try:
        return drain(
            run.events, lambda event: folder.handle(event, run.task), lambda: _tell(folder, run), quiet=quiet
        )
    except DivergedError as error:
        raise DivergedError(f"{error}, as with {_again(run, folder)} --learning-rate LR") from error


def _interrupted(run: Run, folder: NetworkFolder) -> int:
    is_stored = folder.store(run.task)
    _tell(folder, run)
    say(f"interrupted; go on: {_again(run, folder)}" if is_stored else "interrupted")
    return INTERRUPTED


def _again(run: Run, folder: NetworkFolder) -> str:
    return f"brushwork train {run.task.name} -o {quote(str(folder.place))} --resume"


def _tell(folder: NetworkFolder, run: Run) -> None:
    tell(folder.notes)
    tell(run.troubles, "left out: ")


def _show(verdict: Verdict) -> None:
    """Scores as a table, then the gates: what is wrong and what to change."""
    names = list(next(iter(verdict.scores.values())))
    rows = [(who, *(f"{one[name]:.3f}" for name in names)) for who, one in verdict.scores.items()]
    table([("on pictures held back", *names), *rows])
    failing = [gate for gate in verdict.gates if not gate.is_passed]
    for gate in failing:
        say(f"NOT GOOD: {gate.name} {gate.value:.2f}, at most {gate.limit:.2f}: {gate.remedy}")
    if not failing:
        say(f"passed: {', '.join(f'{gate.name} {gate.value:.2f}' for gate in verdict.gates)}")


def _options(kind: type[Frozen]) -> dict[str, Any]:
    return {name: field for name, field in kind.model_fields.items() if name not in POSITIONAL}


_FILES = {"Files": NetworkFiles.model_fields}
_LOOK = Settings.model_fields
_PAINTING = {name: field for name, field in Stylize.model_fields.items() if name not in {"content", *_LOOK}}
_PAIRS = {"Pairs": MakePairs.model_fields, "Painting": _PAINTING, "Look (a recipe sets these)": _LOOK}
app.command(with_options(stylenet, {"Training": _options(StyleNetTrain), **_FILES}), name="stylenet")
app.command(with_options(paired, {"Training": _options(PairedTrain), **_FILES}), name="paired")
app.command(with_options(make_pairs, _PAIRS), name="make-pairs")
