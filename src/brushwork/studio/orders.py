"""What a page or a client asks for becomes a job: ids become files, unset options the recipe's."""

from __future__ import annotations

import json
import shlex
from typing import Any, cast

from brushwork.command import option_words, place_word
from brushwork.errors import InputError
from brushwork.fields import build
from brushwork.jobs import STARTS, Stylize, of_engine
from brushwork.recipes import names, read_recipe
from brushwork.studio.folder import Folder, Ticket
from brushwork.styles import BUILTIN

MACHINE = {"device", "precision", "backend", "threads", "memory", "tile", "weights", "max_pixels"}
"""What the studio's host decides and no guest: weights are a path, and the others are the machine's."""

OFFERED = [name for name in Stylize.model_fields if name not in {*MACHINE, "content", "styles"}]


def job_of(ticket: Ticket, folder: Folder, machine: dict[str, Any]) -> Stylize:
    """The job of a ticket, with the files of its uploads. Raises InputError for options that are none."""
    options = {name: value for name, value in ticket.options.items() if value is not None}
    for name in options.keys() - {*OFFERED, "content", "styles"}:
        raise InputError(f"there is no setting {name!r} in the studio")
    recipe = str(options.get("recipe", "default"))
    if recipe not in names():  # a file's name would be read from the host's disk
        raise InputError(f"no recipe {recipe!r}: choose from {', '.join(names())}")
    if options.get("init", "content") not in STARTS:
        raise InputError(f"init should be one of {', '.join(STARTS)}")
    content = folder.upload(str(options.pop("content", "")), ticket.owner)
    styles = [_style(style, folder, ticket.owner) for style in cast("list[str]", options.pop("styles", []))]
    machine = {name: value for name, value in machine.items() if value is not None}
    return build(
        Stylize, {"content": str(folder.upload_file(content)), "styles": styles, **options, **machine}
    )


def _style(style: str, folder: Folder, owner: str) -> str | dict[str, str]:
    if BUILTIN.fullmatch(str(style)):
        return style
    return {"path": str(folder.upload_file(folder.upload(str(style), owner)))}


def usual(recipe: str, engine: str = "optimize") -> dict[str, Any]:
    """What holds for each option that is not given."""
    defaults = {name: field.default for name, field in Stylize.model_fields.items() if name in OFFERED}
    return defaults | read_recipe(recipe).settings | of_engine(engine)


def as_command(ticket: Ticket, folder: Folder) -> str:
    """The job as a command line, with the users' own file names."""
    photo, arts, options = _named(ticket, folder)
    words = option_words({"styles": arts, **options})
    return shlex.join(["brushwork", "stylize", place_word(photo), *words])


def as_python(ticket: Ticket, folder: Folder) -> str:
    """The job as a program."""
    photo, arts, options = _named(ticket, folder)
    styles = repr(arts[0]) if len(arts) == 1 else repr(arts)
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    call = f"result = bw.stylize({photo!r}, {styles}{more})"
    return f'import brushwork as bw\n\n{call}\nresult.save("result.png")\n'


def names_of(ticket: Ticket, folder: Folder) -> dict[str, str]:
    """What the users called the files that a ticket's job reads, by their paths."""
    ids = [id for id in [ticket.options["content"], *ticket.options["styles"]] if not BUILTIN.fullmatch(id)]
    uploads = [folder.upload(id, ticket.owner) for id in dict.fromkeys(ids)]
    return {str(folder.upload_file(upload)): upload.name for upload in uploads}


def _named(ticket: Ticket, folder: Folder) -> tuple[str, list[str], dict[str, Any]]:
    options = json.loads(json.dumps(ticket.options))
    ids = [options.pop("content"), *options.pop("styles")]
    photo, *arts = (id if BUILTIN.fullmatch(id) else folder.upload(id, ticket.owner).name for id in ids)
    return photo, arts, options
