"""Brushwork's networks as safetensors files, whose header says of what they are built and what made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # they read their own headers
    from brushwork.feedforward.stylenet import StyleNet
    from brushwork.feedforward.unet import UNet


def to_bytes(network: StyleNet | UNet, about: Mapping[str, Any] | None = None) -> bytes:
    """The network as a safetensors file; settings and ``about`` (plain data) are JSON in its header."""
    from safetensors.torch import save

    header = {
        "format": network.format,
        "settings": network.settings.model_dump_json(),
        "about": json.dumps(dict(about or {})),
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return save(state, header)


def header_of(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; nothing for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}
