"""What becomes of the photo's colours: pictures prepared before an engine's work, colours restored after it.

Every engine makes the same two calls: ``prepare`` gives the pictures to work on, ``Prepared.restore`` the
final colours of what came of them. One that moves pixels by a gradient passes that through ``project`` too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from brushwork.images import resize
from brushwork.jobs import Settings
from brushwork.losses import Moments
from brushwork.losses.statistics import blend

MOST_GAIN = 4.0
"""The most that a match may stretch a direction of colour: more makes blotches of a grey picture's noise."""

FLAT = 1e-6  # variance of an 8-bit level; keeps the inverse of a flat picture's covariance finite
SAMPLE = 1_000_000  # pixels at least, of a larger picture, whose colours are measured
ROWS = 256  # at a time: four copies of a large result are more than a plan reckons with
LEVELS, STEEPEST = 256, 3.0  # quantiles of a histogram, and how far a match may pull neighbours apart
CHROMA = torch.tensor([[1.0, -1, 0], [1, 1, -2]], dtype=torch.float64) / torch.tensor([[2], [6]]).sqrt()
"""Two directions across the grey axis, each of length 1."""
EDGE = 1e-3  # variance of lightness above which ``follow`` takes a change for an edge


@dataclass(frozen=True)
class Prepared:
    """The pictures that an engine works on, and what gives its result, (1, 3, h, w), the final colours."""

    photo: Tensor
    paintings: Sequence[Tensor]
    restore: Callable[[Tensor], Tensor]


def prepare(
    settings: Settings, photo: Tensor, paintings: Sequence[Tensor], weights: Sequence[float]
) -> Prepared:
    """Change a photo's and paintings' colours as ``color`` says; each is (1, 3, H, W), RGB, 0..1.

    ``restore`` takes a result of any size and device, clips it, and gives a picture in 0..1. With "style",
    "palette" of no paintings, or an amount of 0, everything is passed through as it is.
    """
    amount = settings.color_amount
    if settings.color == "palette" and paintings:
        return Prepared(photo, paintings, _limiter(settings, paintings, weights))
    if not changes(settings):
        return Prepared(photo, paintings, _as_it_is)
    if settings.color == "match":
        return Prepared(photo, [match(p, photo, amount) for p in paintings], _as_it_is)
    if settings.color == "histogram":
        return Prepared(photo, [match_histogram(p, photo, amount) for p in paintings], _as_it_is)
    restore = _restorer(settings, photo, paintings, weights)
    if settings.color != "luminance":
        return Prepared(photo, paintings, restore)
    return Prepared(fade(photo, amount), [fade(p, amount, like=photo) for p in paintings], restore)


def changes(settings: Settings) -> bool:
    """Whether a job's colours are others than the engine's own and the painting's."""
    return settings.color not in ("style", "palette") and settings.color_amount > 0


def begin(settings: Settings, picture: Tensor) -> Tensor:
    """A start from elsewhere, with what the prepared pictures have of chroma."""
    return fade(picture, settings.color_amount) if settings.color == "luminance" else picture


def project(settings: Settings, pixels: Tensor) -> Tensor:
    """Pixels, or their gradient, (1, 3, h, w), on the grey axis if the job works on grey pictures only."""
    if settings.color != "luminance" or settings.color_amount < 1:
        return pixels
    return pixels.mean(dim=1, keepdim=True).expand_as(pixels).contiguous()


def _as_it_is(result: Tensor) -> Tensor:
    return result


# --------------------------------------------------------------------------------- before: the paintings


def match(painting: Tensor, photo: Tensor, amount: float = 1.0) -> Tensor:
    """A painting whose colours have the photo's mean and covariance, by ``transport``, clipped to 0..1."""
    matrix, offset = transport(_moments(painting), _moments(photo))
    return _affine(painting, matrix, offset, amount).clamp(0, 1)


def share_of_style(settings: Settings) -> float:
    """How far colours may go to the paintings': all the way from strength ½ on, nowhere without a style."""
    return min(1.0, 2 * settings.strength) * (settings.style_weight > 0)


def recolour(photo: Tensor, paintings: Sequence[Tensor], weights: Sequence[float], amount: float) -> Tensor:
    """A photo (1, 3, H, W) in the paintings' colours, by the map that ``match`` uses the other way round."""
    palette = blend([_moments(painting) for painting in paintings], weights)
    return _affine(photo, *transport(_moments(photo), palette), amount).clamp(0, 1)


def match_histogram(painting: Tensor, photo: Tensor, amount: float = 1.0) -> Tensor:
    """A painting with the photo's histograms along the photo's principal colours, clipped to 0..1.

    The linear match comes first, so that the axes are the painting's own too: histograms matched channel by
    channel in RGB make colours that neither picture has.
    """
    matrix, offset = transport(_moments(painting), _moments(photo))
    _, axes = torch.linalg.eigh(_moments(photo).covariance)
    turned = [_affine(_affine(painting, matrix, offset), axes.T), _affine(photo, axes.T)]
    channels = [_match_values(own, wanted) for own, wanted in zip(turned[0][0], turned[1][0], strict=True)]
    matched = _affine(torch.stack(channels)[None], axes)
    return painting.lerp(matched, amount).clamp(0, 1)


def _match_values(values: Tensor, wanted: Tensor) -> Tensor:
    """Values (h, w) through the rising curve that gives them the histogram of ``wanted`` (H, W).

    The curve is nowhere steeper than ``STEEPEST``: a photo half black and half white would otherwise tear a
    painting's even sky into black and white specks.
    """
    levels = np.linspace(0, 1, LEVELS)
    own, target = (np.quantile(x.cpu().numpy(), levels) for x in (values, wanted))
    rise = np.minimum(np.diff(target), STEEPEST * np.diff(own))
    curve = np.concatenate([[0], np.cumsum(rise)])
    curve += target.mean() - curve.mean()
    return torch.from_numpy(np.interp(values.cpu().numpy(), own, curve)).to(values)


def fade(picture: Tensor, amount: float = 1.0, *, like: Tensor | None = None) -> Tensor:
    """A picture with that share of its chroma gone: grey at 1.

    With ``like`` its lightness gets that picture's mean and deviation (Gatys et al., arXiv 1606.05897).
    """
    lab = to_oklab(picture)
    lightness = lab[:, :1]
    if like is not None:
        wanted = _moments(to_oklab(like)[:, :1])
        lightness = _affine(lightness, *transport(_moments(lightness), wanted), amount).clamp(0, 1)
    return from_oklab(torch.cat([lightness, (1 - amount) * lab[:, 1:]], dim=1))


def transport(source: Moments, target: Moments) -> tuple[Tensor, Tensor]:
    """The matrix A and offset b that carry one mean and covariance to another: x ↦ Ax + b, float64.

    Of all such maps the one that moves colours least (Monge and Kantorovich's, linear):
    A = Σs^{-½}(Σs^{½} Σt Σs^{½})^{½} Σs^{-½}. Nothing is stretched by more than ``MOST_GAIN``.
    """
    matrix = _stretch(source.covariance, target.covariance, MOST_GAIN)
    return matrix, target.mean - matrix @ source.mean


def _stretch(source: Tensor, target: Tensor, most: float) -> Tensor:
    """The symmetric matrix that carries one covariance to another, but stretches nothing by more."""
    root = _power(source + FLAT * torch.eye(len(source), dtype=torch.float64), 0.5)
    inverse = torch.linalg.inv(root)
    matrix = inverse @ _power(root @ target @ root, 0.5) @ inverse
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return vectors @ values.clamp(0, most).diag() @ vectors.T


def _moments(pixels: Tensor) -> Moments:
    # A camera's 24 million pixels took seconds and a gigabyte to tell the same.
    step = max(1, math.isqrt(pixels[0, 0].numel() // SAMPLE))
    return Moments.of(pixels[..., ::step, ::step].cpu().double())  # Apple's GPUs have no float64


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix without negative eigenvalues, but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ values.clamp(min=0).pow(exponent).diag() @ vectors.T


def _affine(pixels: Tensor, matrix: Tensor, offset: Tensor | None = None, amount: float = 1.0) -> Tensor:
    """Ax + b at every pixel; an ``amount`` below 1 lies that far on the straight way there."""
    moved = torch.einsum("ij,njhw->nihw", matrix.to(pixels), pixels)
    if offset is not None:
        moved = moved + offset.to(pixels)[:, None, None]
    return moved if amount == 1 else pixels.lerp(moved, amount)


# ----------------------------------------------------------------------------------- after: the result


def _limiter(
    settings: Settings, paintings: Sequence[Tensor], weights: Sequence[float]
) -> Callable[[Tensor], Tensor]:
    """What takes out of a result the colours that its paintings have less of."""
    amount = settings.color_amount * share_of_style(settings)
    if amount == 0:
        return _as_it_is
    palette = blend([_moments(each) for each in paintings], weights)
    return lambda result: limit(result.clamp(0, 1), palette, amount)


def limit(result: Tensor, palette: Moments, amount: float = 1.0) -> Tensor:
    """A result whose colours vary no more in all than those of a palette (mean and covariance of RGB).

    By ``transport`` in the plane across the grey axis, where it only shrinks: the mean and what lies on the
    axis stay. A black print's result is black: losses leave it the tint of the photo.
    """
    own = _moments(result)
    spread, wanted = (CHROMA @ each.covariance @ CHROMA.T for each in (own, palette))
    less = torch.eye(2, dtype=torch.float64) - _stretch(spread, wanted, 1.0)
    matrix = torch.eye(3, dtype=torch.float64) - CHROMA.T @ less @ CHROMA
    offset, limited = own.mean - matrix @ own.mean, torch.empty_like(result)
    for here, there in zip(result.split(ROWS, dim=-2), limited.split(ROWS, dim=-2), strict=True):
        there.copy_(_affine(here, matrix, offset, amount).clamp_(0, 1))
    return limited


def _restorer(
    settings: Settings, photo: Tensor, paintings: Sequence[Tensor], weights: Sequence[float]
) -> Callable[[Tensor], Tensor]:
    """What puts chroma back into a result, for the modes that do so."""
    amount, mode = settings.color_amount, settings.color
    palette = _palette(photo, paintings, weights) if mode == "lock" else None

    @lru_cache(maxsize=1)  # an engine stays at one size for many steps
    def photo_chroma(height: int, width: int, device: torch.device) -> Tensor:
        chroma = to_oklab(resize(photo, height, width, settings.resize))[:, 1:]
        return (chroma if palette is None else _affine(chroma, *palette)).to(device)

    def restore(result: Tensor) -> Tensor:
        lab = to_oklab(result.clamp(0, 1))
        lightness, own = lab[:, :1], lab[:, 1:]
        chroma = photo_chroma(result.shape[-2], result.shape[-1], result.device)
        if mode == "luminance":
            return from_oklab(torch.cat([lightness, own + amount * chroma], dim=1))  # what was faded out
        if mode == "lock":
            chroma = follow(chroma, lightness, wrap=settings.tileable)
        return from_oklab(torch.cat([lightness, own.lerp(chroma, amount)], dim=1))

    return restore


def _palette(photo: Tensor, paintings: Sequence[Tensor], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The map from the photo's chroma to the paintings': mean and covariance of a and b."""
    chromas = [_moments(to_oklab(painting)[:, 1:]) for painting in paintings]
    return transport(_moments(to_oklab(photo)[:, 1:]), blend(chromas, weights))


def follow(chroma: Tensor, lightness: Tensor, *, wrap: bool = False) -> Tensor:
    """Chroma (1, 2, h, w) smoothed along the edges of a lightness (1, 1, h, w): He et al.'s guided filter.

    With ``wrap`` opposite sides meet; else what lies beyond an edge does not count.
    """
    radius = max(1, max(lightness.shape[-2:]) // 128)

    def mean(x: Tensor) -> Tensor:
        for rows, columns in ((radius, 0), (0, radius)):  # two passes cost less than one of a square
            size, margin = (2 * rows + 1, 2 * columns + 1), (rows, columns)
            if wrap:
                x, margin = pad(x, (columns, columns, rows, rows), mode="circular"), 0
            x = avg_pool2d(x, size, 1, margin, count_include_pad=False)
        return x

    guide, level = mean(lightness), mean(chroma)
    slope = (mean(lightness * chroma) - guide * level) / (mean(lightness.square()) - guide.square() + EDGE)
    return mean(slope) * lightness + mean(level - slope * guide)


# --------------------------------------------------------------------------------------------- OKLab

_TO_LMS = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)
_FROM_LMS, _FROM_LAB = torch.linalg.inv(_TO_LMS), torch.linalg.inv(_TO_LAB)


def to_oklab(pixels: Tensor) -> Tensor:
    """Lightness 0..1 and chroma a, b (Ottosson 2020), (N, 3, h, w), of sRGB pixels in 0..1."""
    linear = torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    return _affine(_affine(linear, _TO_LMS).pow(1 / 3), _TO_LAB)


def from_oklab(lab: Tensor) -> Tensor:
    """SRGB pixels in 0..1 of an OKLab picture (N, 3, h, w) whose lightness lies in 0..1.

    Colours that sRGB does not have keep lightness and hue and lose chroma until it has them.
    """
    lightness = lab[:, :1]
    roots = _affine(lab, _FROM_LAB)
    linear = _affine(roots**3, _FROM_LMS)
    outside = ((linear < 0) | (linear > 1)).any(dim=1)
    if bool(outside.any()):
        # (N, 3, h, w) to (1, 3, 1, n): only those pixels are worked on.
        far, grey = (x.movedim(1, -1)[outside].T[None, :, None] for x in (roots, lightness))
        linear.movedim(1, -1)[outside] = _nearest(grey, far)[0, :, 0].T
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _nearest(grey: Tensor, far: Tensor) -> Tensor:
    """Linear colours on the way from grey to far (cube roots of cone responses), as far as sRGB goes."""
    low, high = torch.zeros_like(grey), torch.ones_like(grey)
    for _ in range(10):  # to a thousandth of the chroma
        middle = (low + high) / 2
        linear = _affine((grey + middle * (far - grey)) ** 3, _FROM_LMS)
        inside = ((linear >= 0) & (linear <= 1)).all(dim=1, keepdim=True)
        low, high = low.where(~inside, middle), high.where(inside, middle)
    return _affine((grey + low * (far - grey)) ** 3, _FROM_LMS)
