"""One pass: from a photo, styles and a job to events."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from brushwork import colour
from brushwork.context import Context
from brushwork.errors import InputError
from brushwork.events import Event, Finished, Losses, Started
from brushwork.feedforward import embedded, shelf
from brushwork.feedforward.folded import LATTICE, FoldedNet
from brushwork.feedforward.paintings import Paintings
from brushwork.feedforward.stylenet import SMALLEST
from brushwork.images import Picture, resize
from brushwork.jobs import BUILTIN, Stylize, is_network
from brushwork.margins import without_margin
from brushwork.optimize.engine import Sources, finished_picture
from brushwork.optimize.scales import Scale, result_size
from brushwork.weights import sha256_of

NOTHING = Losses(math.nan, math.nan, math.nan, math.nan)
PREDICTED = 256  # pixels of the short side at which a painting's style is told, as in training
LONGEST = 1024  # pixels of its long side then


@dataclass(frozen=True)
class Brush:
    """A network, the conditions under which it paints, and how much of its picture is taken."""

    network: FoldedNet
    condition: Tensor | None
    opacity: float  # 1 unless the network itself knows no strength
    name: str  # what is told of its weights


def paint(job: Stylize, sources: Sources, context: Context) -> Generator[Event]:
    """Paint a picture in one pass; yields Started and Finished, without losses or evaluations.

    ``sources.styles`` are the paintings of a job whose styles are paintings. Raises InputError for a size
    that is too small, WeightsError for a network that cannot be read.
    """
    height, width = result_size(job, sources.content.pixels.shape[-2:])
    if min(height, width) < SMALLEST:
        raise InputError(f"the result would be {width}×{height}: the network needs {SMALLEST} pixels a side")
    photo = resize(sources.content.pixels, height, width, job.resize)
    weights = [style.weight for style in job.styles]
    paintings = _paintings(job, sources)
    prepared = colour.prepare(job, photo, paintings, weights)
    brush = _brush(job, sources, prepared, context)
    yield Started(
        width, height, 0, str(context.device), str(brush.network.dtype).removeprefix("torch."), brush.name,
        prepared.photo, [Scale(height, width, 1)],
    )  # fmt: skip
    painted = _pass(brush, prepared.photo)
    yield Finished(finished_picture(prepared.restore(painted), sources.content), NOTHING, 0)


def _pass(brush: Brush, photo: Tensor) -> Tensor:
    """The photo (1, 3, H, W) painted, clipped, on the network's device."""
    network = brush.network
    height, width = photo.shape[-2:]
    whole = pad(photo, (0, -width % LATTICE, 0, -height % LATTICE), "reflect")
    painted = network.paint(whole, network.affines(brush.condition))[..., :height, :width].clamp(0, 1)
    return painted if brush.opacity == 1 else photo.to(painted).lerp(painted, brush.opacity)


# ---------------------------------------------------------------------------------------------- styles


def _paintings(job: Stylize, sources: Sources) -> Sequence[Tensor]:
    """The paintings' pixels when the colours ask for them."""
    if job.color in ("style", "content") or not job.color_amount:
        return []
    return [_trimmed(job, picture).pixels for picture in sources.styles]


def _trimmed(job: Stylize, painting: Picture) -> Picture:
    if job.style_margin == "keep":
        return painting
    return replace(painting, pixels=without_margin(painting.pixels))


def _brush(job: Stylize, sources: Sources, prepared: colour.Prepared, context: Context) -> Brush:
    first, device, dtype = job.styles[0].path, context.device, torch.float32
    if not is_network(first):
        network = shelf.network(None, "", device, dtype)
        vector = _style_vector(job, sources, prepared)
        return Brush(network, vector, 1.0, f"{embedded.PACKAGE} {embedded.VERSION}")
    if BUILTIN.fullmatch(first):
        network = shelf.network(first, "", device, dtype)
        return Brush(network, _mixture(job), job.strength, f"{embedded.PACKAGE} {embedded.VERSION}")
    if len(job.styles) > 1:
        raise InputError(f"--style {first} is a network of its own and cannot be blended: give it alone")
    version = sha256_of(Path(first)) if Path(first).is_file() else ""
    network = shelf.network(first, version, device, dtype)
    names = network.settings.conditions
    known = {"strength": job.strength, "stroke_size": math.log2(job.stroke_size / 100)}
    condition = torch.tensor([known.get(name, 0.0) for name in names]) if names else None
    return Brush(network, condition, 1.0 if "strength" in names else job.strength, first)


def _mixture(job: Stylize) -> Tensor:
    """The weights of the built-in styles, (26), that add up to 1."""
    mixture = torch.zeros(embedded.STYLES)
    for style in job.styles:
        found = BUILTIN.fullmatch(style.path)
        assert found is not None, "jobs check that styles are of one kind"
        number = int(found[1])
        if number >= embedded.STYLES:
            raise InputError(f"--style {style.path}: there are builtin:0 to builtin:{embedded.STYLES - 1}")
        mixture[number] += style.weight
    return mixture / mixture.sum()


def _style_vector(job: Stylize, sources: Sources, prepared: colour.Prepared) -> Tensor:
    """The paintings' style vectors by weight, and the photo's own for the rest of the strength."""
    changed = (
        prepared.paintings
        if colour.changes(job) and job.color in ("match", "histogram", "luminance")
        else None
    )
    total = sum(style.weight for style in job.styles)
    blended = torch.zeros(embedded.VECTOR)
    for index, style in enumerate(job.styles):
        vector = predict(changed[index]) if changed else _known_vector(job, sources, index)
        blended += style.weight / total * vector
    if job.strength == 1:
        return blended
    return predict(prepared.photo).lerp(blended, job.strength)


def _known_vector(job: Stylize, sources: Sources, index: int) -> Tensor:
    """A painting's vector, kept by its content where that is known without reading the picture."""

    def made() -> Tensor:
        return predict(_trimmed(job, sources.styles[index]).pixels)

    if not isinstance(sources.styles, Paintings):
        return made()
    return shelf.vector((sources.styles.unread[index].digest, job.style_margin), made)


@torch.inference_mode()
def predict(painting: Tensor) -> Tensor:
    """The style vector (100) of a painting (1, 3, H, W)."""
    height, width = painting.shape[-2:]
    factor = PREDICTED / min(height, width)
    rows, columns = (min(LONGEST, max(1, round(side * factor))) for side in (height, width))
    return shelf.predictor()(resize(painting.cpu(), rows, columns, "lanczos"))[0]
