"""Which files a user wants from a run."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from brushwork.fields import Frozen, option


class Wanted(Frozen):
    """The files to write; they do not change the picture, so they are no part of the job."""

    output: str | None = option("the result; '-' is standard output [PHOTO-ART.png]", "OUT", default=None)
    overwrite: bool = option("replace files that exist", default=False)
    metadata: bool = option("write the job into the picture, for --from", default=True)
    quality: int = option("of JPEG, WebP, AVIF and HEIC", "1..100", default=95, ge=1, le=100)
    trace: str | None = option("one JSON line an evaluation", "FILE.jsonl", default=None)
    record: str | None = option(
        "film of the optimisation, or a folder of NAME_at_iteration_N.png", "FILE.mp4|DIR", default=None
    )
    grid: str | None = option("contact sheet of the snapshots", "FILE.png", default=None)
    plot: str | None = option("loss curves", "FILE.png", default=None)
    comparison: str | None = option("photo and painting above the result", "FILE.png", default=None)
    preview: str | None = option(
        "the picture so far, for a viewer that reloads: renewed every two seconds", "FILE", default=None
    )
    high_pass: str | None = option("edges of the photo and of the result", "FILE.png", default=None)
    run_dir: str | None = option(
        "folder for `brushwork resume`, kept when the run is done [OUT.run, removed then]",
        "DIR",
        default=None,
    )
    checkpoint_every: float = option(
        "seconds between the states that `brushwork resume` goes on from, 0 for none",
        "SECONDS",
        default=30,
        ge=0,
        allow_inf_nan=False,
    )

    @model_validator(mode="after")
    def _check_run_dir(self) -> Self:
        if self.run_dir is not None and not self.checkpoint_every:
            raise ValueError("--run-dir with --checkpoint-every 0 would stay empty: leave one of them out")
        return self
