"""What every tab needs of Gradio: mistakes in plain words, and whose browser it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from brushwork.errors import BrushworkError
from brushwork.studio.guard import EVERYBODY

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@contextmanager
def telling() -> Generator[None]:
    """Show a mistake in the page, in its own words."""
    try:
        yield
    except BrushworkError as error:
        text = str(error)
        raise gr.Error(text[:1].upper() + text[1:], print_exception=False, title="") from error


def owner(request: gr.Request) -> str:
    """Whose browser it is."""
    return request.username or EVERYBODY
