"""The detectors of what goes wrong with trained networks, each on pictures that have it and that have not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from brushwork.training.gates import REMEDIES, Gate, frame, lattice, of_pixels, share_bright, share_dark


@pytest.fixture(scope="module")
def natural() -> Tensor:
    """Eight pictures whose energy falls with frequency, as photos' does; (8, 3, 96, 96)."""
    noise = torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    frequencies = torch.fft.fftfreq(96)[:, None].square() + torch.fft.rfftfreq(96).square()
    shaped = torch.fft.irfft2(torch.fft.rfft2(noise) / (frequencies.sqrt() + 0.02), s=(96, 96))
    return (0.5 + 0.15 * shaped / shaped.std()).clamp(0.05, 0.95)


def failing(made: Tensor, photos: Tensor) -> set[str]:
    return {gate.name for gate in of_pixels((photos,), photos, made, REMEDIES) if not gate.is_passed}


def test_good_pictures_pass(natural: Tensor) -> None:
    assert failing(natural, natural) == set()
    softer = avg_pool2d(avg_pool2d(pad(natural, (1, 1, 1, 1), "reflect"), 2, 1), 2, 1)
    assert failing(softer, natural) == set()
    assert 0.5 < lattice(natural) < 2


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("upright", [True, False])
def test_a_faint_lattice_is_found(natural: Tensor, period: int, upright: bool) -> None:
    wave = torch.cos(2 * torch.pi * torch.arange(96) / period)
    spoilt = (natural + 0.03 * (wave if upright else wave[:, None])).clamp(0, 1)
    assert failing(spoilt, natural) == {"checkerboard"}
    assert lattice(spoilt) > 3


def test_a_lattice_of_the_photos_is_no_fault(natural: Tensor) -> None:
    wave = 0.03 * torch.cos(torch.pi * torch.arange(96))
    assert failing(natural + wave, natural + wave) == set()


def test_black_and_white_patches_are_found(natural: Tensor) -> None:
    black, white = natural.clone(), natural.clone()
    black[:, :, 20:60, 20:60], white[:, :2, 20:60, 20:60] = 0, 1
    assert failing(black, natural) == {"black"}
    assert failing(white, natural) == {"blown out"}
    assert share_dark(black) == pytest.approx((40 / 96) ** 2)
    assert share_bright(white) == pytest.approx((40 / 96) ** 2)
    assert failing(black, black) == set()


def test_a_frame_is_found(natural: Tensor) -> None:
    framed = natural.clone()
    inside = framed[..., 6:-6, 6:-6].clone()
    framed[:, 1] = (framed[:, 1] - 0.15).clamp(0, 1)
    framed[..., 6:-6, 6:-6] = inside
    assert failing(framed, natural) == {"frame"}
    assert frame(framed, natural) == pytest.approx(0.15, abs=0.02)
    assert failing(framed, framed) == set()


def test_a_gate_is_passed_up_to_its_limit() -> None:
    assert Gate("", 0.5, 0.5, "").is_passed
    assert not Gate("", 0.51, 0.5, "").is_passed
