"""A checkpoint as one file: its tensors as safetensors, the rest as JSON in the header, and a checksum."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from brushwork.errors import InputError, OutputError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain data so that ``path`` is the old file or the whole new one.

    Floats come back to the last bit. Raises OutputError; the old file is then untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    seen: dict[tuple[Any, ...], int] = {}
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(state, tensors, seen))
    header = {"state": text, "crc32": str(_checksum(text, tensors))}
    temporary = path.with_suffix(".part")
    try:
        save_file(tensors, temporary, header)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix("Error while ")
        raise OutputError(f"{path}: {reason}") from error


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote. Raises InputError when it is not there or not as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            header: dict[str, str] = file.metadata() or {}
            # Copies: what is mapped from a file lies at odd addresses, where some kernels round otherwise.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if header["crc32"] != str(_checksum(header["state"], tensors)):
            raise ValueError("checksum")
        return _unpack(json.loads(header["state"]), tensors)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: there is nothing to go on from; start the job anew") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged: start the job anew") from error


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    crc = zlib.crc32(text.encode())
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc


def _pack(value: Any, tensors: dict[str, Tensor], seen: dict[tuple[Any, ...], int]) -> Any:
    """Plain JSON for a tree of data; its tensors go to ``tensors``, each but once."""
    if isinstance(value, Tensor):
        return _pack_tensor(value, tensors, seen)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {"dict": {key: _pack(item, tensors, seen) for key, item in items}}
    if isinstance(value, (list, tuple)):
        packed = [_pack(item, tensors, seen) for item in cast("list[Any]", value)]
        return {"tuple": packed} if isinstance(value, tuple) else packed
    return value


def _pack_tensor(value: Tensor, tensors: dict[str, Tensor], seen: dict[tuple[Any, ...], int]) -> Any:
    key = (value.data_ptr(), value.dtype, *value.shape, *value.stride())
    if key not in seen:
        seen[key] = len(seen)
        tensors[str(seen[key])] = value.detach().cpu().contiguous()
    return {"tensor": str(seen[key]), "channels_last": _is_channels_last(value)}


def _is_channels_last(value: Tensor) -> bool:
    # The order in memory decides which convolution runs, and so the last bits.
    is_so = value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last)
    return is_so and not value.is_contiguous()


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The tree that ``_pack`` took apart."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    node = cast("dict[str, Any]", value)
    if "dict" in node:
        return {key: _unpack(item, tensors) for key, item in node["dict"].items()}
    if "tuple" in node:
        return tuple(_unpack(item, tensors) for item in node["tuple"])
    tensor = tensors[node["tensor"]]
    return tensor.contiguous(memory_format=torch.channels_last) if node["channels_last"] else tensor
