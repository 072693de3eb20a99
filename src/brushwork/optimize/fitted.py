"""One scale's objective as it fits into memory, made anew in smaller tiles when memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from brushwork.context import Context, give_back_freed_memory
from brushwork.errors import MemoryShortError
from brushwork.events import Replanned, Returning, Swept
from brushwork.images import Sources
from brushwork.jobs import Stylize
from brushwork.optimize.crew import Crew
from brushwork.optimize.objective import Evaluation, Objective, make_target
from brushwork.optimize.plan import Hands, Plan, Sizes, lesser_plan, make_plan
from brushwork.optimize.scales import Scale
from brushwork.optimize.tiled import TiledObjective, make_tiled_target
from brushwork.optimize.variants import fit, variants
from brushwork.optimize.vault import Vault
from brushwork.seams import periodic


def plans_of(job: Stylize, sources: Sources, scales: Sequence[Scale], context: Context) -> list[Plan]:
    """How each scale is fitted into memory: the job's, or what is free. Raises InputError when one is not."""
    limit = job.memory or context.memory_limit()
    # From the largest on: what it needs is the least that must be given.
    plans = [make_plan(job, sizes_of(sources, scale, context), limit) for scale in reversed(scales)]
    return plans[::-1]


def sizes_of(sources: Sources, scale: Scale, context: Context) -> Sizes:
    """What a plan for a scale is made from."""
    photo, paintings = sources.content.size, [s.size for s in sources.styles]
    hands = Hands(len(context.devices), apart=context.device.type != "cpu")
    return Sizes(scale, photo, paintings, hands, context.dtype.itemsize)


@dataclass
class Fitted:
    """The objective of one scale, and the plan it follows."""

    job: Stylize
    sources: Sources
    crew: Crew
    scale: Scale
    context: Context
    plan: Plan
    vault: Vault = field(init=False)  # also for what an optimiser remembers
    objective: Objective | TiledObjective | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.vault = Vault(self.plan.on_disk)

    def evaluate(
        self, image: Tensor, evaluation: int, begun: dict[str, Any] | None = None, *, gradient: bool = True
    ) -> Generator[Swept | Replanned, None, Evaluation]:
        """Losses and gradient at a picture; yields an event for each tile, and for each change of plan.

        ``begun`` is the state of the last event of an evaluation of the same picture that was broken off.
        Where no ``gradient`` is asked for it may be 0, which in one piece takes half the time.

        Raises MemoryShortError when memory runs out and there is no smaller way.
        """
        if (limit := self.context.memory_limit()) is not None and limit < self.plan.bytes:
            yield from self._step_down(limit)  # others have taken it since: a container would be killed
        while True:
            try:
                return (yield from self._sweep(image, evaluation, begun, gradient))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                message = str(error).splitlines()[0]
            if not (yield from self._step_down(round(0.7 * self.plan.bytes))):
                raise MemoryShortError(
                    f"memory ran out and there is no smaller way ({message}): give a smaller --size, "
                    "or close other programs"
                )

    def _sweep(
        self, image: Tensor, evaluation: int, begun: dict[str, Any] | None, gradient: bool
    ) -> Generator[Swept, None, Evaluation]:
        if self.objective is None:
            self.objective = self._make()
        if self.plan.tile:  # what an evaluation left in holes is given back before the next
            give_back_freed_memory(self.plan.freed.above)
        if not gradient and isinstance(self.objective, Objective):
            return Evaluation(self.objective.losses(image), torch.zeros_like(image))
        sweep = Returning(self.objective.sweep(image, begun))
        for state in sweep:
            # A trial comes before its evaluation: none of that is done.
            yield Swept(evaluation, state["done"] if gradient else 0, self.objective.steps, state)
        return sweep.value

    def _step_down(self, limit: int) -> Generator[Replanned, None, bool]:
        """Follow a plan for fewer bytes from now on; False when there is none."""
        plan = lesser_plan(self.job, sizes_of(self.sources, self.scale, self.context), limit, self.plan)
        if plan is None:
            return False
        self.plan, self.objective = plan, None
        self.vault = Vault(plan.on_disk)  # an optimiser keeps the one that it has
        gc.collect()
        give_back_freed_memory(plan.freed.above)
        if self.context.device.type == "cuda":
            torch.cuda.empty_cache()
        yield Replanned(str(plan))
        return True

    def paintings(self) -> tuple[list[Tensor], list[float]]:
        """The paintings' variants (1, 3, h, w) as they are measured at this scale, with their weights."""
        paintings: list[Tensor] = []
        weights: list[float] = []
        for style, picture in zip(self.job.styles, self.sources.styles, strict=True):
            found = variants(self.job, picture.pixels, self.scale)
            paintings += [variant.to(self.context.device) for variant in found]
            weights += [style.weight / len(found)] * len(found)
        return paintings, weights

    def _make(self) -> Objective | TiledObjective:
        job, plan, crew = self.job, self.plan, self.crew.of_size(self.plan.at_once)
        photo = fit(job, self.sources.content.pixels, self.scale.height, self.scale.width)
        photo = (periodic(photo) if job.tileable else photo).to(self.context.device)
        paintings, weights = self.paintings()
        if plan.tile is None:
            encoder = crew.encoders[0]
            return Objective(encoder, make_target(encoder, job, photo, paintings, weights), job)
        target, tiles = make_tiled_target(crew, job, photo, paintings, weights, plan.tile, self.vault)
        return TiledObjective(crew, target, job, tiles, self.vault, plan.recompute, plan.given_back)


def _is_out_of_memory(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError; oneDNN's names no reason but memory.
    words = ("allocate memory", "out of memory", "could not create a memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(w in str(error) for w in words)
