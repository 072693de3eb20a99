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
from brushwork.events import Checkpoint, Event, Finished, Losses, Progress, Replanned, Started, Swept
from brushwork.images import Picture, resize
from brushwork.jobs import Stylize
from brushwork.margins import without_margin
from brushwork.optimize.crew import Crew
from brushwork.optimize.fitted import Fitted, Sources, plans_of
from brushwork.optimize.objective import Evaluation
from brushwork.optimize.optimizers import LBFGS, Optimizer, make_optimizer
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale, ladder, style_size
from brushwork.optimize.state import give, take
from brushwork.optimize.variants import fit, picks, variant_sizes
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
    sources, restore = _coloured(job, _picked(job, sources, scales[-1]), scales[-1])
    if state:
        _check_state(state, scales)
        image = state.image.to(context.device)
    else:
        image = colour.project(job, _start(job, sources, scales[0], context))
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
    crew, losses, learnt = Crew.of(encoder, context.devices), UNKNOWN, None
    first, done = (state.rung, state.evaluation - state.step) if state else (0, 0)
    for rung, scale in enumerate(scales[first:], first):
        image = resize_between(job, image, scale.height, scale.width).to(context.device)
        if plans[rung].tile:
            give_back_freed_memory(plans[rung].freed.above)
        fitted = Fitted(job, sources, crew, scale, context, plans[rung])
        planned = sum(s.steps for s in scales)
        optimizer = make_optimizer(job, fitted.vault, learnt)
        for event in _descend(job, fitted, optimizer, image, done, planned, rung, state):
            if isinstance(event, _Kept):
                image, losses, done = event.image, event.losses, done + event.evaluations
                learnt = event.learnt
            elif isinstance(event, Progress):
                yield replace(event, image=restore(event.image))
            else:
                yield event
        state = None
    yield Finished(finished_picture(restore(image), sources.content), losses, done)


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


def _picked(job: Stylize, sources: Sources, scale: Scale) -> Sources:
    """The pictures at the finest scale's size, when the job's filter picks pixels for a ladder."""
    if not picks(job):
        return sources
    largest = max(job.style_scales)

    def picked(picture: Picture, size: tuple[int, int]) -> Picture:
        return replace(picture, pixels=resize(picture.pixels, *size, job.resize))

    styles = [picked(s, style_size(job, scale, s.pixels.shape[-2:], largest)) for s in sources.styles]
    return replace(sources, content=picked(sources.content, (scale.height, scale.width)), styles=styles)


def _coloured(job: Stylize, sources: Sources, scale: Scale) -> tuple[Sources, Callable[[Tensor], Tensor]]:
    """The pictures to work on, and what restores the colours of what comes of them."""

    def shrunk(picture: Picture, height: int, width: int) -> Tensor:
        # Colours are measured and changed where they are seen: not on all of a camera's pixels.
        larger = height * width < picture.pixels[0, 0].numel() and colour.changes(job)
        return resize(picture.pixels, height, width, job.resize) if larger else picture.pixels

    photo = shrunk(sources.content, scale.height, scale.width)
    photo = periodic(fit(job, photo, scale.height, scale.width)) if job.tileable else photo
    largest = max(job.style_scales)
    paintings = [shrunk(s, *style_size(job, scale, s.pixels.shape[-2:], largest)) for s in sources.styles]
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

    unpainted = job.strength == 0 and job.init in ("content", "recolored")

    def fits(scale: Scale) -> bool:
        if unpainted:
            return False  # only the detail would be lost on the way
        paintings = [variant_sizes(job, style.pixels.shape[-2:], scale) for style in sources.styles]
        sides = (side for sizes in paintings for size in sizes for side in size)
        return min(scale.height, scale.width, *sides) >= smallest_side(layers)

    scales = ladder(job, sources.content.pixels.shape[-2:], fits)
    check_size(scales[-1].height, scales[-1].width, layers)
    for style, painting in zip(job.styles, sources.styles, strict=True):
        for size in variant_sizes(job, painting.pixels.shape[-2:], scales[-1]):
            check_size(*size, job.style_layers, style.path)
    return scales


@dataclass(frozen=True)
class _Kept:
    """What a scale leaves: its picture, that picture's losses, evaluations spent, what L-BFGS learnt."""

    image: Tensor
    losses: Losses
    evaluations: int = 0
    learnt: float | None = None


def _descend(
    job: Stylize,
    fitted: Fitted,
    optimizer: Optimizer,
    image: Tensor,
    done: int,
    planned: int,
    rung: int = 0,
    state: Checkpoint | None = None,
) -> Generator[Swept | Replanned | Progress | Checkpoint | _Kept]:
    """One scale of the loop: evaluate, step, clip, keep."""
    scale = fitted.scale
    kept: _Kept | None = None
    begun = step = 0
    if state:
        give(optimizer, state.optimizer, image.device)
        kept = _Kept(state.kept.to(image.device), state.losses) if state.step else None
        begun = step = state.step
    for step in range(begun + 1, scale.steps + 1):
        sweep = fitted.evaluate(image, done + step, state.begun if state and step == begun + 1 else None)
        evaluation = yield from _watched(
            sweep,
            Checkpoint(
                done + step - 1,
                rung,
                step - 1,
                image,
                kept.image if kept else image,
                kept.losses if kept else UNKNOWN,
                take(optimizer),
            ),
        )
        losses, gradient = evaluation.losses, colour.project(job, evaluation.gradient)
        norm = float(torch.linalg.vector_norm(gradient))
        if kept is None or job.optimizer != "lbfgs":  # which takes a step that went wrong back
            _check(job, losses, norm, image, done + step, kept)
        after = optimizer.step(image, losses.total, gradient) if norm else image
        if job.clip:
            after = after.clamp(0, 1)
        kept = _better(job, kept, image, after, losses)
        yield Progress(done + step, planned, rung, scale.long_side, step, losses, norm, after)
        image = after
        if not norm:
            break  # nothing pulls any more: the photo itself at strength 0
        yield Checkpoint(done + step, rung, step, image, kept.image, kept.losses, take(optimizer))
    assert kept is not None
    learnt = optimizer.learn() if isinstance(optimizer, LBFGS) else None
    yield replace(kept, evaluations=step, learnt=learnt)


def _watched(
    sweep: Generator[Swept | Replanned, None, Evaluation], before: Checkpoint
) -> Generator[Swept | Replanned | Checkpoint, None, Evaluation]:
    """An evaluation's events; of a large picture also a Checkpoint for each tile.

    It comes before the tile's own event, so that whoever stops there has the latest: its gradient grows.
    """
    large = before.image.shape[-2] * before.image.shape[-1] > LARGE
    while True:
        try:
            event = next(sweep)
        except StopIteration as stop:
            return stop.value
        if large and isinstance(event, Swept) and event.state["resumable"]:
            yield replace(before, begun=event.state)
        yield event


def _check_state(state: Checkpoint, scales: Sequence[Scale]) -> None:
    """Raise InputError when a state is not of this ladder, as after a change of the program."""
    height, width = state.image.shape[-2:]
    sizes = [(scale.height, scale.width) for scale in scales]
    if not state.rung < len(sizes) or sizes[state.rung] != (height, width):
        raise InputError(f"a state of {width}×{height} pixels does not fit this job: start it anew")


def _better(job: Stylize, kept: _Kept | None, image: Tensor, after: Tensor, losses: Losses) -> _Kept:
    """What to keep: "best" is the picture whose loss was measured, "after-best" what the step made of it.

    L-BFGS's last picture is its best: a later one is only tried.
    """
    keep = "best" if job.optimizer == "lbfgs" and job.keep == "last" else job.keep
    if kept is not None and keep != "last" and not losses.total < kept.losses.total:
        return kept
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
        # Drawn on the CPU so that a seed gives the same noise on every device.
        generator = torch.Generator().manual_seed(job.seed)
        noise = torch.randn(1, 3, scale.height, scale.width, generator=generator)
        return (0.5 + 0.1 * noise).clamp(0, 1).to(context.device)
    known = {"content": sources.content, "recolored": sources.content, "style": sources.styles[0]}
    source = known.get(job.init, sources.init)
    if source is None:
        raise InputError(f"--init {job.init}: no picture was given for it")
    start = _fit(job, source.pixels, scale.height, scale.width, context)
    if job.tileable:
        start = periodic(start)
    if job.init != "recolored":
        return start
    paintings, weights = [style.pixels for style in sources.styles], [style.weight for style in job.styles]
    return colour.recolour(start, paintings, weights, min(1.0, 2 * job.strength))


def resize_between(job: Stylize, image: Tensor, height: int, width: int) -> Tensor:
    """A result at another size; one that wraps around still does."""
    if job.tileable:
        return resize_wrapped(image, height, width)
    return resize(image, height, width, "bicubic")


def finished_picture(image: Tensor, content: Picture) -> Picture:
    """The result, clipped, with the photo's alpha, depth and resolution."""
    return like_the_photo(image.detach().float().cpu().clamp(0, 1), content)


def like_the_photo(pixels: Tensor, content: Picture) -> Picture:
    """Pixels (1, 3, H, W) in 0..1 with the photo's alpha, depth and resolution."""
    alpha = content.alpha
    if alpha is not None:
        alpha = resize(alpha, pixels.shape[-2], pixels.shape[-1], "lanczos")
    return Picture(pixels, alpha, content.bits, content.dpi)
