"""Command-line flags derived from the fields of a job: nothing about an option is written here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter as Argument
from inspect import Signature, signature
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from brushwork.errors import InputError
from brushwork.fields import Frozen, flag
from brushwork.jobs import Settings
from brushwork.recipes import read_recipe

SHORT = {"output": ["-o"]}
_SHIELDED = "\N{HYPHEN}"  # looks the same in a message


def switch(help: str, **more: Any) -> Parameter:
    """What is off unless it is typed."""
    return Parameter(help=help, negative=(), show_default=False, **more)


Json = Annotated[bool, switch("one JSON object on stdout", name="--json")]
Quiet = Annotated[bool, switch("no progress")]
Overwrite = Annotated[bool, switch("replace files that exist")]


def with_options(command: Callable[..., Any], groups: dict[str, dict[str, FieldInfo]]) -> Callable[..., Any]:
    """Give ``command`` one keyword-only parameter for each field, None when not typed.

    ``groups`` maps a heading of the help page to fields. Values arrive as text: the models check them, so
    that a bad one is told in the same words everywhere.
    """
    own = signature(command, eval_str=True).parameters.values()
    recipe, look = read_recipe("default").settings, Settings.model_fields
    flags: dict[str, Argument] = {}
    for order, (heading, fields) in enumerate(groups.items()):
        group = Group(heading, sort_key=order + 1)
        flags |= {
            # Another model's option of the same name is none of the recipe's.
            name: _argument(
                name,
                field,
                recipe.get(name, field.default) if field is look.get(name) else field.default,
                group,
            )
            for name, field in fields.items()
        }
    parameters = [*(p for p in own if p.kind is not Argument.VAR_KEYWORD), *flags.values()]

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    wrapper.__signature__ = Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _argument(name: str, field: FieldInfo, default: object, group: Group) -> Argument:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    metavar = str(extra.get("metavar", "")) or "|".join(_choices(field))
    is_switch, is_several = field.annotation is bool, get_origin(field.annotation) in (dict, tuple)
    kind = bool | None if is_switch else list[str] | None if is_several else str | None
    parameter = Parameter(
        name=[flag(name), *SHORT.get(name, [])],
        help=f"{field.description}{_default(default)}",
        metavar=metavar or None,
        # What is on by default, or may be by a recipe, can be switched off.
        negative=flag("no-" + name) if is_switch and _may_be_on(name, field) else (),
        show_default=False,
        group=group,
        consume_multiple=False,
    )
    return Argument(name, Argument.KEYWORD_ONLY, default=None, annotation=Annotated[kind, parameter])


def _may_be_on(name: str, field: FieldInfo) -> bool:
    return field.default is True or name in Settings.model_fields


def _choices(field: FieldInfo) -> list[str]:
    is_choice = get_origin(field.annotation) is Literal
    return [str(choice) for choice in get_args(field.annotation)] if is_choice else []


def _default(value: object) -> str:
    """What holds when the option is not typed: with the recipe ``default``."""
    if value in (None, ()) or value is PydanticUndefined or isinstance(value, bool):
        return ""
    if isinstance(value, dict):
        pairs = cast("dict[str, float]", value).items()
        value = " ".join(f"{name}:{weight:g}" for name, weight in pairs)
    if isinstance(value, tuple):
        value = " ".join(f"{each:g}" for each in cast("tuple[float, ...]", value))
    return f" [{value}]"


def shield(arguments: list[str]) -> list[str]:
    """Spell ``-`` so that cyclopts takes it for a value and not for an option; ``typed`` puts it back."""
    return [_SHIELDED if argument == "-" else argument for argument in arguments]


def is_dash(text: str | None) -> bool:
    """Whether ``-`` was typed, of a value that does not go through ``typed``."""
    return text == _SHIELDED


def typed(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were typed."""
    return {name: _unshielded(value) for name, value in options.items() if value is not None}


def _unshielded(value: Any) -> Any:
    if isinstance(value, list):
        return [_unshielded(each) for each in cast("list[Any]", value)]
    return "-" if value == _SHIELDED else value


def require(needed: Mapping[str, object], usage: str) -> None:
    """Raise InputError for the first of the things to type that is not there."""
    for name, value in needed.items():
        if value is None:
            raise InputError(f"{name} is missing: {usage}")


def of_model(model: type[Frozen], options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that are fields of ``model``."""
    return {name: value for name, value in options.items() if name in model.model_fields}
