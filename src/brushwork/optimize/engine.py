"""The loop: from a photo, paintings and a job to events."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from brushwork import colour
from brushwork.context import Context, give_back_freed_memory
from brushwork.encoders import VGG19
from brushwork.encoders.vgg19 import check_size, smallest_side
from brushwork.errors import DivergedError, InputError
from brushwork.events import (
    Checkpoint,
    Event,
    Finished,
    Losses,
    Progress,
    Replanned,
    Returning,
    Started,
    Swept,
)
from brushwork.idle import PHOTO_STARTS
from brushwork.images import Picture, Sources, like_the_photo, resize
from brushwork.jobs import Stylize
from brushwork.margins import without_margin
from brushwork.optimize.crew import Crew
from brushwork.optimize.detail import AMOUNTS, best_amount, missing_detail
from brushwork.optimize.fitted import Fitted, plans_of
from brushwork.optimize.objective import Evaluation
from brushwork.optimize.optimizers import LBFGS, Optimizer, make_optimizer
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale, ladder, result_size
from brushwork.optimize.state import give, take
from brushwork.optimize.variants import fit, painting_kept, shrunk, size_kept, variant_sizes
from brushwork.seams import periodic, resize_wrapped

LARGE = 20_000_000  # pixels above which an evaluation is worth resuming in its middle
UNKNOWN = Losses(math.nan, math.nan, math.nan, math.nan)
FAR = 10.0  # a pixel beyond this, where 0..1 is meant, is lost


def paint(
    job: Stylize, sources: Sources, encoder: VGG19, context: Context, state: Checkpoint | None = None
) -> Generator[Event]:
    """Optimise a picture; yields Started, a Progress and a Checkpoint an evaluation, Finished.

    Closing it cancels. With ``state`` it goes on from there, to the same picture. Raises InputError for a
    size the layers cannot work at, DivergedError when a loss is no number.
    """
    sources = trimmed(job, sources)
    scales = scales_of(job, sources)
    plans = plans_of(job, sources, scales, context)
    sources, restore = _coloured(job, _shrunk(job, sources, scales[-1]), scales[-1])
    if state:
        _check_state(state, scales)
    image = state.image if state else colour.project(job, _start(job, sources, scales[0], context))
    yield Started(
        scales[-1].width,
        scales[-1].height,
        sum(scale.steps for scale in scales),
        context.place,
        context.precision,
        encoder.weights.source,
        restore(image),
        scales,
        state.evaluation if state else 0,
        how(plans[-1], context),
    )
    work = _Work(job, sources, scales, plans, Crew.of(encoder, context.devices), context, restore)
    kept = _Kept(image, UNKNOWN)
    if state:
        kept = replace(kept, done=state.evaluation - state.step, detail=state.detail)
    for rung in range(state.rung if state else 0, len(scales)):
        kept = yield from _scale(work, rung, kept, state)
        state = None
    yield Finished(finished_picture(restore(kept.image), sources.content), kept.losses, kept.done)


def how(plan: Plan, context: Context) -> str:
    """A plan in words; of one piece none, unless several devices were given and one works."""
    alone = "in one piece, since tiles would take longer" if context.others else ""
    return str(plan) or alone


def trimmed(job: Stylize, sources: Sources) -> Sources:
    """The pictures with their paintings' margins cut off, when the job says so."""
    if job.style_margin == "keep":
        return sources
    styles = [replace(picture, pixels=without_margin(picture.pixels)) for picture in sources.styles]
    return replace(sources, styles=styles)


def _shrunk(job: Stylize, sources: Sources, scale: Scale) -> Sources:
    """The pictures no larger than the finest scale needs them.

    Each scale would shrink all of a camera's pixels again: at 512 pixels 2 s of a photo of 12 megapixels.
    """
    styles = [shrunk(job, style, painting_kept(job, scale, style.size)) for style in sources.styles]
    photo = size_kept(job, (scale.height, scale.width), sources.content.size)
    return replace(sources, content=shrunk(job, sources.content, photo), styles=styles)


def _coloured(job: Stylize, sources: Sources, scale: Scale) -> tuple[Sources, Callable[[Tensor], Tensor]]:
    """The pictures to work on, and what restores the colours of what comes of them."""
    photo = sources.content.pixels
    photo = periodic(fit(job, photo, scale.height, scale.width)) if job.tileable else photo
    paintings = [style.pixels for style in sources.styles]
    prepared = colour.prepare(job, photo, paintings, [style.weight for style in job.styles])
    styles = [replace(s, pixels=p) for s, p in zip(sources.styles, prepared.paintings, strict=True)]
    init = sources.init and replace(sources.init, pixels=colour.begin(job, sources.init.pixels))
    return Sources(replace(sources.content, pixels=prepared.photo), styles, init), prepared.restore


def scales_of(job: Stylize, sources: Sources) -> list[Scale]:
    """The ladder, without coarse scales at which a layer would have no position left.

    ``sources`` are ``trimmed`` ones. Raises InputError when the last scale, of the size asked for, has none
    either, or a painting there.
    """
    layers = [*job.content_layers, *job.style_layers]
    finest = Scale(*result_size(job, sources.content.size), 0)
    paintings = [painting_kept(job, finest, style.size) for style in sources.styles]
    unpainted = job.strength == 0 and job.init in PHOTO_STARTS

    def fits(scale: Scale) -> bool:
        if unpainted:
            return False  # only the detail would be lost on the way
        sides = (s for painting in paintings for size in variant_sizes(job, painting, scale) for s in size)
        return min(scale.height, scale.width, *sides) >= smallest_side(layers)

    scales = ladder(job, sources.content.size, fits)
    check_size(scales[-1].height, scales[-1].width, layers)
    for style, painting in zip(job.styles, paintings, strict=True):
        for size in variant_sizes(job, painting, scales[-1]):
            check_size(*size, job.style_layers, style.path)
    return scales


@dataclass(frozen=True)
class _Work:
    """What all scales have in common."""

    job: Stylize
    sources: Sources
    scales: Sequence[Scale]
    plans: Sequence[Plan]
    crew: Crew
    context: Context
    restore: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Kept:
    """What a scale leaves: its picture, that picture's losses, evaluations until then.

    And what finer scales begin with: what L-BFGS learnt, how much of the paintings' detail.
    """

    image: Tensor
    losses: Losses
    done: int = 0
    learnt: float | None = None
    detail: float | None = None


@dataclass(frozen=True)
class _Stage:
    """One scale at work; ``done`` are the evaluations at coarser ones."""

    work: _Work
    rung: int
    fitted: Fitted
    optimizer: Optimizer
    done: int
    detail: float | None

    def progress(self, step: int, losses: Losses, norm: float, image: Tensor) -> Progress:
        """What an evaluation found, and the picture after its step."""
        planned, side = sum(scale.steps for scale in self.work.scales), self.fitted.scale.long_side
        shown = self.work.restore(image)
        return Progress(self.done + step, planned, self.rung, side, step, losses, norm, shown)

    def checkpoint(self, step: int, image: Tensor, kept: _Kept) -> Checkpoint:
        """All that it takes to go on after ``step`` with ``image``."""
        state = take(self.optimizer)
        evaluation = self.done + step
        return Checkpoint(
            evaluation, self.rung, step, image, kept.image, kept.losses, state, detail=self.detail
        )

    def evaluate(
        self, step: int, image: Tensor, kept: _Kept | None, state: Checkpoint | None
    ) -> Generator[Swept | Replanned | Checkpoint, None, Evaluation]:
        """An evaluation's events; of a large picture also a Checkpoint for each tile.

        It comes before the tile's own event, so that whoever stops there has the latest: its gradient grows.
        """
        begun = state.begun if state else None
        sweep = Returning(self.fitted.evaluate(image, self.done + step, begun))
        before = self.checkpoint(step - 1, image, kept or _Kept(image, UNKNOWN))
        large = image.shape[-2] * image.shape[-1] > LARGE
        for event in sweep:
            if large and isinstance(event, Swept) and event.state["resumable"]:
                yield replace(before, begun=event.state)
                self.release()
            yield event
        return sweep.value

    def release(self) -> None:
        """Give up the memory of what waits on disk: whoever stored a checkpoint has read all of it."""
        self.fitted.vault.release_all()
        if isinstance(self.optimizer, LBFGS):
            self.optimizer.vault.release_all()  # its own, once the plan has changed

    def step(self, image: Tensor, losses: Losses, gradient: Tensor) -> Tensor:
        """The next picture."""
        after = self.optimizer.step(image, losses.total, gradient)
        return after.clamp(0, 1) if self.work.job.clip else after


_Loop = Generator[Swept | Replanned | Progress | Checkpoint, None, _Kept]


def _scale(work: _Work, rung: int, before: _Kept, state: Checkpoint | None) -> _Loop:
    """Begin a scale with what the coarser one left, or go on in its middle, and descend."""
    job, scale, plan = work.job, work.scales[rung], work.plans[rung]
    image = resize_between(job, before.image, scale.height, scale.width).to(work.context.device)
    if plan.tile:
        give_back_freed_memory(plan.freed.above)
    fitted = Fitted(job, work.sources, work.crew, scale, work.context, plan)
    optimizer, amount = make_optimizer(job, fitted.vault, before.learnt), before.detail
    if state:
        give(optimizer, state.optimizer, image.device)
        if isinstance(optimizer, LBFGS):
            state.optimizer["pairs"] = optimizer.stored()  # who holds the state holds no second copy
    elif rung and job.style_detail:
        image, amount = yield from _detailed(work, rung, fitted, image, before)
    kept = yield from _descend(_Stage(work, rung, fitted, optimizer, before.done, amount), image, state)
    learnt = optimizer.learn() if isinstance(optimizer, LBFGS) else None
    return replace(kept, learnt=learnt, detail=amount)


def _detailed(
    work: _Work, rung: int, fitted: Fitted, image: Tensor, before: _Kept
) -> Generator[Swept | Replanned, None, tuple[Tensor, float]]:
    """An enlarged picture with the paintings' own detail, and how much of it was added.

    Decided at the first such scale, by three evaluations more: over a plain sky all of it raises the loss.
    """
    job, amount = work.job, before.detail
    ratio = work.scales[rung - 1].long_side / fitted.scale.long_side
    detail = missing_detail(image, *fitted.paintings(), ratio, wrap=job.tileable)
    detail = colour.project(job, detail)
    if amount is None:
        losses: list[float] = []
        for trial in AMOUNTS:
            mixed = image.add(detail, alpha=trial)
            found = yield from fitted.evaluate(mixed, before.done + 1, gradient=False)
            losses.append(found.losses.total)
        amount = best_amount(*losses)
    image = image.add(detail, alpha=amount)
    return image.clamp(0, 1) if job.clip else image, amount


def _descend(stage: _Stage, image: Tensor, state: Checkpoint | None) -> _Loop:
    """The loop: evaluate, step, clip, keep."""
    job, begun = stage.work.job, state.step if state else 0
    kept = _Kept(state.kept.to(image.device), state.losses) if state and begun else None
    step = begun
    for step in range(begun + 1, stage.fitted.scale.steps + 1):
        evaluation = yield from stage.evaluate(step, image, kept, state)
        state = None
        losses, gradient = evaluation.losses, colour.project(job, evaluation.gradient)
        norm = float(torch.linalg.vector_norm(gradient))
        if kept is None or job.optimizer != "lbfgs":  # which takes a step that went wrong back
            _check(job, losses, norm, image, stage.done + step, kept)
        after = stage.step(image, losses, gradient) if norm else image
        kept = _better(job, kept, image, after, losses)
        yield stage.progress(step, losses, norm, after)
        image = after
        if not norm:
            break  # nothing pulls any more: the photo itself at strength 0
        yield stage.checkpoint(step, image, kept)
        stage.release()
    assert kept is not None
    return replace(kept, done=stage.done + step)


def _check_state(state: Checkpoint, scales: Sequence[Scale]) -> None:
    """Raise InputError when a state is not of this ladder, as after a change of the program."""
    height, width = state.image.shape[-2:]
    sizes = [(scale.height, scale.width) for scale in scales]
    if not state.rung < len(sizes) or sizes[state.rung] != (height, width):
        raise InputError(f"a state of {width}×{height} pixels does not fit this job: start it anew")


def _better(job: Stylize, kept: _Kept | None, image: Tensor, after: Tensor, losses: Losses) -> _Kept:
    """What to keep: "best" is the picture whose loss was measured, "after-best" what the step made of it.

    L-BFGS's last picture is its best: a later one is only tried. What it made of its best turned out worse
    when a loss rises; then that is what lies halfway.
    """
    is_lbfgs = job.optimizer == "lbfgs"
    keep = "best" if is_lbfgs and job.keep == "last" else job.keep
    if kept is not None and keep != "last" and not losses.total < kept.losses.total:
        return replace(kept, image=after) if is_lbfgs and keep == "after-best" else kept
    return _Kept(image if keep == "best" else after, losses)


def _check(
    job: Stylize, losses: Losses, norm: float, image: Tensor, evaluation: int, kept: _Kept | None
) -> None:
    """Raise DivergedError when a term or the gradient is no number, or when the picture runs away."""
    terms = {"content": losses.content, "style": losses.style, "total variation": losses.tv}
    wrong = [f"{name} loss is {value}" for name, value in terms.items() if not math.isfinite(value)]
    worst = max(terms, key=lambda name: terms[name])
    # From a photo that is its own painting the loss rises from next to nothing, yet stays a picture's.
    risen = kept is not None and losses.total > 1e6 * kept.losses.total
    if not wrong and not math.isfinite(norm):
        wrong = [f"gradient is {norm}", f"{worst} loss is {terms[worst]:.3g}"]
    elif not wrong and risen and float(image.abs().max()) > FAR:
        wrong = [f"{worst} loss rose to {terms[worst]:.3g}"]
    if wrong:
        remedy = "lower the weight of that term"
        if job.optimizer != "lbfgs":
            remedy = "lower --learning-rate or the weight of that term, or use --optimizer lbfgs"
        raise DivergedError(f"evaluation {evaluation}: the {', the '.join(wrong)}; {remedy}")


def _fit(job: Stylize, pixels: Tensor, height: int, width: int, context: Context) -> Tensor:
    return fit(job, pixels, height, width).to(context.device)


def _start(job: Stylize, sources: Sources, scale: Scale, context: Context) -> Tensor:
    """The picture before the first step, at the first scale."""
    if job.init == "noise":
        return (0.5 + 0.1 * _noise(job, scale)).clamp(0, 1).to(context.device)
    known = {**dict.fromkeys(PHOTO_STARTS, sources.content), "style": sources.styles[0]}
    source = known.get(job.init, sources.init)
    if source is None:
        raise InputError(f"--init {job.init}: no picture was given for it")
    start = _fit(job, source.pixels, scale.height, scale.width, context)
    if job.tileable:
        start = periodic(start)
    return _stirred(job, sources, start, scale) if job.init in PHOTO_STARTS else start


def _stirred(job: Stylize, sources: Sources, start: Tensor, scale: Scale) -> Tensor:
    """A start from the photo in the paintings' colours, as far as ``init`` says so, and with its noise."""
    if job.init == "recolored":
        paintings, weights = [each.pixels for each in sources.styles], [each.weight for each in job.styles]
        start = colour.recolour(start, paintings, weights, colour.share_of_style(job))
    if deviation := job.init_noise * colour.share_of_style(job):
        start = (start + deviation * _noise(job, scale).to(start)).clamp(0, 1)
    return start


def _noise(job: Stylize, scale: Scale) -> Tensor:
    """Drawn on the CPU so that a seed gives the same noise on every device."""
    generator = torch.Generator().manual_seed(job.seed)
    return torch.randn(1, 3, scale.height, scale.width, generator=generator)


def resize_between(job: Stylize, image: Tensor, height: int, width: int) -> Tensor:
    """A result at another size; one that wraps around still does."""
    if job.tileable:
        return resize_wrapped(image, height, width)
    return resize(image, height, width, "bicubic")


def finished_picture(image: Tensor, content: Picture) -> Picture:
    """The result, clipped, with the photo's alpha, depth and resolution."""
    return like_the_photo(image.detach().float().cpu().clamp(0, 1), content)
