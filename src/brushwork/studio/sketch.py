"""What is shown before the painting: a first picture in one pass, and what the work will take."""

from __future__ import annotations

import io
from collections import OrderedDict
from threading import Lock

from brushwork.jobs import Stylize
from brushwork.studio.folder import draw_id

SIZE = 512  # pixels of the first picture's long side
KEPT = 64  # pictures
COSTLY = {
    "content_layers",
    "style_layers",
    "style_loss",
    "optimizer",
    "pooling",
    "color",
    "tileable",
    "threads",
}
"""The settings that decide how long an evaluation of a pixel takes."""


class Sketches:
    """First pictures, kept in memory as WebP; the oldest are forgotten."""

    def __init__(self) -> None:
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._lock, self._brush = Lock(), Lock()
        self._a_pixel: dict[str, float] = {}  # seconds an evaluation takes for each, by the look

    def draw(self, job: Stylize) -> str:
        """Paint a job in one pass, and no larger than ``SIZE``; returns the picture's id."""
        from brushwork.encode import to_image
        from brushwork.events import finished
        from brushwork.runner import run

        with self._brush:  # one at a time
            picture = finished(run(_quick(job))).picture
        to_image(picture.pixels).save(stream := io.BytesIO(), "WEBP", quality=85)
        with self._lock:
            self._pictures[id := draw_id()] = stream.getvalue()
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        return id

    def picture(self, id: str) -> bytes | None:
        """A first picture as WebP."""
        return self._pictures.get(id)

    def foretell(self, job: Stylize) -> str:
        """Memory and time that a job will take, in words. Raises InputError when it does not fit."""
        from brushwork.context import context_for
        from brushwork.encoders import VGG19
        from brushwork.optimize.forecast import calibrate, forecast, in_words
        from brushwork.runner import divided

        if job.engine == "feedforward":
            return "a few seconds"
        with self._brush:
            context = context_for(job)
            scales, plans = divided(job, context)
            look = job.model_dump_json(include=COSTLY)
            if look not in self._a_pixel:
                encoder = VGG19.load(pooling=job.pooling, dtype=context.dtype, device=context.device)
                self._a_pixel[look] = calibrate(job, encoder, context, seconds=0.5)
            return in_words(forecast(job, scales, plans, self._a_pixel[look]), context)


def _quick(job: Stylize) -> Stylize:
    """The same look in one pass, as far as a network knows it: its strength goes twice as far."""
    size = SIZE if job.size == "original" else min(SIZE, job.size)
    if job.engine == "feedforward":
        return job.model_copy(update={"size": size, "rows": None})
    changes = {"engine": "feedforward", "strength": min(1.0, 2 * job.strength), "size": size, "rows": None}
    return job.model_copy(update=changes | {"init": "content", "tile": None, "precision": "auto"})
