"""`brushwork gan`: train a generator, and take pictures from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from brushwork.fields import build
from brushwork.surfaces.downloads import fetch_all
from brushwork.surfaces.options import Json, Quiet, of_model, require, switch, typed, with_options
from brushwork.surfaces.status import DONE, INTERRUPTED
from brushwork.surfaces.terminal import say, tell
from brushwork.surfaces.train import resumed
from brushwork.training.jobs import GanSample, GanScore, GanSettings, GanTrain, TrainingFiles

if TYPE_CHECKING:  # torch takes seconds
    from brushwork.outputs.training import GanFolder
    from brushwork.training.gan import Gan
    from brushwork.training.processes import Processes
    from brushwork.training.scoring import Scored

app = App(name="gan", help="Train a GAN on small pictures, and take pictures from it.")

MAY_CHANGE = {"epochs", "threads", "device", "data"}
"""What may differ from the training that ``--resume`` goes on with."""


def train(
    *,
    fetch: Annotated[bool, switch("download Fashion-MNIST first (31 MB)")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Train a generator and a discriminator on Fashion-MNIST, or on pictures of one's own.

    The folder gets generated_img_EEE_I.png each epoch, a strip of samples every ten, losses.png, log.jsonl,
    a film of one latent, generator.safetensors, and the checkpoint that --resume goes on from.
    """
    if fetch:
        fetch_all("fashion-mnist/")
        if not options.get("output"):
            return 0
    given = typed(options)
    wanted = build(TrainingFiles, of_model(TrainingFiles, given))
    require({"-o DIR": wanted.output}, "brushwork gan train --epochs 10 -o DIR")
    asked = of_model(GanTrain, given)
    if wanted.resume:
        job = resumed(GanTrain, "gan", Path(wanted.output or ""), asked, MAY_CHANGE)
    else:
        job = build(GanTrain, asked)
    return _train(job, wanted, as_json=json_, quiet=quiet)


def _train(job: GanTrain, wanted: TrainingFiles, *, as_json: bool, quiet: bool) -> int:
    from brushwork.context import keep_freed_memory
    from brushwork.surfaces.progress import take_leave
    from brushwork.training.processes import processes

    keep_freed_memory()
    together = processes(job.device)
    status = _train_together(job, wanted, together, as_json=as_json, quiet=quiet)
    take_leave(together, status)
    return status


def _train_together(
    job: GanTrain, wanted: TrainingFiles, together: Processes, *, as_json: bool, quiet: bool
) -> int:
    from brushwork.outputs.files import write_standard_output
    from brushwork.outputs.training import GanFolder, saved_state
    from brushwork.surfaces.progress import drain, help_along
    from brushwork.training.gan_runner import run_gan

    state = saved_state(Path(wanted.output or "")) if wanted.resume else None
    folder = GanFolder(job, wanted, state)
    if not together.rank:
        folder.check()
    with folder.preparing():
        run = run_gan(job, state, look_every=wanted.film_every, together=together)
    if together.rank:
        return help_along(run.events)
    for trouble in run.troubles:
        say(f"left out: {trouble}")
    folder.begin()
    if not drain(
        run.events, lambda event: folder.handle(event, run.task), lambda: tell(folder.notes), quiet=quiet
    ):
        return _interrupted(folder, run.task)
    folder.finish(run.task)
    if as_json:
        write_standard_output(json.dumps(folder.summary()).encode() + b"\n")
    elif not quiet:
        say(f"wrote {folder.path}")
    return DONE


def _interrupted(folder: GanFolder, task: Gan) -> int:
    is_stored = folder.store(task)
    tell(folder.notes)
    again = f"brushwork gan train -o {quote(str(folder.path))} --resume"
    say(f"interrupted; go on: {again}" if is_stored else "interrupted")
    return INTERRUPTED


def sample(
    generator: Annotated[str, Parameter(help="folder of a training, or its generator.safetensors")],
    /,
    **options: Any,
) -> int:
    """Take pictures from a trained generator, or go from one of its latents to the next."""
    from brushwork.outputs.gan_samples import write_samples

    job = build(GanSample, typed({"generator": generator, **options}))
    write_samples(job)
    say(f"wrote {job.output}")
    return DONE


def score(
    *generators: Annotated[str, Parameter(name="DIR", help="folders of trainings, or their generators")],
    json_: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Score trained generators against real pictures that no training saw.

    fid: Fréchet distance of features, 0 is best. precision: the share of samples that look real. recall: the
    share of real pictures that the samples come near to. The features are those of a small classifier that is
    trained first. Real pictures stand beside the generators.
    """
    from brushwork.outputs.training import load_generator
    from brushwork.surfaces.progress import watched
    from brushwork.training.scoring import score as scored

    require({"DIR": generators or None}, "brushwork gan score DIR, the folder of a training")
    job = build(GanScore, typed({"generators": generators, **options}))
    weights = {name: load_generator(Path(name)) for name in job.generators}
    result = watched(scored(job, weights), quiet=quiet)
    _show(result, as_json=json_)
    return DONE


def _show(scored: Scored, *, as_json: bool) -> None:
    from brushwork.outputs.files import write_standard_output
    from brushwork.surfaces.terminal import table

    if as_json:
        rows = {name: asdict(row) for name, row in scored.rows.items()}
        told = {"classifier_accuracy": scored.accuracy, "scores": rows}
        write_standard_output(json.dumps(told).encode() + b"\n")
        return
    lines = [
        (name, f"{row.fid:.2f}", f"{row.precision:.3f}", f"{row.recall:.3f}")
        for name, row in scored.rows.items()
    ]
    table([("", "fid", "precision", "recall"), *lines])


_TRAINING = {
    name: field for name, field in GanTrain.model_fields.items() if name not in GanSettings.model_fields
}
_SAMPLING = {name: field for name, field in GanSample.model_fields.items() if name != "generator"}
_GROUPS = {
    "Training": _TRAINING,
    "Files": TrainingFiles.model_fields,
    "Method (a recipe sets these)": GanSettings.model_fields,
}
app.command(with_options(train, _GROUPS), name="train")
_SCORING = {name: field for name, field in GanScore.model_fields.items() if name != "generators"}
app.command(with_options(sample, {"Sampling": _SAMPLING}), name="sample")
app.command(with_options(score, {"Scoring": _SCORING}), name="score")
