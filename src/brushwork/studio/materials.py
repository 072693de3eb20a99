"""Pictures on their way between a page and the desk: what was dropped, and what is shown of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gradio as gr

from brushwork.errors import InputError
from brushwork.studio.desk import Desk
from brushwork.studio.folder import SHOWN
from brushwork.studio.telling import owner, telling

ID = re.compile(r"([0-9a-f]{32})\.webp")


class Materials:
    """Takes pictures in for a tab, and shows small versions of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def take(self, sent: Any, request: gr.Request) -> str:
        """Take in a picture that the browser has sent, unless it is one of ours; its small version's path."""
        if id := id_of(sent):
            return self.small(id)
        with telling():
            upload = self.desk.upload(Path(sent["path"]), sent.get("orig_name") or "", owner(request))
        return self.small(upload.id)

    def small(self, id: str) -> str:
        """Where the small version of a picture is."""
        return str(self.desk.folder.thumbnail(id))

    def sample(self, name: str) -> str:
        """The small version of a picture that ships with Brushwork."""
        with telling():
            return self.small(self.desk.sample(name).id)

    def known(self, id: str | None, request: gr.Request) -> str | None:
        """The small version of what was taken in once; None when it is not there any more."""
        try:
            return self.small(self.desk.folder.upload(id or "", owner(request)).id)
        except InputError:
            return None


def offer(label: str, names: dict[str, str]) -> gr.Radio:
    """Samples to choose from."""
    return gr.Radio(list(names), label=label, elem_classes="bw-samples")


def ids_of(sent: Any) -> list[str]:
    """The ids of our pictures in a gallery, as the browser sends it back."""
    return [id for item in sent or [] if (id := id_of(item["image"]))]


def id_of(sent: Any) -> str | None:
    """The id of one of our pictures, as the browser sends it back."""
    place = Path((sent or {}).get("path") or "")
    found = ID.fullmatch(place.name)
    # A file of such a name that someone drops lies elsewhere.
    return found[1] if found and place.parent.name == SHOWN else None
