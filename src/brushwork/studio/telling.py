"""What every tab needs of Gradio: mistakes in plain words, and whose browser it is."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from brushwork.errors import BrushworkError
from brushwork.studio.controls import plain
from brushwork.studio.guard import EVERYBODY

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# For what the page asks by itself, often several things at once: an event that joins Gradio's queue while its
# stream of answers is being closed is never answered (4 of 40 reloads on a busy machine). Mistakes of these
# are not shown by Gradio.
SILENT: dict[str, Any] = {**QUIET, "queue": False, "preprocess": False}


@contextmanager
def telling() -> Generator[None]:
    """Show a mistake in the page, in its own words."""
    try:
        yield
    except BrushworkError as error:
        raise gr.Error(sentence(error), print_exception=False, title="") from error


def sentence(error: BrushworkError) -> str:
    """A mistake as the page says it: its controls have names, not flags."""
    text = plain(str(error))
    return text[:1].upper() + text[1:]


def owner(request: gr.Request) -> str:
    """Whose browser it is."""
    return request.username or EVERYBODY
