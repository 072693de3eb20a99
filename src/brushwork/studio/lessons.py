"""What a page or a client asks to be trained becomes a job: ids become files."""

from __future__ import annotations

import shlex
from typing import Any

from brushwork.command import option_words
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.studio.folder import Folder, Ticket
from brushwork.training.jobs import StyleNetTrain

HOSTS = {"device", "precision", "threads", "weights"}
"""What the studio's host decides and no guest."""
FILES = {"photos", "style", "from_network", "freeze"}
OFFERED = [name for name in StyleNetTrain.model_fields if name not in {*HOSTS, *FILES}]
FEWEST = 2  # photos: one to learn from and one to judge by


def lesson_of(ticket: Ticket, folder: Folder, machine: dict[str, Any], photos: str | None) -> StyleNetTrain:
    """The training of a ticket; ``photos`` is the host's folder, for those who give none of their own.

    Raises InputError for options that are none.
    """
    options = {name: value for name, value in ticket.options.items() if value is not None}
    style = folder.upload(str(options.pop("style", "")), ticket.owner)
    given = set(options.pop("photos", ()))
    own = folder.job_folder(ticket.id) / "photos" if given else photos
    for name in options.keys() - {*OFFERED}:
        raise InputError(f"there is no setting {name!r} for a training in the studio")
    if len(given) == 1:
        raise InputError(f"one photo is not enough to learn from: give {FEWEST} for a look, or hundreds")
    if own is None:
        raise InputError(
            f"drop photos to learn from: {FEWEST} at least for a look, hundreds for a good network"
        )
    machine = {name: machine[name] for name in HOSTS & machine.keys() if machine[name] is not None}
    return build(
        StyleNetTrain, {"photos": str(own), "style": str(folder.upload_file(style)), **options, **machine}
    )


def as_command(ticket: Ticket, folder: Folder) -> str:
    """The training as a command line, with the users' own file names."""
    painting = folder.upload(ticket.options["style"], ticket.owner).name
    options = {name: value for name, value in ticket.options.items() if name in OFFERED}
    places = ["PHOTOS", *option_words({"style": painting}), "-o", "network.safetensors"]
    return shlex.join(["brushwork", "train", "stylenet", *places, *option_words(options)])
