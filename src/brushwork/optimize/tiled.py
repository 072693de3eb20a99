"""The objective of a picture too large to be looked at in one piece: the same values, tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from brushwork.context import give_back_freed_memory
from brushwork.encoders import VGG19
from brushwork.encoders.convolution import Padding
from brushwork.events import Losses, drained
from brushwork.jobs import Settings
from brushwork.losses.content import content_scale
from brushwork.losses.variation import window_variation
from brushwork.optimize.crew import Crew
from brushwork.optimize.gatherers import measure_paintings
from brushwork.optimize.objective import (
    LEAST_UNIT,
    Evaluation,
    StyleTarget,
    balance,
    layers_that_count,
    variation_weight,
)
from brushwork.optimize.tally import Pull, Tally, make_tally
from brushwork.optimize.tiles import Tile, tiling
from brushwork.optimize.vault import Vault

TIDY = 8  # tiles between two looks for holes, which had 0.3 GB more at 12 megapixels than at 4 without


@dataclass(frozen=True)
class TiledTarget:
    """What the picture is to match: the photo's features of each tile, the paintings' statistics."""

    content: dict[str, list[Tensor]]  # layer: a tile's own cells each
    scale: dict[str, float]  # layer: what Σ(F−P)² is multiplied by, weights included
    style: dict[str, StyleTarget]
    unit: dict[str, float]  # what each layer's style loss is divided by


@dataclass(frozen=True)
class TiledObjective:
    """The loss of a job at one size, with features of as many tiles in memory at a time as the crew looks at.

    Two passes (SPST, arXiv 2212.13459): the first sums what the style losses need of each tile's own cells,
    the second pushes the gradient by those sums through each tile. Gradients are added where they fall, tile
    after tile, whichever was finished first.
    """

    crew: Crew
    target: TiledTarget
    settings: Settings
    tiles: Sequence[Tile]
    vault: Vault
    recompute: bool = (
        False  # the backward pass computes features anew: two fifths of the memory, a third more time
    )
    given_back: int | None = (
        None  # blocks of so many bytes are, when freed, and every few tiles what is in holes
    )

    def evaluate(self, image: Tensor) -> Evaluation:
        """Losses and gradient at a picture (1, 3, H, W), RGB, nominally 0..1."""
        return drained(self.sweep(image))

    def sweep(
        self, image: Tensor, begun: dict[str, Any] | None = None
    ) -> Generator[dict[str, Any], None, Evaluation]:
        """``evaluate`` tile by tile: yields its state after each, from which it can be ``begun`` again.

        A state refers to tensors that change when the next one is asked for. ``done`` in it counts to
        ``steps``; "resumable" tells whether it is enough to go on from.
        """
        image, tallies = image.detach(), self._tallies(image)
        gradient = torch.zeros_like(image, memory_format=torch.contiguous_format)
        done, content, style, variation = 0, 0.0, 0.0, 0.0
        if begun and begun["tiles"] == len(self.tiles):
            done, (content, style, variation) = begun["done"], begun["losses"]
            gradient = _gone_on(begun, tallies, gradient)
        looks = len(self.tiles) if tallies else 0
        looked = self.crew.each(partial(self._collect, tallies, image), self.tiles[done:looks])
        with closing(looked):
            for measured in looked:
                _add(tallies, measured)
                done += 1
                self._tidy(done)
                yield self._state(done, tallies, (content, style, variation), None)
        closed = {name: tally.close() for name, tally in tallies.items()}
        known = sum(loss for loss, _ in closed.values())
        pulls = {name: pull for name, (_, pull) in closed.items()}
        pushed = self.crew.each(partial(self._push, pulls, image), range(done - looks, len(self.tiles)))
        with closing(pushed):
            for number, parts, found in pushed:
                self.tiles[number].add(gradient, found)
                content, style, variation = content + parts[0], style + parts[1], variation + parts[2]
                done += 1
                self._tidy(done)
                yield self._state(done, tallies, (content, style, variation), gradient)
        style += known
        return Evaluation(Losses(content + style + variation, content, style, variation), gradient)

    def _tidy(self, done: int) -> None:
        if self.given_back is not None and done % TIDY == 0:
            give_back_freed_memory(self.given_back)

    def _state(
        self, done: int, tallies: dict[str, Tally], losses: tuple[float, ...], gradient: Tensor | None
    ) -> dict[str, Any]:
        states = {name: tally.state() for name, tally in tallies.items()}
        known = {"done": done, "tiles": len(self.tiles), "losses": losses, "gradient": gradient}
        return known | {"tallies": states, "resumable": None not in states.values()}

    @property
    def steps(self) -> int:
        """Tiles that ``sweep`` looks at, over both passes."""
        return len(self.tiles) * (2 if self.target.style else 1)

    def _tallies(self, image: Tensor) -> dict[str, Tally]:
        pixels, (_, w_style) = image.shape[-2] * image.shape[-1], balance(self.settings)
        return {
            name: make_tally(
                target,
                self.settings,
                pixels,
                w_style * self.settings.style_layers[name] / self.target.unit[name],
                self.vault,
            )
            for name, target in self.target.style.items()
        }

    @torch.no_grad()
    def _collect(
        self, tallies: dict[str, Tally], image: Tensor, encoder: VGG19, tile: Tile
    ) -> dict[str, Any]:
        features = _look(encoder, self.settings, tile, image, list(tallies))
        return {name: tally.measure(features[name]) for name, tally in tallies.items()}

    def _push(
        self, pulls: dict[str, Pull], image: Tensor, encoder: VGG19, number: int
    ) -> tuple[int, tuple[float, float, float], Tensor]:
        """A tile's parts of content, style and total variation, and of the gradient at what it sees."""
        tile, settings = self.tiles[number], self.settings
        seen = tile.read(image).to(encoder.device)
        found = dict.fromkeys(("content", "style"), 0.0)

        def pull(name: str, features: Tensor, into: Tensor) -> None:
            own, into = tile.own(features, name), tile.own(into, name)
            if name in self.target.content:
                loss, part = self._content(name, number, own)
                found["content"] += loss
                into += part
            if name in pulls:
                loss, part = pulls[name](number, own)
                found["style"] += loss
                into += part.to(into.dtype)

        names = dict.fromkeys([*self.target.content, *pulls])
        taps = {name: partial(pull, name) for name in names}
        gradient = encoder.pulled(seen, taps, padding=_padding(settings), recompute=self.recompute)
        variation, rough = self._variation(tile, seen, image.shape)
        if variation:
            gradient += rough
        return number, (found["content"], found["style"], variation), gradient.to(image.device)

    @torch.no_grad()
    def _content(self, name: str, number: int, own: Tensor) -> tuple[float, Tensor]:
        target, scale = self.target.content[name][number], self.target.scale[name]
        difference = own.to(target.dtype) - target.to(own.device)
        self.vault.release(target)
        return scale * float(difference.square().sum()), (2 * scale * difference).to(own.dtype)

    def _variation(self, tile: Tile, seen: Tensor, picture: Sequence[int]) -> tuple[float, Tensor]:
        """A tile's total variation and its gradient at what the tile sees."""
        settings, leaf = self.settings, seen.detach().requires_grad_()
        if not (weight := variation_weight(settings)):
            return 0.0, leaf
        with torch.enable_grad():
            window = tile.window(leaf) * settings.units
            loss = weight * window_variation(
                window, picture, core=tile.core, form=settings.tv_loss, wrap=settings.tileable
            )
            (gradient,) = torch.autograd.grad(loss, leaf)
        return float(loss.detach()), gradient


def _padding(settings: Settings) -> Padding:
    # Where the picture wraps the tile has read the pixels beyond: what lies beyond these does not matter.
    return "zeros" if settings.tileable else settings.padding


def _look(
    encoder: VGG19, settings: Settings, tile: Tile, picture: Tensor, layers: Sequence[str]
) -> dict[str, Tensor]:
    """A tile's own cells of each layer."""
    seen = tile.read(picture).to(encoder.device)
    features = encoder.features(seen, layers, padding=_padding(settings))
    return {name: tile.own(features[name], name) for name in layers}


def _add(tallies: dict[str, Tally], measured: dict[str, Any]) -> None:
    for name, tally in tallies.items():
        tally.add(measured[name])


def _gone_on(begun: dict[str, Any], tallies: dict[str, Tally], gradient: Tensor) -> Tensor:
    """Let the tallies go on from a state; gives the gradient so far, ``gradient`` when it has none."""
    for name, tally in tallies.items():
        tally.go_on(begun["tallies"][name])
    # A copy: tiles are added to it.
    return gradient if begun["gradient"] is None else begun["gradient"].to(gradient, copy=True)


@torch.no_grad()
def make_tiled_target(
    crew: Crew,
    settings: Settings,
    photo: Tensor,
    paintings: Sequence[Tensor],
    weights: Sequence[float],
    side: int,
    vault: Vault,
) -> tuple[TiledTarget, list[Tile]]:
    """Measure a photo and the paintings, each (1, 3, H, W), in tiles of ``side`` own pixels.

    The photo's features are kept in ``vault``. Gives the target and the photo's tiles.
    """
    content, style = layers_that_count(settings)
    targets = measure_paintings(crew, settings, style, paintings, weights, side, vault)
    tiles = tiling(photo.shape[-2], photo.shape[-1], side, [*content, *style], wrap=settings.tileable)
    pixels = photo.shape[-2] * photo.shape[-1]
    asked = style if settings.style_unit == "photo" else []
    tallies = {name: make_tally(targets[name], settings, pixels, 1.0, vault) for name in asked}
    kept = {name: Kept() for name in content}

    @torch.no_grad()
    def look(encoder: VGG19, tile: Tile) -> tuple[dict[str, Any], dict[str, Tensor]]:
        features = _look(encoder, settings, tile, photo, list(dict.fromkeys([*content, *asked])))
        measured = {name: tally.measure(features[name]) for name, tally in tallies.items()}
        return measured, {name: Kept.measure(features[name]).to(photo.device) for name in content}

    for measured, own in crew.each(look, tiles if content or asked else ()):
        _add(tallies, measured)
        for name, layer in kept.items():
            layer.add(own[name], vault)
    w_content, _ = balance(settings)
    scale = {
        name: w_content * settings.content_layers[name] * layer.scale(settings)
        for name, layer in kept.items()
    }
    unit = dict.fromkeys(style, 1.0) | _units(crew, settings, tallies, tiles, photo)
    return TiledTarget({name: layer.tiles for name, layer in kept.items()}, scale, targets, unit), tiles


@dataclass
class Kept:
    """One layer's features of a photo, in tiles, with what the content loss is scaled by."""

    tiles: list[Tensor] = field(default_factory=list[Tensor])
    count: int = 0
    energy: float = 0.0

    @staticmethod
    def measure(own: Tensor) -> Tensor:
        """What is kept of a tile's own features (1, C, h, w): no view of more, and at least float32."""
        return own.to(torch.promote_types(own.dtype, torch.float32)).contiguous()

    def add(self, own: Tensor, vault: Vault) -> None:
        """Take what was measured of the next tile."""
        self.tiles.append(vault.keep(own))
        self.count += own.numel()
        self.energy += float(own.square().sum())

    def scale(self, settings: Settings) -> float:
        """What Σ(F−P)² is multiplied by."""
        return content_scale(settings.content_loss, self.count, self.energy)


def _units(
    crew: Crew, settings: Settings, tallies: dict[str, Tally], tiles: Sequence[Tile], photo: Tensor
) -> dict[str, float]:
    """The photo's own style losses; "nearest" must look at its tiles a second time."""
    closed = {name: tally.close() for name, tally in tallies.items()}
    found = {name: loss for name, (loss, _) in closed.items()}

    @torch.no_grad()
    def look(encoder: VGG19, number: int) -> dict[str, float]:
        features = _look(encoder, settings, tiles[number], photo, list(closed))
        return {name: pull(number, features[name])[0] for name, (_, pull) in closed.items()}

    again = range(len(tiles) if settings.style_loss == "nearest" and closed else 0)
    for losses in crew.each(look, again):
        found = {name: found[name] + loss for name, loss in losses.items()}
    return {name: max(loss, LEAST_UNIT) for name, loss in found.items()}
