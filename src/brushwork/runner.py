"""A job becomes events."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from brushwork.context import Context, context_for, repeatable
from brushwork.encoders import VGG19
from brushwork.events import Checkpoint, Event
from brushwork.feedforward import translate
from brushwork.feedforward.engine import paint as paint_at_once
from brushwork.feedforward.engine import start_for
from brushwork.feedforward.paintings import Painting, Paintings
from brushwork.huge import is_huge, read_shrunk
from brushwork.images import Picture, Source, Sources, read_picture
from brushwork.jobs import STARTS, Stylize
from brushwork.optimize.engine import paint, scales_of, trimmed
from brushwork.optimize.fitted import plans_of
from brushwork.optimize.plan import Plan
from brushwork.optimize.scales import Scale, is_too_long, result_size
from brushwork.optimize.variants import shrunk, size_kept
from brushwork.styles import is_network


def run(
    job: Stylize,
    sources: Sources | None = None,
    state: Checkpoint | None = None,
    *,
    encoder: VGG19 | None = None,
) -> Generator[Event]:
    """Run a job; yields its events. Closing the generator cancels.

    ``sources`` are the pictures when they are in memory; without them the job's files are read.
    ``state`` is where an earlier run of the same job stopped, ``encoder`` the job's network when it is
    loaded already.
    Raises BrushworkError for what the user can mend.
    """
    context = context_for(job)
    repeatable(exact=job.precision == "float32")
    pictures = sources or read_sources(job)
    if job.engine == "feedforward":
        at_once = translate.paint if translate.translates(job) else paint_at_once
        yield from at_once(job, pictures, context)
        return
    if job.init == "feedforward" and state is None:
        pictures = replace(pictures, init=start_for(job, pictures, context))
    if encoder is None:
        encoder = VGG19.load(job.weights, pooling=job.pooling, dtype=context.dtype, device=context.device)
    yield from paint(job, pictures, encoder, context, state)


def read_sources(job: Stylize, *, content: bytes | None = None, whole: bool = False) -> Sources:
    """Read the job's pictures; ``content`` is the photo's file when it came from elsewhere than a path.

    Raises InputError for one that cannot be read.
    """
    given = job.content if content is None else content
    return sources_of(job, given, [style.path for style in job.styles], whole=whole)


def sources_of(job: Stylize, content: Source, styles: Sequence[Source], *, whole: bool = False) -> Sources:
    """Read a job's pictures, each of ``styles`` unless it is a network's.

    The photo is no larger than the job needs it, unless it is to be ``whole``, for other jobs too.

    The engine that paints at once looks at paintings only when it does not know them yet. Raises InputError
    for a picture that cannot be read.
    """
    size = None if job.size == "original" or job.rows else job.size
    stroke = size and math.ceil(size * job.stroke_size / 100 * max(job.style_scales))
    paintings = [style for style in styles if _is_painting(style)]
    if job.engine == "feedforward":
        unread = [Painting(style, partial(_read, job, needed=stroke)) for style in paintings]
        return Sources(_read(job, content, size), Paintings(unread))
    init = None if job.init in STARTS else _read(job, job.init, size)
    photo = _read(job, content, size)
    return Sources(
        photo if whole else _as_needed(job, photo), [_read(job, style, stroke) for style in paintings], init
    )


def _is_painting(style: Source) -> bool:
    return not (isinstance(style, (str, Path)) and is_network(str(style)))


def _read(job: Stylize, source: Source, needed: int | None) -> Picture:
    """A picture of whose long side ``needed`` pixels are enough, None for all."""
    # Those that fit are read whole: a recipe's own filter sees every pixel.
    if isinstance(source, (str, Path)) and needed and is_huge(source, needed):
        return read_shrunk(source, needed)
    return read_picture(source, max_pixels=job.max_pixels)


def _as_needed(job: Stylize, photo: Picture) -> Picture:
    """A photo no larger than the result, since it is kept while that is painted.

    One of 27 megapixels takes 324 MB: `draft` at 512 pixels took 1.83 GB with it and takes 1.41. It stays as
    it is where a network paints the start from its detail, and where rounding would make another shape of it.
    """
    size = result_size(job, photo.size)
    if job.init == "feedforward" or job.tileable or is_too_long(size):
        return photo
    return shrunk(job, photo, size_kept(job, size, photo.size))


def divided(job: Stylize, context: Context) -> tuple[list[Scale], list[Plan]]:
    """A job's scales and how each is fitted into memory.

    Raises InputError, with the largest size that fits, when one is not.
    """
    sources = trimmed(job, read_sources(job))
    scales = scales_of(job, sources)
    return scales, plans_of(job, sources, scales, context)
