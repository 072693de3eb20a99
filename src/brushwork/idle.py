"""Options that a job would take and not look at: an option that changes nothing is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from brushwork.fields import flag

ONE_PASS = {
    "size", "rows", "strength", "stroke_size", "color", "color_amount", "resize", "size_rounding",
    "style_margin", "rounding", "seed",
}  # fmt: skip
"""The settings that the engine ``feedforward`` looks at, and the seed, which it takes and does without."""

_RATE, _ADAM, _LBFGS = ("adam", "sgd"), ("adam",), ("lbfgs",)
OPTIMIZERS = {
    "learning_rate": _RATE, "decay_rate": _RATE, "decay_steps": _RATE,
    "beta1": _ADAM, "beta2": _ADAM, "epsilon": _ADAM, "adam": _ADAM,
    "history": _LBFGS, "first_step": _LBFGS,
}  # fmt: skip
"""The optimisers that look at a setting."""

PHOTO_STARTS = ("content", "recolored")
"""The starts from the photo, which alone get ``init_noise``."""


def check_typed(
    explicit: Mapping[str, Any], look: Collection[str], *, optimizer: str | None, init: str | None
) -> None:
    """Raise ValueError for options that a job's engine, optimiser or start would not look at.

    ``look`` are the names of all settings of the look; an ``optimizer`` or ``init`` of None is not known yet.
    """
    _check_color(explicit)
    if explicit.get("engine") == "feedforward":
        _check_pass(explicit, look)
    else:
        _check_optimizer(explicit, optimizer)
        _check_start(explicit, init)


def _check_color(explicit: Mapping[str, Any]) -> None:
    if explicit.get("color") == "style" and explicit.get("color_amount", 1) != 1:
        raise ValueError("--color-amount is how far --color goes, and style changes no colours: leave it out")


def _check_pass(explicit: Mapping[str, Any], look: Collection[str]) -> None:
    idle = [flag(name) for name in explicit if name in look and name not in ONE_PASS]
    if explicit.get("color") == "palette":  # a recipe's is "style" there
        idle.append("--color palette")
    if idle:
        raise ValueError(f"{idle[0]} says how pixels are optimised: leave it out, or use --engine optimize")


def _check_optimizer(explicit: Mapping[str, Any], optimizer: str | None) -> None:
    for name, value in explicit.items():
        able = OPTIMIZERS.get(name, (optimizer,))
        if optimizer and value is not None and optimizer not in able:
            raise ValueError(
                f"{flag(name)} is for {' and '.join(map(str, able))}, and {optimizer} moves these pixels: "
                f"leave it out, or use --optimizer {able[0]}"
            )


def _check_start(explicit: Mapping[str, Any], init: str | None) -> None:
    if explicit.get("init_noise") and init and init not in PHOTO_STARTS:
        raise ValueError(
            f"--init-noise is for starts from the photo, not from {init}: leave it out, or use --init content"
        )
