"""An optimiser's state: its fields, whatever they are, as long as they are tensors and plain data."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

import torch
from torch import Tensor

from brushwork.errors import InputError


def take(optimizer: Any) -> dict[str, Any]:
    """The fields of an optimiser (a dataclass) by name; the tensors are its own, not copies.

    A field is a tensor, number, text, None, or a list, tuple or dict of such.
    """
    return {name: getattr(optimizer, name) for name in _names(optimizer)}


def give(optimizer: Any, state: dict[str, Any], device: torch.device) -> None:
    """Set an optimiser's fields to what ``take`` gave, on ``device``.

    Tensors that are fields themselves are copied: an optimiser changes them in place, and a state may be gone
    on from twice. Raises InputError when the fields are not the same, as after a change of the program.
    """
    if set(_names(optimizer)) != state.keys():
        raise InputError("the optimiser's state is of another version of brushwork: start the job anew")
    for name, value in state.items():
        is_own = isinstance(value, Tensor)
        setattr(optimizer, name, value.to(device, copy=True) if is_own else _to(value, device))


def _names(optimizer: Any) -> list[str]:
    return [field.name for field in fields(optimizer) if field.metadata.get("state", True)]


def _to(value: Any, device: torch.device) -> Any:
    """The same data with every tensor on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _to(item, device) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        items = [_to(item, device) for item in cast("list[Any]", value)]
        return tuple(items) if isinstance(value, tuple) else items
    return value
