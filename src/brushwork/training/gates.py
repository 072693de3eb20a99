"""Is a trained network good? Scores on photos held back, and detectors of what goes wrong in this field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from brushwork.metrics.scores import cover
from brushwork.training.perceptual import STROKES, Criterion

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
DARK, BRIGHT = 0.03, 0.97
BAND, RING = 6, 18  # pixels of the frame looked for, and up to where it is compared with what lies inside
NEAR = 2  # a window spreads a frequency's energy over so many bins to each side
SURELY = 0.05  # how much more of dark, bright or frame counts as wrong


REMEDIES = {
    "black": "black patches: --style-weight 0.5, or half the --learning-rate",
    "blown out": "saturated patches: --style-weight 0.5, or half the --learning-rate",
    "checkerboard": "a lattice of 2 or 4 pixels: go on with --from and twice the --steadiness",
    "frame": "a frame along the edges: train longer, or check the painting for a margin",
}
"""Of a style network."""


@dataclass(frozen=True)
class Gate:
    """One thing that can be wrong with a network's pictures, what was measured and what may be at most."""

    name: str
    value: float
    limit: float
    remedy: str

    @property
    def is_passed(self) -> bool:
        """Whether it is not wrong."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Verdict:
    """Scores by who painted, and the gates."""

    scores: Mapping[str, Mapping[str, float]]
    gates: tuple[Gate, ...]


@torch.no_grad()
def judge(
    criterion: Criterion, painting: Tensor, photos: Tensor, made: Tensor, optimised: Tensor | None = None
) -> Verdict:
    """Judge pictures (N, 3, h, w) that a network made of photos, beside those of the optimise engine.

    ``painting`` is (1, 3, H, W). Whatever the photos and the painting themselves have of black, white,
    lattice or frame is no fault. Scores are ``content``: 0 the photo's, 1 the painting's; ``style``: 1 the
    photo's, 0 the painting's.
    """
    height, width = photos.shape[-2:]
    art = cover(painting, height, width).to(photos)
    scores = {"network": score(criterion, art, photos, made)}
    if optimised is not None:
        scores["optimise engine"] = score(criterion, art, photos, optimised)
    return Verdict(scores, (*_of_scores(scores), *of_pixels((art, photos), photos, made, REMEDIES)))


def score(criterion: Criterion, art: Tensor, photos: Tensor, made: Tensor) -> Mapping[str, float]:
    """The mean over pictures (N, 3, h, w); ``art`` is the painting at their size."""
    pairs = zip(photos.split(1), made.split(1), strict=True)
    rows = torch.tensor([_score(criterion, art, *pair) for pair in pairs])
    content, style = rows.mean(0).tolist()
    return {"content": content, "style": style}


def _score(criterion: Criterion, art: Tensor, photo: Tensor, made: Tensor) -> tuple[float, float]:
    natural = STROKES.index(1.0)
    own = criterion.of_photos(photo)
    content, style = list[float](), list[Tensor]()
    for picture in (made, art, photo):
        features = criterion.features(picture)
        content.append(float(criterion.content(features, own)))
        style.append(criterion.style(features, natural)[0])
    return content[0] / max(content[1], 1e-12), float((style[0] / style[2].clamp(min=1e-12)).mean())


def _of_scores(scores: Mapping[str, Mapping[str, float]]) -> list[Gate]:
    one, peer = scores["network"], scores.get("optimise engine")
    style = max(0.5, peer["style"] + 0.3) if peer else 0.7
    content = max(0.6, peer["content"] + 0.25) if peer else 0.8
    return [
        Gate(
            "style missing",
            one["style"],
            min(style, 0.85),
            "little style has been taken on: train longer (--from NETWORK --steps N), or --style-weight 2",
        ),
        Gate(
            "photo lost",
            one["content"],
            min(content, 0.95),
            "the photos can hardly be seen: --style-weight 0.5, or train longer on more photos",
        ),
    ]


def of_pixels(
    sources: Sequence[Tensor], photos: Tensor, made: Tensor, remedies: Mapping[str, str]
) -> list[Gate]:
    """What can be seen to be wrong with pictures (N, 3, h, w) by their pixels alone, each with its remedy.

    What the ``sources`` themselves have of it is no fault; frames are those that ``photos`` have not.
    """
    measured = {
        "black": (share_dark(made), max(map(share_dark, sources)) + SURELY),
        "blown out": (share_bright(made), max(map(share_bright, sources)) + SURELY),
        "checkerboard": (lattice(made), max(3.0, *(2 * lattice(source) for source in sources))),
        # Of a few pictures the own edges do not cancel yet.
        "frame": (frame(made, photos), SURELY * (1 + 2 / len(made) ** 0.5)),
    }
    return [Gate(name, value, limit, remedies[name]) for name, (value, limit) in measured.items()]


def share_dark(pictures: Tensor) -> float:
    """The share of pixels of (N, 3, h, w) that are as good as black."""
    return float((pictures.amax(1) < DARK).float().mean())


def share_bright(pictures: Tensor) -> float:
    """The share of pixels of (N, 3, h, w) that are as good as white, or burnt out in two channels."""
    return float(((pictures > BRIGHT).sum(1) >= 2).float().mean())


def lattice(pictures: Tensor) -> float:
    """How far the energy at periods of 2 and 4 pixels stands out of (N, 3, h, w): about 1 when it does not.

    What is upsampled twice by two leaves its artefacts at exactly these frequencies (Odena et al.,
    "Deconvolution and Checkerboard Artifacts", 2016). The largest ratio, over both directions and periods, of
    a frequency's energy to the median of its neighbours'.
    """
    grey = (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1)
    return max(_peak(grey, 4), _peak(grey.mT, 4), _peak(grey, 2), _peak(grey.mT, 2))


def _peak(grey: Tensor, period: int) -> float:
    """Along the rows of (N, h, w)."""
    width = grey.shape[-1] // 4 * 4
    window = torch.hann_window(width, periodic=True, device=grey.device)
    power = torch.fft.rfft(grey[..., :width] * window).abs().square().mean((0, 1))
    at, reach = width // period, max(6, width // 24)
    beside = [
        power[i]
        for i in range(at - reach, at + reach + 1)
        if abs(i - at) > NEAR and 0 < i < len(power)  # beyond the last one there is nothing
    ]
    return float(power[at] / torch.stack(beside).median().clamp(min=1e-12))


def frame(pictures: Tensor, photos: Tensor) -> float:
    """How much the colour of a border differs from what lies beside it, beyond what it does in the photos.

    Both (N, 3, h, w). Differences are signed and averaged over pictures, whose own cancel where a frame's
    add up; the largest over channels.
    """
    return float((_step(pictures) - _step(photos)).abs().max())


def _step(pictures: Tensor) -> Tensor:
    """Mean of the border less mean of the ring inside it, (3,)."""
    outer, middle = pictures[..., BAND:-BAND, BAND:-BAND], pictures[..., RING:-RING, RING:-RING]
    sums = [each.sum((-2, -1)) for each in (pictures, outer, middle)]
    areas = [each.shape[-2] * each.shape[-1] for each in (pictures, outer, middle)]
    border = (sums[0] - sums[1]) / (areas[0] - areas[1])
    ring = (sums[1] - sums[2]) / (areas[1] - areas[2])
    return (border - ring).mean(0)
