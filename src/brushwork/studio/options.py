"""What `brushwork studio` is started with."""

from __future__ import annotations

from brushwork.fields import Frozen, option


class Options(Frozen):
    """The web page: where it listens, where it keeps things, and what it takes in."""

    port: int = option("port of the page", "N", default=7860, ge=0, le=65535)
    folder: str = option(
        "folder that keeps uploads and results", "DIR", default="~/brushwork-studio", min_length=1
    )
    listen: bool = option(
        "answer other machines too; needs --auth-file, or NAME:PASSWORD in the environment variable "
        "BRUSHWORK_STUDIO_AUTH",
        default=False,
    )
    auth_file: str | None = option(
        "file with one NAME:PASSWORD a line, of who may use the page", "FILE", default=None
    )
    max_upload: int = option("largest file to take in, in megabytes", "MB", default=50, ge=1, le=10_000)
    max_pixels: int = option("refuse larger pictures", "N", default=50_000_000, ge=1)
    queue: int = option(
        "jobs at a time, done or waiting, of which one browser may have half",
        "N",
        default=64,
        ge=1,
        le=10_000,
    )
    photos: str | None = option(
        "folder of photos that networks may be trained on, for those who give none of their own",
        "DIR",
        default=None,
    )
    threads: int | None = option("processor threads of each job", "N", default=None, ge=1, le=1024)
