"""A job's fields: how each is written once, checked, and told when it is wrong.

The command line derives its flags from them; ``metavar`` in ``json_schema_extra`` says how a value is typed.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from brushwork.errors import InputError

LAYER = r"block(1|2)_(conv[12]|pool)|block[345]_(conv[1-4]|pool)"


def option(help: str, metavar: str | None = None, **more: Any) -> Any:
    """A job's field with its help; ``metavar`` names its value on the command line."""
    return Field(description=help, json_schema_extra={"metavar": metavar} if metavar else None, **more)


def weighted(value: object) -> object:
    """Turn ``["block1_conv1:2", "block2_conv1"]`` into ``{"block1_conv1": 2, "block2_conv1": 1}``."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict) or not isinstance(value, (list, tuple)):
        return value
    pairs = (str(item).rpartition(":") for item in cast("list[object]", value))
    return {name or weight: (weight if name else 1.0) for name, _, weight in pairs}


def several(value: object) -> object:
    """One value, or several, as a tuple."""
    return tuple(cast("list[object]", value)) if isinstance(value, (list, tuple)) else (value,)


def number(value: object) -> object:
    """The command line's ``"255"`` as the number."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def bytes_of(value: object) -> object:
    """Read ``4GB`` or ``1500MB`` (powers of ten) as a number of bytes."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?B?)", value.strip().upper())
    if not found:
        raise ValueError("should be a number of bytes such as 4GB or 1500MB")
    return round(float(found[1]) * {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[found[2].rstrip("B")])


Layer = Annotated[str, Field(pattern=f"^({LAYER})$")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LayerWeights = Annotated[dict[Layer, Weight], BeforeValidator(weighted), Field(min_length=1)]
StyleScale = Annotated[float, Field(ge=0.1, le=10)]
Degrees = Annotated[float, Field(ge=-360, le=360)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Scales = Annotated[
    dict[Fraction, Annotated[float, Field(gt=0, allow_inf_nan=False)]],
    BeforeValidator(weighted),
    Field(min_length=1),
]


class Frozen(BaseModel):
    """A model that cannot change and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


Job = TypeVar("Job", bound=Frozen)


def build(kind: type[Job], options: dict[str, Any]) -> Job:
    """Build a job from plain values; a bad one raises InputError with the option, value and limit."""
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        problems: dict[str, list[Any]] = {}
        for problem in error.errors():
            problems.setdefault(str((problem["loc"] or ("",))[0]), []).append(problem)
        told = [_describe(kind, field, found) for field, found in list(problems.items())[:3]]
        raise InputError("; ".join(told)) from error


def _describe(kind: type[Frozen], field: str, problems: list[Any]) -> str:
    """What is wrong with one field: ``--option VALUE: why``, with the alternatives that it had."""
    if not field:
        return problems[0]["msg"].removeprefix("Value error, ")
    if problems[0]["type"] == "extra_forbidden":
        return _unknown(kind, problems[0]["loc"])
    # Of a tuple whose only item is wrong pydantic also says that it is empty.
    problems = [problem for problem in problems if problem["type"] != "too_short"] or problems
    why = " or ".join(dict.fromkeys(_reason(kind, field, problem) for problem in problems))
    value = "" if problems[0]["type"] in ("missing", "string_too_short") else f" {_value(problems[0])!s:.80}"
    return f"{flag(field) if field in kind.model_fields else field}{value}: {why}"


def _unknown(kind: type[Frozen], place: tuple[Any, ...]) -> str:
    """An unknown key, with the one that may be meant; one within a field's value has none of these names."""
    close = get_close_matches(str(place[-1]), kind.model_fields if not place[1:] else (), 1)
    remedy = f"is {close[0]} meant?" if close else "--help lists what there is"
    return f"there is no setting {place[-1]!r}: {remedy}"


def _value(problem: Any) -> object:
    """What was typed: of a weighted name, name and weight."""
    field, *inner = problem["loc"]
    is_weight = len(inner) == 1 and field in ("content_layers", "style_layers", "scales")
    return f"{inner[0]}:{problem['input']}" if is_weight else problem["input"]


def _reason(kind: type[Frozen], field: str, problem: Any) -> str:
    message = (
        problem["msg"].removeprefix("Value error, ").replace("Input should", "should").split(", unable")[0]
    )
    if problem["type"] == "string_too_short":
        return "is empty"
    if problem["type"] == "string_unicode":
        return "is no UTF-8: rename the file"
    if problem["type"] != "string_pattern_mismatch":
        return message
    if field.endswith("_layers"):
        return "is no layer of VGG19: block1_conv1 … block5_conv4, or block1_pool … block5_pool"
    extra = kind.model_fields[field].json_schema_extra
    return f"should be {extra['metavar']}" if isinstance(extra, dict) else message


FLAGS = {
    "styles": "style",
    "content_layers": "content-layer",
    "style_layers": "style-layer",
    "from_network": "from",
}


def flag(field: str) -> str:
    """The command-line flag of a field: ``styles`` is typed ``--style``, one painting at a time."""
    return "--" + FLAGS.get(field, field).replace("_", "-")
