"""Jobs as commands that can be typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from brushwork.fields import flag


def option_words(options: Mapping[str, Any]) -> list[str]:
    """A job's options as words of a command, not yet quoted.

    A list gives its flag for each value, a dictionary for each ``name:value``, a switch that is off
    ``--no-…``, None nothing.
    """
    words: list[str] = []
    for name, value in options.items():
        if isinstance(value, bool):
            words.append(flag(name if value else f"no_{name}"))
            continue
        for text in map(str, _values(value)):
            # A value that begins with a dash would be read as a flag.
            words += [f"{flag(name)}={text}"] if text.startswith("-") else [flag(name), text]
    return words


def place_word(path: str) -> str:
    """A file as a word of a command: not taken for a flag; ``-`` alone is standard input or output."""
    return f"./{path}" if path.startswith("-") and path != "-" else path


def _values(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return [f"{name}:{each}" for name, each in cast("Mapping[object, object]", value).items()]
    if isinstance(value, (list, tuple)):
        return cast("Iterable[object]", value)
    return [] if value is None else [value]
