"""What a user names as a style: a painting, a built-in one or a network's file, and its weight."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

from pydantic import BeforeValidator, Field, ValidationError

from brushwork.errors import InputError
from brushwork.fields import Frozen

BUILTIN = re.compile(r"builtin:(\d+)")
NETWORK_SUFFIXES = (".safetensors", ".pth", ".pt", ".model")


def is_network(style: str) -> bool:
    """Whether a style is a network's, built in or a file, and no painting."""
    return bool(BUILTIN.fullmatch(style)) or style.lower().endswith(NETWORK_SUFFIXES)


class Style(Frozen):
    """A painting and its weight among several."""

    path: str = Field(min_length=1)
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)


def check_networks(styles: Sequence[Style], weights: str | None) -> None:
    """Raise ValueError for a network beside another kind of style, or with a painting's ``weights``."""
    networks = [style.path for style in styles if is_network(style.path)]
    if not networks:
        return
    name = Path(networks[0]).name  # in a studio the folder is nobody's business
    if len({BUILTIN.sub("builtin", style.path) for style in styles}) > 1:
        raise ValueError(
            f"--style {name} cannot be blended with another kind: several paintings can, or builtin:N"
        )
    if weights:
        raise ValueError(f"--weights is for paintings, and {name} is a network of its own: leave it out")


def _styles(value: object) -> object:
    """Read ``ART[:WEIGHT]``; a name that itself ends in ``:7`` must be given with its weight."""
    items = [value] if isinstance(value, (str, Style)) else value
    if not isinstance(items, (list, tuple)):
        return items
    return tuple(_style(item) if isinstance(item, str) else item for item in cast("list[object]", items))


def _style(text: str) -> Style:
    path, _, weight = text.rpartition(":")
    if BUILTIN.fullmatch(text):
        return Style(path=text)
    if not text:
        raise InputError("a style without a name: write ART or ART:2")
    try:
        return Style(path=path, weight=float(weight)) if path else Style(path=text)
    except ValidationError:
        raise InputError(f"style weight {weight!r} of {text!r} is not above 0: write ART:2") from None
    except ValueError:
        return Style(path=text)  # a colon of the path itself, as in C:\art.jpg


Styles = Annotated[tuple[Style, ...], BeforeValidator(_styles)]
"""The field of a job that takes one or several."""
