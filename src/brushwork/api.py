"""The Python door: build a job, drain its events, return a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from brushwork.encode import format_of, save_picture, to_image
from brushwork.errors import InputError
from brushwork.events import Losses, finished
from brushwork.fields import build
from brushwork.images import Picture, Source
from brushwork.jobs import Stylize
from brushwork.outputs import files
from brushwork.runner import run, sources_of
from brushwork.styles import Style

if TYPE_CHECKING:
    from PIL.Image import Image

IN_MEMORY = "(in memory)"


@dataclass(frozen=True)
class Result:
    """A painted picture, the weighted losses it ended with, and the job that made it."""

    picture: Picture
    losses: Losses
    job: Stylize

    @property
    def image(self) -> Image:
        """The picture as an 8-bit PIL image, with the photo's alpha if it had one."""
        return to_image(self.picture.pixels, self.picture.alpha, rounding=self.job.rounding)

    def save(self, path: str | Path, *, overwrite: bool = False, quality: int = 95) -> Path:
        """Write the picture, without the job that the command line writes into it for ``--from``.

        The suffix decides the format. Raises OutputError, InputError.
        """
        place = Path(path)
        kind = format_of(place)
        files.check_place(place, overwrite=overwrite)
        save = partial(save_picture, self.picture, kind, quality=quality, rounding=self.job.rounding)
        files.write(place, save)
        return place


def stylize(
    content: Source,
    styles: Source | Style | tuple[Source, float] | Sequence[Source | Style | tuple[Source, float]],
    **options: Any,
) -> Result:
    """Paint a photo in the manner of one or several paintings.

    ``content`` and each style are a path, a ``Picture``, a PIL image, an array (H, W, 3) or a tensor
    (3, H, W); a style may be a pair with its weight, or a ``Style``. ``options`` are the settings of
    ``Stylize``: size=1024, strength=0.7 … Raises BrushworkError for what the caller can mend.
    """
    pairs = _pairs(styles)
    named = [{"path": _name(style), "weight": weight} for style, weight in pairs]
    job = build(Stylize, {"content": _name(content), "styles": named, **options})

    sources = sources_of(job, content, [style for style, _ in pairs])
    result = finished(run(job, sources))
    return Result(result.picture, result.losses, job)


def _pairs(styles: Any) -> list[tuple[Source, float]]:
    is_pair = isinstance(styles, tuple) and len(styles) == 2 and isinstance(styles[1], (int, float))
    several = [styles] if is_pair or not isinstance(styles, (list, tuple)) else styles
    if not several:
        raise InputError("no style: give at least one painting")
    return [_pair(style) for style in several]


def _pair(style: Any) -> tuple[Source, float]:
    if isinstance(style, Style):
        return style.path, style.weight
    if isinstance(style, tuple) and len(cast("tuple[Any, ...]", style)) != 2:
        raise InputError("a style is a painting, or a painting and its weight: (art, 2.0)")
    return style if isinstance(style, tuple) else (style, 1.0)


def _name(source: Source) -> str:
    return str(source) if isinstance(source, (str, Path)) else IN_MEMORY
