"""Controls made from a job's fields: name, help, bounds and default are the field's."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import gradio as gr

from brushwork.fields import Frozen
from brushwork.idle import ONE_PASS
from brushwork.jobs import STARTS, Settings, Stylize
from brushwork.recipes import names, read_recipe
from brushwork.studio.orders import OFFERED, usual
from brushwork.training.jobs import StyleNetTrain

MAIN = ("size", "strength", "stroke_size", "color", "recipe", "seed")
UNSEEN = {
    "snapshot_every",
    "snapshot_offset",
    "snapshot_start",
}  # of films and sheets, which have no place yet
ADVANCED = tuple(name for name in OFFERED if name not in {*MAIN, *UNSEEN})
LISTS = ("array", "object")


FLAG = re.compile(r"`[^`]*`|--([a-z-]+)")
"""How a help text or a message names another option; what stands in backquotes is a command to type."""


def label(name: str) -> str:
    """A field's name to read."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def plain(text: str) -> str:
    """A help text or a message in the words of the page, which takes no files for options."""
    text = re.sub(r",? or a (TOML|picture) file( of one's own)?", "", text)
    return FLAG.sub(lambda found: label(found[1]).lower() if found[1] else found[0], text)


Control = gr.Dropdown | gr.Slider | gr.Number | gr.Textbox | gr.Checkbox


@cache
def _schema(kind: type[Frozen]) -> dict[str, dict[str, Any]]:
    return kind.model_json_schema()["properties"]


def control(name: str) -> Control:
    """The control of a picture's field, with the default recipe's value."""
    return _control(name, Stylize, usual("default")[name], f"control-{name}")


def lesson_control(name: str) -> Control:
    """The control of a training's field, with its usual value."""
    return _control(name, StyleNetTrain, StyleNetTrain.model_fields[name].default, f"train-{name}")


def _control(name: str, kind: type[Frozen], value: Any, place: str) -> Control:
    schema = _schema(kind)[name]
    about: dict[str, Any] = {
        "label": label(name),
        "info": plain(schema.get("description", "")),
        "value": shown(name, value),
        "elem_id": place,
    }
    if choices := _choices(name, schema):
        return gr.Dropdown(choices, **about)
    kinds = [schema, *schema.get("anyOf", [])]
    if schema.get("type") == "boolean":
        return gr.Checkbox(**about)
    number = next((kind for kind in kinds if kind.get("type") in ("integer", "number")), None)
    if number is None or any("const" in kind for kind in kinds):
        return gr.Textbox(**about, placeholder=schema.get("metavar"), max_lines=3)
    return _number(number, about)


def _choices(name: str, schema: dict[str, Any]) -> list[str | tuple[str, str]]:
    if name == "recipe":
        return [(f"{recipe}: {read_recipe(recipe).description}", recipe) for recipe in names()]
    return list(STARTS) if name == "init" else schema.get("enum", [])


def _number(schema: dict[str, Any], about: dict[str, Any]) -> Control:
    whole = schema["type"] == "integer"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None and high is not None and high - low <= 1000:
        return gr.Slider(low, high, step=1 if whole or high > 1 else 0.01, buttons=[], **about)
    return gr.Number(
        minimum=low, maximum=high, step=schema.get("multipleOf", 1), precision=0 if whole else None, **about
    )


def shown(name: str, value: Any) -> Any:
    """A field's value as its control holds it."""
    if isinstance(value, dict):
        return " ".join(f"{key}:{weight:g}" for key, weight in cast("dict[str, float]", value).items())
    if isinstance(value, (list, tuple)):
        # What was typed is text, a recipe's are numbers.
        each_shown = (x if isinstance(x, str) else f"{x:g}" for x in cast("list[str | float]", value))
        return " ".join(each_shown)
    return str(value) if name == "size" else value


def asked(values: dict[str, Any]) -> dict[str, Any]:
    """What the controls ask for: only what differs from the recipe."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    engine = str(given.get("engine", "optimize"))
    if engine == "feedforward":
        given = {
            name: v for name, v in given.items() if name not in Settings.model_fields or name in ONE_PASS
        }
    same = usual(str(given.get("recipe", "default")), engine)
    return {name: _parsed(name, value) for name, value in _changed(given, same).items()}


def asked_lesson(values: dict[str, Any]) -> dict[str, Any]:
    """What the controls ask for of a training: only what is not as usual."""
    given = {name: value for name, value in values.items() if value not in (None, "")}
    return _changed(given, {name: StyleNetTrain.model_fields[name].default for name in given})


def _changed(given: dict[str, Any], same: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if not _same(value, shown(name, same[name]))}


def _same(value: Any, other: Any) -> bool:
    return value == other or str(value).strip() == str(other)


def _parsed(name: str, value: Any) -> Any:
    return value.split() if _schema(Stylize)[name].get("type") in LISTS and isinstance(value, str) else value
