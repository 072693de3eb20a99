"""A procedural painter: the built-in style pictures, made from numbers so that nothing is downloaded."""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from brushwork.errors import InputError

Real = NDArray[np.floating]
# A picture is the unit square of the complex plane, x right and y down, so it can be painted at any size.
Points = NDArray[np.complexfloating]
Flow = Callable[[Points], Points]

PAINTINGS: tuple[str, ...] = ("swirls", "strokes", "tiles")

# Palettes, read with tones from 0 to 1.
NIGHT = "0a1030 141f5c 1d3b8f 2b62ad 3f93b5 8cc3b0 e3d37c f6c93f fff3c4"
LAND = "0a1026 10244a 1b4668 26736f 6ba58a d9c777"
TREE = "05070d 0b1718 16291f 35471f 8a7030"
WARM = "3a1240 7a1740 c42a25 e85a1c f08f22 e9b44c f9e2a6"
COOL = "1d1747 3b2f86 22648c 1fa3a6 9fdccb"
SKY = "123a63 1f6391 3f93ab 8fc4bd e8e2c4"
SEA = "0d2b45 12506b 178089 5fb7a4 e9efdd"
SUN = "8e2323 cf4a22 e58f1e f5c33b fbe9a6"


class _Brush(NamedTuple):
    """A brush or knife: lengths as fractions of the picture, the rest relative."""

    length: float
    width: float
    bristles: int = 7
    ragged: float = 0.1
    body: float = 1.0
    taper: float = 0.5


def paint(name: str, *, size: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """Paint one of ``PAINTINGS`` as (size, size, 3) sRGB; the same seed gives the same picture."""
    if name not in PAINTINGS:
        raise InputError(f"painting {name!r} is unknown; choose one of {', '.join(PAINTINGS)}")
    if not 64 <= size <= 4096:
        raise InputError(f"size {size} is outside 64..4096 pixels; choose a size within these limits")
    if seed < 0:
        raise InputError(f"seed {seed} is below 0; choose 0 or a positive whole number")
    rng = np.random.default_rng((seed, PAINTINGS.index(name)))
    # Strokes are stamped with hard edges, so pictures are averaged down, small ones from 512 pixels or more.
    fold = max(-(-512 // size), 2 if size <= 1024 else 1)
    fine = {"swirls": _swirls, "strokes": _knife, "tiles": _tiles}[name](size * fold, rng)
    small = fine.reshape(size, fold, size, fold, 3).mean(axis=(1, 3))
    return np.rint(small.clip(0, 1) * 255).astype(np.uint8)


def _ramp(stops: str, tone: Real) -> Real:
    """Mix along a palette: tones (n,) become colours (n, 3)."""
    table = np.array([list(bytes.fromhex(stop)) for stop in stops.split()]) / 255
    return np.stack([np.interp(tone * (len(table) - 1), range(len(table)), c) for c in table.T], axis=-1)


def _vary(rgb: Real, amount: float, rng: Generator) -> Real:
    """Mix each load of paint anew: lighter or darker, and a little warmer or cooler."""
    value, warmth = amount * rng.normal(size=(2, len(rgb), 1))
    return rgb * (1 + value) + warmth * np.array([0.6, 0.1, -0.6]) * rgb.mean(axis=-1, keepdims=True)


def _noise(frequency: float, rng: Generator) -> Callable[[Points], Real]:
    """A smooth random field of unit variance: sixteen plane waves, so it has a value at any point."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 16))
    wave = 2 * np.pi * frequency * rng.uniform(0.5, 1.5, 16) * np.exp(1j * angle)
    return lambda at: np.cos((at[:, None] * wave).real + phase).sum(axis=-1) / np.sqrt(8)


def _halo(count: int, rng: Generator) -> Points:
    """Points of the unit disc from its rim to its centre, so that the last stroke covers the centre."""
    return np.sqrt(np.linspace(1, 0, count)) * np.exp(2j * np.pi * rng.uniform(size=count))


def _spread(count: int, rng: Generator) -> Points:
    """Evenly scattered points in random order (the R2 sequence, jittered), a little past the edges."""
    x, y = (np.arange(count) * [[0.7548776662], [0.5698402910]] + rng.uniform(size=(2, 1))) % 1
    jitter = rng.normal(size=(count, 2)) @ [0.25, 0.25j] / np.sqrt(count)
    return (x + 1j * y + jitter)[rng.permutation(count)] * 1.06 - 0.03 - 0.03j


def _primed(side: int, ground: str) -> Real:
    """A toned ground over canvas threads, which show through where paint is thin: (side, side, 4)."""
    threads = np.sin(np.linspace(0, 2 * np.pi * 85, side))
    canvas = np.empty((side, side, 4), np.float32)  # wet paint: red, green, blue and relief
    canvas[..., :3] = _ramp(ground, np.zeros(1))
    canvas[..., 3] = 0.3 * threads * threads[:, None]
    return canvas


def _lay(canvas: Real, brush: _Brush, at: Points, rgb: Real, flow: Flow, rng: Generator) -> None:
    """Lay one opaque stroke of each colour (n, 3) at each centre (n,), in order, and raise the relief."""
    side, count = len(canvas), len(at)
    longer, wider, thicker = rng.uniform(0.6, 1.0, (3, count))
    along, across = (int(np.ceil(part * side / 0.7)) + 2 for part in (brush.length, brush.width))
    streak = rng.normal(size=(count, brush.bristles)) @ _hat(brush.bristles, across)
    lifts = np.abs(rng.normal(size=(count, 2 * brush.bristles))) @ _hat(2 * brush.bristles, across)
    u, v = np.linspace(0, 1, along)[:, None], np.linspace(-0.5, 0.5, across)
    shape = brush.width * side * (1 - brush.taper * np.abs(2 * u - 0.9) ** 3) * v
    lines = side * _spines(at, flow, brush.length * longer) @ _hat(9, along)
    top = _stamp(side, lines, wider, shape, brush.ragged * lifts)
    wet = np.flatnonzero(top >= 0)
    which, place = np.divmod(top[wet], along * across)
    load = streak.astype(np.float32)[which, place % across]
    flat = canvas.reshape(-1, 4)
    flat[wet, :3] = rgb.astype(np.float32)[which] * (1 + 0.07 * load)[:, None]
    # Paint is pushed to both sides of a stroke, and left in a lip where the brush lifts.
    ridge = (1 + 4 * np.abs(v) ** 3 + 0.9 * u**6 - 0.25 * u).astype(np.float32).ravel()[place] + 0.35 * load
    flat[wet, 3] = 0.4 * flat[wet, 3] + (brush.body * wider * thicker).astype(np.float32)[which] * ridge


def _spines(at: Points, flow: Flow, length: Real) -> Points:
    """Walk the flow four steps both ways from each centre: (n, 9)."""
    knots = [at]
    for step in (length / 8, -length / 8):
        for _ in range(4):
            way = flow(knots[-1])
            knots.append(knots[-1] + step * way / np.maximum(np.abs(way), 1e-9))
        knots.reverse()  # the centre is last again; after both ways the walk runs with the flow
    return np.stack(knots, axis=1)


def _hat(knots: int, count: int) -> Real:
    """Straight lines between knots, as the matrix (knots, count) to multiply rows of knots by."""
    return np.maximum(1 - np.abs(np.linspace(0, knots - 1, count) - np.arange(knots)[:, None]), 0)


def _stamp(side: int, lines: Points, wider: Real, shape: Real, lifts: Real) -> NDArray[np.int64]:
    """Which sample of which stroke is on top at each pixel, coded as one number, -1 where none is."""
    top = np.full(side * side, -1, dtype=np.int64)
    ahead = np.gradient(lines, axis=1)
    sideways = wider[:, None] * 1j * ahead / np.maximum(np.abs(ahead), 1e-9)
    lines, sideways, shape = lines.astype("c8"), sideways.astype("c8"), shape.astype("f4")
    u, every = np.linspace(0, 1, len(shape))[:, None], shape.size
    batch = max(1, 20_000 // every)  # larger batches leave the cache: measured 1.2 times slower at 200 000
    for first in range(0, len(lines), batch):
        part = slice(first, first + batch)
        spot, ends = lines[part, :, None] + sideways[part, :, None] * shape, lifts[part, None, :]
        x, y = spot.real.copy(), spot.imag.copy()  # side by side in memory, hence faster
        kept = (u < 1 - ends) & (u > 0.35 * ends[:, :, ::-1]) & (x >= 0) & (x < side) & (y >= 0) & (y < side)
        hits = np.flatnonzero(kept)
        # The last of equal indices stays: later strokes cover earlier ones.
        top[y.ravel()[hits].astype(np.int64) * side + x.ravel()[hits].astype(np.int64)] = first * every + hits
    return top


def _lit(canvas: Real) -> Real:
    """Light the relief from the upper left, with a faint gloss: (side, side, 3)."""
    from scipy.ndimage import gaussian_filter

    unit = len(canvas) / 1024
    down, right = np.gradient(gaussian_filter(canvas[..., 3] * np.float32(unit), 0.8 * unit))
    length = np.sqrt(1 + down**2 + right**2)
    shade = 0.45 + 0.55 * (0.64 * right + 0.79 * down + 1) / length
    gloss = ((0.24 * right + 0.30 * down + 0.92) / length).clip(0, 1) ** 40
    return canvas[..., :3] * shade[..., None] + 0.2 * (gloss - 0.04).clip(0, 1)[..., None]


def _swirls(side: int, rng: Generator) -> Real:
    """A night of vortices and ringed lights over hills, with one dark tree."""
    canvas = _primed(side, "1a2454")
    _night(canvas, rng)
    for level, light in ((0.70, 0.75), (0.78, 0.55), (0.88, 0.32)):
        _hill(canvas, level, light, rng)
    at = 0.33 + 0.86j + rng.normal(size=(18, 2)) @ [0.12, 0.016j]
    _lay(canvas, _Brush(0.018, 0.01), at, _ramp(WARM, rng.uniform(0.65, 0.95, 18)), lambda z: 0 * z + 1j, rng)
    for x, tip, half in ((0.745, 0.50, 0.035), (0.885, 0.40, 0.038), (0.815, 0.08, 0.060)):
        _flame(canvas, x, tip, half, rng)
    return _lit(canvas)


def _night(canvas: Real, rng: Generator) -> None:
    """Sky in two sizes of stroke, then short dabs round every light and an orange crescent in the moon."""
    x = [0.44, 0.66, 0.16, 0.17, 0.62, 0.40, 0.30, 0.94, 0.62, 0.07, 0.95]
    y = [0.36, 0.50, 0.58, 0.17, 0.12, 0.09, 0.55, 0.13, 0.33, 0.40, 0.40]
    radius = np.array([0.19, 0.12, 0.13, 0.125, 0.06, 0.04, 0.045, 0.06, 0.035, 0.04, 0.05])
    spin = np.array([6, -6, 5, 9, 9, 9, 9, 9, 9, 9, 9])  # three vortices, then the lights: first the moon
    spots = np.array(x) + 1j * np.array(y) + rng.normal(size=(11, 2)) @ [0.012, 0.012j]
    wind, mist = _noise(1.6, rng), _noise(3.0, rng)

    def flow(at: Points) -> Points:
        out = at[:, None] - spots
        pull = spin * np.exp(-((np.abs(out) / radius / 1.3) ** 2)) / (np.abs(out) + 1e-9)
        return 1 + 0.45j * wind(at) + 1j * (pull * out).sum(axis=1)

    def tone(at: Points) -> Real:
        out = (at[:, None] - spots) / radius
        away, eddy, light = np.abs(out), slice(0, 3), slice(3, 11)
        arms = np.cos(2 * np.angle(out) - 1.5 * spin * np.log(away + 0.15))[:, eddy]
        tone = 0.27 + 0.07 * mist(0.6 * at.real + 1.6j * at.imag) + 0.10 * at.imag
        tone += (np.exp(-((away[:, eddy] / 1.1) ** 2)) * (0.10 + 0.20 * arms)).sum(axis=1)
        glow = np.exp(-1.1 * away**2) * (0.9 + 0.12 * np.cos(9 * away))
        return tone + (0.75 - 0.3 * tone) * glow[:, light].sum(axis=1)

    halo = np.concatenate([z + 1.5 * r * _halo(130, rng) for z, r in zip(spots[3:], radius[3:], strict=True)])
    dab = _Brush(0.045, 0.013, bristles=5, body=1.6, taper=0.6)
    sky = ((_Brush(0.13, 0.03), _spread(900, rng), 0.03), (_Brush(0.085, 0.015), _spread(3600, rng), 0.06))
    for brush, at, spread in (*sky, (dab, halo, 0.07)):
        rgb = _ramp(NIGHT, tone(at) + spread * rng.normal(size=len(at)))
        _lay(canvas, brush, at, _vary(rgb, 0.07, rng), flow, rng)
    moon = 0.058 * _halo(160, rng)
    moon = moon[np.abs(moon - 0.024 + 0.014j) > 0.042]
    _lay(canvas, dab, spots[3] + moon, _ramp(WARM, rng.uniform(0.55, 0.8, len(moon))), flow, rng)


def _hill(canvas: Real, level: float, light: float, rng: Generator) -> None:
    """One ridge, lit along its crest, with strokes that run along it."""
    a, b = rng.uniform(0, 2 * np.pi, 2)
    at = _spread(2600, rng)
    depth = at.imag - level - 0.033 * np.sin(6 * at.real + a) - 0.013 * np.sin(15 * at.real + b)
    at, depth = at[depth > 0], depth[depth > 0]
    tone = light + 0.3 * np.exp(-depth / 0.02) - 1.5 * depth + 0.14 * rng.normal(size=len(at))
    rgb, brush = _vary(_ramp(LAND, tone), 0.12, rng), _Brush(0.085, 0.016)
    _lay(canvas, brush, at, rgb, lambda z: 1 + 0.2j * (np.cos(6 * z.real + a) + np.cos(15 * z.real + b)), rng)


def _flame(canvas: Real, x: float, tip: float, half: float, rng: Generator) -> None:
    """One plume of the tree, like a dark flame, its strokes licking upwards."""
    lick, a = 30 - 26j, rng.uniform(0, 2 * np.pi)
    y = np.linspace(tip + 0.03, 1.03, int(1200 * (1.1 - tip)))
    across = rng.uniform(-1, 1, len(y))
    girth = half * ((y - tip) / (1 - tip)) ** 0.6 * (1 + 0.16 * np.sin(17 * y + a))
    at = x + 0.016 * np.sin(8 * y + a) * (y - tip) + girth * across + 1j * y
    tone = 0.38 - 0.26 * across + 0.22 * rng.normal(size=len(y))
    rgb, brush = _vary(_ramp(TREE, tone), 0.12, rng), _Brush(0.09, 0.013, 5, 0.15, body=1.3, taper=0.9)
    _lay(canvas, brush, at, rgb, lambda z: 0.4 * np.sin((lick * z).real + a) + 1.5 * (x - z.real) - 1j, rng)


def _knife(side: int, rng: Generator) -> Real:
    """Broad dabs, coarse to fine: one warm sweep of light against violet and turquoise."""
    canvas, drift, cast = _primed(side, "9e6238"), _noise(1.2, rng), _noise(2.2, rng)
    hub = -0.15 + 1.20j + rng.normal(size=2) @ [0.06, 0.06j]
    layers = ((65, 0.24, 0.085), (65, 0.15, 0.055), (50, 0.085, 0.03), (10, 0.12, 0.009))
    turns = 1j * np.exp([0, 0.8j, -0.5j, 0.25j])  # the wrist turns from one pass of a layer to the next
    for (count, length, width), turn in product(layers, turns):
        at = _spread(count, rng)
        sweep = (np.abs(at - hub) - 0.98) / 0.36 + 0.35 * drift(at)
        cool = 0.8 * sweep + 0.5 * cast(at) + 0.3 * rng.normal(size=len(at)) > 0.75
        cool ^= rng.uniform(size=len(at)) < (0.8 if width < 0.01 else 0.08)  # accents are the complement
        shadow = 0.45 + 0.3 * cast(1.5 * at) + 0.16 * rng.normal(size=len(at))
        light = 0.95 - 0.55 * np.abs(sweep) + 0.11 * rng.normal(size=len(at))
        rgb = _vary(np.where(cool[:, None], _ramp(COOL, shadow), _ramp(WARM, light)), 0.08, rng)
        brush = _Brush(length, width, bristles=16, ragged=0.2, body=1.5, taper=0.1)
        _lay(canvas, brush, at, rgb, lambda z, t=turn: (z - hub) * t * np.exp(0.35j * drift(1.7 * z)), rng)
    return _lit(canvas)


def _tiles(side: int, rng: Generator) -> Real:
    """A mosaic: stone tiles in rows that follow a sun, its sky and the sea below it."""
    from scipy import ndimage, spatial

    at, rgb = _tesserae(rng)
    line = (np.arange(side) + 0.5) / side
    pixels = line + 1j * line[:, None]
    seeds, spots = (z.view(np.float64).reshape(*z.shape, 2) for z in (at, pixels))
    near = np.asarray(spatial.KDTree(seeds).query(spots, k=2)[1])
    own, other = at[near[..., 0]], at[near[..., 1]]
    # The border of two Voronoi cells is the bisector of their seeds.
    edge = (np.abs(pixels - other) ** 2 - np.abs(pixels - own) ** 2) / (2 * np.abs(own - other))
    grain = np.asarray(ndimage.zoom(rng.normal(size=(320, 320)), side / 320, order=1))
    tilt = ((pixels - own) * (rng.normal(size=(len(at), 2)) @ [110, 110j])[near[..., 0]]).real
    relief = 2.2 * np.clip(edge / 0.0032, 0, 1) + tilt + 0.2 * grain
    stone = _vary(rgb, 0.09, rng)[near[..., 0]]
    stone[edge < 0.0012] = [0.24, 0.20, 0.19]
    return _lit(np.dstack([stone * (1 + 0.03 * grain[..., None]), relief]).astype(np.float32))


def _tesserae(rng: Generator, pitch: float = 0.021) -> tuple[Points, Real]:
    """The centre and colour of each tile: rings round the sun, and rows along the waves."""
    sun, (a, b) = 0.60 + 0.34j + rng.normal(size=2) @ [0.02, 0.02j], rng.uniform(0, 2 * np.pi, 2)
    rings = [k * np.exp(2j * np.pi * (np.arange(6 * k) + rng.uniform()) / (6 * k)) for k in range(1, 60)]
    sky = sun + pitch * np.concatenate(rings)
    row, x = (part.ravel() for part in np.mgrid[0:24, -0.03:1.03:pitch])
    sea = x + rng.uniform(size=24)[row.astype(int)] * pitch + 1j * (row + 0.5) * pitch * 0.9
    at = np.concatenate([sky, sea])
    shore = 0.66 + 0.030 * np.sin(9 * at.real + a) + 0.012 * np.sin(21 * at.real + b)
    at[len(sky) :] += 1j * shore[len(sky) :]
    wave = 0.5 + 0.5 * np.sin(row * 1.1 + 1.3 * np.sin(7 * x + 0.25 * row))
    path = (wave > 0.55) & (np.abs(x - sun.real) < 0.05 + 0.008 * row)  # sunlight on the lit sides of waves
    water = np.where(path[:, None], _ramp(SUN, 0.3 + 0.7 * wave), _ramp(SEA, 0.85 * wave))
    rgb = np.concatenate([_firmament(sky - sun), water])
    inside = np.maximum(np.abs(at.real - 0.5), np.abs(at.imag - 0.5)) < 0.54
    inside[: len(sky)] &= (at.imag < shore - 0.4 * pitch)[: len(sky)]
    return (at + rng.normal(size=(len(at), 2)) @ [0.08 * pitch, 0.08j * pitch])[inside], rgb[inside]


def _firmament(sky: Points) -> Real:
    """A banded disc, long and short pointed rays, and darkening rings of sky."""
    away, angle = np.abs(sky), np.angle(sky) * 6 / np.pi
    golden = np.abs(angle - np.rint(angle)) < 0.42 - (away - 0.15) / np.where(np.rint(angle) % 2, 0.36, 0.57)
    tone = np.where(away < 0.15, 1 - away / 0.15, 1.05 - 3 * (away - 0.15))
    air = 0.95 - 1.15 * away + 0.11 * np.sin(42 * away)
    return np.where((golden | (away < 0.15))[:, None], _ramp(SUN, tone), _ramp(SKY, air))
