"""The objective of a picture too large to be looked at in one piece: the same values, tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from brushwork.encoders import VGG19
from brushwork.encoders.vgg19 import Padding, smallest_side
from brushwork.events import Losses
from brushwork.jobs import Settings
from brushwork.losses import Gaussian, Moments, Patches, Projections
from brushwork.losses.content import content_scale
from brushwork.losses.nearest import draw
from brushwork.losses.sliced import directions_of
from brushwork.losses.statistics import blend, flatten
from brushwork.losses.variation import window_variation
from brushwork.optimize.objective import (
    LEAST_UNIT,
    Evaluation,
    StyleTarget,
    balance,
    variation_weight,
)
from brushwork.optimize.tally import Pull, Tally, make_tally
from brushwork.optimize.tiles import Tile, tiling
from brushwork.optimize.vault import Vault


@dataclass(frozen=True)
class TiledTarget:
    """What the picture is to match: the photo's features of each tile, the paintings' statistics."""

    content: dict[str, list[Tensor]]  # layer: a tile's own cells each
    scale: dict[str, float]  # layer: what Σ(F−P)² is multiplied by, weights included
    style: dict[str, StyleTarget]
    unit: dict[str, float]  # what each layer's style loss is divided by


@dataclass(frozen=True)
class TiledObjective:
    """The loss of a job at one size, with features of one tile in memory at a time.

    Two passes (SPST, arXiv 2212.13459): the first sums what the style losses need of each tile's own cells,
    the second pushes the gradient by those sums through each tile. Gradients are added where they fall.
    """

    encoder: VGG19
    target: TiledTarget
    settings: Settings
    tiles: Sequence[Tile]
    vault: Vault
    recompute: bool = (
        False  # the backward pass computes features anew: two fifths of the memory, a third more time
    )

    def evaluate(self, image: Tensor) -> Evaluation:
        """Losses and gradient at a picture (1, 3, H, W), RGB, nominally 0..1."""
        sweep = self.sweep(image)
        while True:
            try:
                next(sweep)
            except StopIteration as stop:
                return stop.value

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
            gradient = begun["gradient"].to(gradient) if begun["gradient"] is not None else gradient
            for name, tally in tallies.items():
                tally.go_on(begun["tallies"][name])
        looks = len(self.tiles) if tallies else 0
        for tile in self.tiles[done:looks]:
            self._collect(tallies, tile, image)
            done += 1
            yield self._state(done, tallies, (content, style, variation), None)
        closed = {name: tally.close() for name, tally in tallies.items()}
        known = sum(loss for loss, _ in closed.values())
        pulls = {name: pull for name, (_, pull) in closed.items()}
        for number, tile in list(enumerate(self.tiles))[done - looks :]:
            parts = self._push(pulls, number, tile, image, gradient)
            content, style, variation = content + parts[0], style + parts[1], variation + parts[2]
            done += 1
            yield self._state(done, tallies, (content, style, variation), gradient)
        style += known
        return Evaluation(Losses(content + style + variation, content, style, variation), gradient)

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
    def _collect(self, tallies: dict[str, Tally], tile: Tile, image: Tensor) -> None:
        features = _look(self.encoder, self.settings, tile, image, list(tallies))
        for name, tally in tallies.items():
            tally.add(features[name])

    def _push(
        self, pulls: dict[str, Pull], number: int, tile: Tile, image: Tensor, gradient: Tensor
    ) -> tuple[float, float, float]:
        """Add a tile's part of the gradient; gives its parts of content, style and total variation."""
        seen, settings = tile.read(image), self.settings
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
        tile.add(
            gradient, self.encoder.pulled(seen, taps, padding=_padding(settings), recompute=self.recompute)
        )
        variation, rough = self._variation(tile, seen, image.shape)
        if variation:
            tile.add(gradient, rough)
        return found["content"], found["style"], variation

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
    features = encoder.features(tile.read(picture), layers, padding=_padding(settings))
    return {name: tile.own(features[name], name) for name in layers}


@torch.no_grad()
def make_tiled_target(
    encoder: VGG19,
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
    w_content, w_style = balance(settings)
    content = [name for name, weight in settings.content_layers.items() if weight * w_content]
    style = [name for name, weight in settings.style_layers.items() if weight * w_style]
    targets = measure_paintings(encoder, settings, style, paintings, weights, side, vault)
    tiles = tiling(photo.shape[-2], photo.shape[-1], side, [*content, *style], wrap=settings.tileable)
    pixels = photo.shape[-2] * photo.shape[-1]
    asked = style if settings.style_unit == "photo" else []
    tallies = {name: make_tally(targets[name], settings, pixels, 1.0, vault) for name in asked}
    kept = {name: Kept() for name in content}
    for tile in tiles if content or asked else ():
        features = _look(encoder, settings, tile, photo, list(dict.fromkeys([*content, *asked])))
        for name, tally in tallies.items():
            tally.add(features[name])
        for name, layer in kept.items():
            layer.add(features[name], vault)
    scale = {
        name: w_content * settings.content_layers[name] * layer.scale(settings)
        for name, layer in kept.items()
    }
    unit = dict.fromkeys(style, 1.0) | _units(encoder, settings, tallies, tiles, photo)
    return TiledTarget({name: layer.tiles for name, layer in kept.items()}, scale, targets, unit), tiles


@dataclass
class Kept:
    """One layer's features of a photo, in tiles, with what the content loss is scaled by."""

    tiles: list[Tensor] = field(default_factory=list[Tensor])
    count: int = 0
    energy: float = 0.0

    def add(self, own: Tensor, vault: Vault) -> None:
        """Take the next tile's own features (1, C, h, w)."""
        own = own.to(torch.promote_types(own.dtype, torch.float32)).contiguous()
        self.tiles.append(vault.keep(own))
        self.count += own.numel()
        self.energy += float(own.square().sum(dtype=torch.float64))

    def scale(self, settings: Settings) -> float:
        """What Σ(F−P)² is multiplied by."""
        return content_scale(settings.content_loss, self.count, self.energy)


def _units(
    encoder: VGG19, settings: Settings, tallies: dict[str, Tally], tiles: Sequence[Tile], photo: Tensor
) -> dict[str, float]:
    """The photo's own style losses; "nearest" must look at its tiles a second time."""
    closed = {name: tally.close() for name, tally in tallies.items()}
    found = {name: loss for name, (loss, _) in closed.items()}
    for number, tile in enumerate(tiles if settings.style_loss == "nearest" and closed else ()):
        features = _look(encoder, settings, tile, photo, list(closed))
        for name, (_, pull) in closed.items():
            found[name] += pull(number, features[name])[0]
    return {name: max(loss, LEAST_UNIT) for name, loss in found.items()}


# ------------------------------------------------------------------------------------------ paintings


def measure_paintings(
    encoder: VGG19,
    settings: Settings,
    layers: Sequence[str],
    paintings: Sequence[Tensor],
    weights: Sequence[float],
    side: int,
    vault: Vault,
) -> dict[str, StyleTarget]:
    """What each layer's style loss compares with, of paintings (1, 3, H, W) in tiles of ``side`` pixels."""
    sizes = [painting.shape[-2:] for painting in paintings]
    gathered = {name: _gatherers(settings, name, sizes, weights, vault) for name in layers}
    for number, painting in enumerate(paintings if layers else ()):
        for tile in tiling(painting.shape[-2], painting.shape[-1], side, layers):
            features = encoder.features(tile.read(painting), layers, padding=settings.padding)
            for name in layers:
                gathered[name][number].add(tile, tile.own(features[name], name))
    return {name: _target(gathered[name], weights, settings) for name in layers}


def _gatherers(
    settings: Settings, layer: str, sizes: Sequence[Sequence[int]], weights: Sequence[float], vault: Vault
) -> list[Gatherer]:
    """One for each painting."""
    if settings.style_loss == "sliced":
        return [_Projected(settings.seed, vault) for _ in sizes]
    if settings.style_loss != "nearest":
        return [_Summed() for _ in sizes]
    stride = smallest_side([layer])
    cells = [(height // stride, width // stride) for height, width in sizes]
    chosen = draw([height * width for height, width in cells], weights, settings.seed)
    return [_Drawn(layer, width, at) for (_, width), at in zip(cells, chosen, strict=True)]


def _target(found: Sequence[Gatherer], weights: Sequence[float], settings: Settings) -> StyleTarget:
    results = [gatherer.result() for gatherer in found]
    if settings.style_loss == "sliced":
        directions = cast("_Projected", found[0]).directions
        assert directions is not None
        return Projections.from_values(cast("list[Tensor]", results), weights, directions)
    if settings.style_loss == "nearest":
        return Patches.from_vectors(torch.cat(cast("list[Tensor]", results)))
    moments = blend(cast("list[Moments]", results), weights)
    return Gaussian.of(moments) if settings.style_loss == "w2" else moments


class Gatherer(Protocol):
    """Collects what is needed of one painting's layer."""

    def add(self, tile: Tile, own: Tensor) -> None:
        """Take a tile's own features."""
        ...

    def result(self) -> Moments | Tensor:
        """All of them together."""
        ...


@dataclass
class _Summed:
    """Moments, summed in float64 and given in the features' own precision."""

    sums: Moments | None = None

    def add(self, tile: Tile, own: Tensor) -> None:
        found = Moments.of(own)
        self.dtype = found.first.dtype
        found = Moments(found.weight, found.first.double(), found.second.double())
        self.sums = found if self.sums is None else self.sums + found

    def result(self) -> Moments:
        assert self.sums is not None
        return Moments(self.sums.weight, self.sums.first.to(self.dtype), self.sums.second.to(self.dtype))


@dataclass
class _Projected:
    """Projections of all positions, (K, N)."""

    seed: int
    vault: Vault
    directions: Tensor | None = None
    parts: list[Tensor] = field(default_factory=list[Tensor])

    def add(self, tile: Tile, own: Tensor) -> None:
        matrix = flatten(own)
        if self.directions is None:
            self.directions = directions_of(matrix, self.seed)
        self.parts.append(self.vault.keep(self.directions @ matrix))

    def result(self) -> Tensor:
        return torch.cat(self.parts, dim=1)


@dataclass
class _Drawn:
    """The feature vectors of chosen positions, (P, C), in the order of the draw."""

    layer: str
    width: int  # of the whole painting's layer
    chosen: Tensor  # (P,) row-major positions
    vectors: Tensor | None = None

    def add(self, tile: Tile, own: Tensor) -> None:
        (top, bottom), (left, right) = tile.rows.cells(self.layer), tile.columns.cells(self.layer)
        row, column = self.chosen // self.width, self.chosen % self.width
        here = (row >= top) & (row < bottom) & (column >= left) & (column < right)
        matrix = flatten(own).mT
        if self.vectors is None:
            self.vectors = matrix.new_zeros(len(self.chosen), matrix.shape[1])
        at = (row[here] - top) * (right - left) + column[here] - left
        self.vectors[here.to(matrix.device)] = matrix[at.to(matrix.device)]

    def result(self) -> Tensor:
        assert self.vectors is not None
        return self.vectors
