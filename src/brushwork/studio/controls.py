"""Controls made from a job's fields: name, help, bounds and default are the field's."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, cast

import gradio as gr

from brushwork.jobs import ONE_PASS, STARTS, Settings, Stylize
from brushwork.recipes import names, read_recipe
from brushwork.studio.orders import OFFERED, usual

MAIN = ("size", "strength", "stroke_size", "color", "recipe", "seed")
UNSEEN = {
    "snapshot_every",
    "snapshot_offset",
    "snapshot_start",
}  # of films and sheets, which have no place yet
ADVANCED = tuple(name for name in OFFERED if name not in {*MAIN, *UNSEEN})
LISTS = ("array", "object")


FLAG = re.compile(r"--([a-z-]+)")
"""How a help text names another option on the command line."""


def label(name: str) -> str:
    """A field's name to read."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def _help(text: str) -> str:
    """A field's help in the words of the page, which takes no files for options."""
    text = re.sub(r",? or a (TOML|picture) file( of one's own)?", "", text)
    return FLAG.sub(lambda found: label(found[1]).lower(), text)


Control = gr.Dropdown | gr.Slider | gr.Number | gr.Textbox | gr.Checkbox


@cache
def _schema() -> dict[str, dict[str, Any]]:
    return Stylize.model_json_schema()["properties"]


def control(name: str) -> Control:
    """The control of one field, with the default recipe's value."""
    schema = _schema()[name]
    about: dict[str, Any] = {
        "label": label(name),
        "info": _help(schema.get("description", "")),
        "value": shown(name, usual("default")[name]),
        "elem_id": f"control-{name}",
    }
    if choices := _choices(name):
        return gr.Dropdown(choices, **about)
    kinds = [schema, *schema.get("anyOf", [])]
    if schema.get("type") == "boolean":
        return gr.Checkbox(**about)
    number = next((kind for kind in kinds if kind.get("type") in ("integer", "number")), None)
    if number is None or any("const" in kind for kind in kinds):
        return gr.Textbox(**about, placeholder=schema.get("metavar"), max_lines=3)
    return _number(number, about)


def _choices(name: str) -> list[str | tuple[str, str]]:
    if name == "recipe":
        return [(f"{recipe}: {read_recipe(recipe).description}", recipe) for recipe in names()]
    return list(STARTS) if name == "init" else _schema()[name].get("enum", [])


def _number(schema: dict[str, Any], about: dict[str, Any]) -> Control:
    whole = schema["type"] == "integer"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is not None and high is not None and high - low <= 1000:
        return gr.Slider(low, high, step=1 if whole or high > 1 else 0.01, buttons=[], **about)
    return gr.Number(minimum=low, maximum=high, precision=0 if whole else None, **about)


def shown(name: str, value: Any) -> Any:
    """A field's value as its control holds it."""
    if isinstance(value, dict):
        return " ".join(f"{key}:{weight:g}" for key, weight in cast("dict[str, float]", value).items())
    if isinstance(value, (list, tuple)):
        return " ".join(f"{each:g}" for each in cast("list[float]", value))
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
    changed = {name: value for name, value in given.items() if not _same(value, shown(name, same[name]))}
    return {name: _parsed(name, value) for name, value in changed.items()}


def _same(value: Any, other: Any) -> bool:
    return value == other or str(value).strip() == str(other)


def _parsed(name: str, value: Any) -> Any:
    return value.split() if _schema()[name].get("type") in LISTS and isinstance(value, str) else value
