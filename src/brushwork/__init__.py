"""Brushwork paints a photo in the manner of any artwork."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brushwork.api import Result, stylize
    from brushwork.errors import BrushworkError
    from brushwork.events import Checkpoint, Event, Finished, Losses, Progress, Started
    from brushwork.images import Picture, read_picture
    from brushwork.jobs import Stylize
    from brushwork.runner import run
    from brushwork.styles import Style

__version__ = "0.1.0"

# No module may bear the name of one of these: importing it would put the module in its place.
_HOMES = {
    "BrushworkError": "errors",
    "Checkpoint": "events",
    "Event": "events",
    "Finished": "events",
    "Losses": "events",
    "Picture": "images",
    "Progress": "events",
    "Result": "api",
    "Started": "events",
    "Style": "styles",
    "Stylize": "jobs",
    "read_picture": "images",
    "run": "runner",
    "stylize": "api",
}

__all__ = [
    "BrushworkError",
    "Checkpoint",
    "Event",
    "Finished",
    "Losses",
    "Picture",
    "Progress",
    "Result",
    "Started",
    "Style",
    "Stylize",
    "read_picture",
    "run",
    "stylize",
]


def __getattr__(name: str) -> object:
    # Importing torch takes seconds; `brushwork --help` and `import brushwork` do without it.
    if name not in _HOMES:
        raise AttributeError(f"module 'brushwork' has no attribute {name!r}")
    return getattr(import_module(f"brushwork.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
