"""Colour control: each mode changes what it says it changes, and nothing ever becomes no number."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from skimage.color import rgb2lab
from torch import Tensor

from brushwork import colour
from brushwork.context import Context
from brushwork.encoders import VGG19
from brushwork.events import Finished, Progress, Started
from brushwork.images import Picture, Sources, resize
from brushwork.jobs import Settings, Stylize
from brushwork.losses import Moments
from brushwork.optimize.engine import paint
from brushwork.styles import Style
from brushwork.weights import Weights
from commands import PLAIN

MODES: tuple[str, ...] = get_args(Settings.model_fields["color"].annotation)
CPU = Context(torch.device("cpu"), torch.float32)


def prepared(mode: str, photo: Tensor, *paintings: Tensor, amount: float = 1.0) -> colour.Prepared:
    settings = Settings.model_validate({"color": mode, "color_amount": amount})
    return colour.prepare(settings, photo, paintings, [1.0] * len(paintings))


def drawn(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """A picture of correlated colours within ``low`` and ``high``."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.einsum(
        "ij,njhw->nihw", torch.rand(3, 3, generator=generator), torch.rand(1, 3, *shape, generator=generator)
    )
    return low + (high - low) * mixed / mixed.max()


def moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    measured = Moments.of(pixels.double())
    return measured.mean, measured.covariance


def spread(pixels: Tensor) -> float:
    """The variance of colours across the grey axis."""
    return float((colour.CHROMA @ moments(pixels)[1] @ colour.CHROMA.T).trace())


def grey_of(pixels: Tensor) -> Tensor:
    return pixels.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1).contiguous()


def grey_error(pixels: Tensor) -> float:
    return float((pixels - pixels.mean(dim=1, keepdim=True)).abs().max())


# ------------------------------------------------------------------------------------------------- OKLab


def test_oklab_and_back() -> None:
    pixels = torch.rand(1, 3, 40, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(colour.from_oklab(colour.to_oklab(pixels)), pixels, atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (1, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    pixel = torch.tensor(rgb, dtype=torch.float64)[None, :, None, None]
    assert colour.to_oklab(pixel)[0, :, 0, 0].tolist() == pytest.approx(lab, abs=1e-4)


def test_colours_that_srgb_lacks_keep_lightness_and_hue() -> None:
    lab = torch.tensor(
        [[0.9, 0.1, 0.3], [0.1, -0.2, 0.1], [0.5, 0.3, -0.3], [1.0, 0.1, 0.1], [0.0, 0.2, 0.1]]
    )
    lab = lab.double().T[None, :, None]
    back = colour.to_oklab(colour.from_oklab(lab))
    assert torch.allclose(back[:, 0], lab[:, 0], atol=1e-5)
    turn = lab[:, 1] * back[:, 2] - lab[:, 2] * back[:, 1]
    assert float(turn.abs().max()) < 1e-4
    shorter = back[:, 1:].norm(dim=1) / lab[:, 1:].norm(dim=1)
    assert float(shorter.max()) < 1
    assert float(shorter[0, 0, :3].min()) > 0.1


# ------------------------------------------------------------------------------------- what each changes


@pytest.mark.parametrize("mode", MODES)
def test_amount_0_is_as_the_engine_paints(mode: str, photo: Tensor, painting: Tensor) -> None:
    nothing = prepared(mode, photo, painting, amount=0)
    assert nothing.photo is photo
    assert nothing.paintings[0] is painting
    assert nothing.restore(painting) is painting


def test_style_is_as_the_engine_paints(photo: Tensor, painting: Tensor) -> None:
    nothing = prepared("style", photo, painting)
    assert nothing.photo is photo
    assert nothing.paintings[0] is painting
    assert nothing.restore(painting) is painting


def test_content_takes_the_photos_chroma_and_leaves_lightness() -> None:
    photo, result = drawn(1, 20, 30, low=0.4, high=0.6), drawn(2, 20, 30, low=0.3, high=0.7)
    after = colour.to_oklab(prepared("content", photo, result).restore(result))
    assert torch.allclose(after[:, 1:], colour.to_oklab(photo)[:, 1:], atol=1e-4)
    assert torch.allclose(after[:, :1], colour.to_oklab(result)[:, :1], atol=1e-5)
    half = colour.to_oklab(prepared("content", photo, result, amount=0.5).restore(result))
    assert torch.allclose(half, (after + colour.to_oklab(result)) / 2, atol=1e-4)


def test_content_agrees_with_scikit_images_lab() -> None:
    """CIE Lab is another space: hues agree, to some degrees."""
    photo = drawn(3, 16, 16, low=0.2, high=0.8)
    grey = colour.fade(drawn(4, 16, 16, low=0.3, high=0.7))
    after = prepared("content", photo, grey).restore(grey)
    ours, wanted = (torch.from_numpy(rgb2lab(p[0].permute(1, 2, 0).numpy()))[..., 1:] for p in (after, photo))
    cosine = torch.cosine_similarity(ours, wanted, dim=-1)[wanted.norm(dim=-1) > 8]
    assert float(cosine.min()) > 0.95


@pytest.mark.parametrize("mode", ["content", "luminance", "lock"])
def test_the_photos_chroma_is_resized_to_the_result(mode: str, photo: Tensor, painting: Tensor) -> None:
    restore = prepared(mode, photo, painting).restore
    for height, width in ((24, 32), (96, 128), (7, 3)):
        assert restore(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


def test_match_gives_the_photos_mean_and_covariance() -> None:
    photo, painting = drawn(5, 40, 50, low=0.35, high=0.65), drawn(6, 30, 60, low=0.1, high=0.9)
    (matched,) = prepared("match", photo, painting).paintings
    for ours, wanted in zip(moments(matched), moments(photo), strict=True):
        assert torch.allclose(ours, wanted, atol=1e-4)
    (half,) = prepared("match", photo, painting, amount=0.5).paintings
    assert torch.allclose(half, (matched + painting) / 2, atol=1e-6)


def test_recolour_gives_the_photo_the_paintings_mean_and_covariance() -> None:
    """Of two paintings, the mixture's, by their weights."""
    photo, low, high = (
        drawn(5, 40, 50),
        drawn(6, 30, 60, low=0.4, high=0.6),
        drawn(7, 30, 60, low=0.45, high=0.65),
    )
    found = moments(colour.recolour(photo, [low, high], [3, 1], 1.0))
    mixed = moments(torch.cat([low, low, low, high], dim=3))
    for ours, wanted in zip(found, mixed, strict=True):
        assert torch.allclose(ours, wanted, atol=1e-4)
    assert torch.equal(colour.recolour(photo, [low], [1], 0.0), photo)


def test_transport_is_symmetric_and_carries_the_covariance() -> None:
    source, target = (Moments.of(drawn(seed, 40, 40).double()) for seed in (7, 8))
    matrix, offset = colour.transport(source, target)
    assert torch.allclose(matrix, matrix.T)
    assert torch.allclose(matrix @ source.mean + offset, target.mean)
    carried = matrix @ source.covariance @ matrix
    assert torch.allclose(carried, target.covariance, atol=1e-4)


def test_the_grain_of_a_grey_painting_does_not_become_colour() -> None:
    grain = (0.5 + 0.002 * torch.randn(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))).clamp(0, 1)
    (matched,) = prepared("match", drawn(9, 40, 40), grain).paintings
    assert float(matched.std(dim=(2, 3)).max()) < colour.MOST_GAIN * 0.0021


def test_histogram_follows_the_photos_principal_colours() -> None:
    photo, painting = drawn(10, 50, 40, low=0.3, high=0.7).square(), drawn(11, 40, 40).sqrt()
    (matched,) = prepared("histogram", photo, painting).paintings
    _, axes = torch.linalg.eigh(moments(photo)[1].float())
    ours, wanted = (torch.einsum("ji,njhw->inhw", axes, p).flatten(1) for p in (matched, photo))
    levels = torch.linspace(0.05, 0.95, 19)  # not the few in the tails, where the curve is steep
    assert torch.allclose(ours.quantile(levels, dim=1), wanted.quantile(levels, dim=1), atol=0.01)
    (half,) = prepared("histogram", photo, painting, amount=0.5).paintings
    assert torch.allclose(half, (matched + painting) / 2, atol=1e-6)


def test_histogram_does_not_tear_an_even_painting() -> None:
    steps = torch.cat([torch.zeros(1, 3, 20, 20), torch.ones(1, 3, 20, 20)], dim=-1)  # black, white
    even = torch.linspace(0.3, 0.7, 40).expand(1, 3, 20, 40)
    (matched,) = prepared("histogram", steps, even).paintings
    # Of twice the deviation, then at most three times as steep.
    assert float((matched[..., 1:] - matched[..., :-1]).max()) < 0.2


def test_luminance_works_on_grey_pictures_of_the_photos_lightness(photo: Tensor, painting: Tensor) -> None:
    work = prepared("luminance", photo, painting)
    assert grey_error(work.photo) < 1e-6
    assert grey_error(work.paintings[0]) < 1e-6
    ours, wanted = (moments(colour.to_oklab(p)[:, :1]) for p in (work.paintings[0], photo))
    assert ours[0].item() == pytest.approx(wanted[0].item(), abs=0.01)  # some is clipped
    assert ours[1].item() == pytest.approx(wanted[1].item(), abs=0.01)
    assert torch.allclose(work.restore(work.photo), photo, atol=1e-4)


@pytest.mark.parametrize("amount", [0.3, 1])
def test_luminance_gives_an_unpainted_photo_back(amount: float, photo: Tensor, painting: Tensor) -> None:
    work = prepared("luminance", photo, painting, amount=amount)
    assert torch.allclose(work.restore(work.photo), photo, atol=1e-4)


def chroma(pixels: Tensor) -> float:
    return float(colour.to_oklab(pixels)[:, 1:].norm(dim=1).mean())


def test_half_of_luminance_goes_half_the_way_to_the_photos_lightness() -> None:
    dark, light = drawn(5, 24, 32, high=0.5), drawn(6, 20, 28, low=0.5)
    half = prepared("luminance", dark, light, amount=0.5).paintings[0]
    own, wanted, found = (float(colour.to_oklab(picture)[:, 0].mean()) for picture in (light, dark, half))
    assert own - wanted > 0.3
    assert found == pytest.approx((own + wanted) / 2, abs=0.01)
    assert chroma(half) == pytest.approx(chroma(light) / 2, rel=0.1)


@pytest.mark.parametrize("amount", [0.5, 1])
def test_luminance_fades_a_start_from_elsewhere(amount: float) -> None:
    settings = Settings.model_validate({"color": "luminance", "color_amount": amount})
    picture = drawn(7, 24, 32)
    lab, faded = (colour.to_oklab(each) for each in (picture, colour.begin(settings, picture)))
    assert torch.allclose(faded[:, :1], lab[:, :1], atol=1e-4)
    assert torch.allclose(faded[:, 1:], (1 - amount) * lab[:, 1:], atol=1e-4)


def test_lock_gives_the_photo_the_paintings_palette() -> None:
    photo, painting = drawn(12, 40, 40, low=0.4, high=0.6), drawn(13, 40, 40, low=0.35, high=0.65)
    result = drawn(14, 40, 40, low=0.45, high=0.55)
    chroma, lightness = colour.to_oklab(photo)[:, 1:], colour.to_oklab(result)[:, :1]
    matrix, offset = colour.transport(
        *(Moments.of(colour.to_oklab(p)[:, 1:].double()) for p in (photo, painting))
    )
    mapped = torch.einsum("ij,njhw->nihw", matrix.float(), chroma) + offset.float()[:, None, None]
    for ours, wanted in zip(moments(mapped), moments(colour.to_oklab(painting)[:, 1:]), strict=True):
        assert torch.allclose(ours, wanted, atol=1e-4)
    after = colour.to_oklab(prepared("lock", photo, painting).restore(result))
    assert torch.allclose(after[:, 1:], colour.follow(mapped, lightness), atol=1e-4)
    assert torch.allclose(after[:, :1], lightness, atol=1e-5)


def test_lock_blends_the_palettes_of_several_paintings(photo: Tensor) -> None:
    red, blue = (
        torch.tensor(c)[None, :, None, None].expand(1, 3, 8, 8) for c in ([0.8, 0.3, 0.3], [0.3, 0.3, 0.8])
    )
    grey = torch.full((1, 3, 20, 20), 0.5)
    settings = Settings(color="lock")
    after = colour.prepare(settings, grey, [red, blue], [1.0, 3.0]).restore(grey)
    wanted = (colour.to_oklab(red).mean((2, 3)) + 3 * colour.to_oklab(blue).mean((2, 3)))[0, 1:] / 4
    assert torch.allclose(colour.to_oklab(after).mean((2, 3))[0, 1:], wanted, atol=1e-3)


@given(st.integers(0, 1000), st.floats(0.01, 1))
@hypothesis_settings(deadline=None, max_examples=30)
def test_palette_takes_out_what_the_painting_has_less_of(seed: int, colourful: float) -> None:
    photo, result = drawn(seed, 20, 30, low=0.3, high=0.7), drawn(seed + 1, 20, 30, low=0.3, high=0.7)
    other = drawn(seed + 2, 20, 30, low=0.3, high=0.7)
    painting = other.mean(dim=1, keepdim=True).lerp(other, colourful)
    restored = prepared("palette", photo, painting).restore(result)
    assert torch.allclose(moments(restored)[0], moments(result)[0], atol=1e-4)
    assert torch.allclose(restored.mean(dim=1), result.mean(dim=1), atol=1e-5)  # what lies on the grey axis
    assert spread(restored) <= min(spread(result), spread(painting)) + 1e-5


def test_palette_leaves_a_paler_result_alone(photo: Tensor) -> None:
    result = drawn(5, 20, 30, low=0.3, high=0.7)
    vivid = result.mean(dim=1, keepdim=True).lerp(result, 1.5)
    assert torch.allclose(prepared("palette", photo, vivid).restore(result), result, atol=1e-5)


def test_palette_of_several_paintings_is_that_of_all(photo: Tensor) -> None:
    result, red = drawn(6, 20, 30, low=0.3, high=0.7), drawn(6, 20, 30, low=0.3, high=0.7)
    none, some, all_of_it = (
        spread(prepared("palette", photo, *arts).restore(result))
        for arts in ([grey_of(red)], [grey_of(red), red], [red])
    )
    assert none < 1e-6 < some < all_of_it


def test_palette_goes_as_far_as_twice_the_strength(photo: Tensor, painting: Tensor) -> None:
    result = drawn(7, 20, 30, low=0.3, high=0.7)

    def restored(strength: float, style_weight: float = 1) -> Tensor:
        asked = {"color": "palette", "strength": strength, "style_weight": style_weight}
        settings = Settings.model_validate(asked)
        return colour.prepare(settings, photo, [grey_of(painting)], [1.0]).restore(result)

    assert restored(0) is result
    assert restored(0.5, style_weight=0) is result
    assert torch.allclose(restored(0.25), (result + restored(0.5)) / 2, atol=1e-6)
    assert torch.equal(restored(0.5), restored(0.9))


def test_follow_keeps_edges_and_smooths_between_them() -> None:
    edge = torch.cat([torch.full((1, 1, 30, 30), 0.2), torch.full((1, 1, 30, 30), 0.8)], dim=-1)
    noise = 0.05 * torch.randn(1, 2, 30, 60, generator=torch.Generator().manual_seed(1))
    chroma = 0.2 * edge.expand(-1, 2, -1, -1) + noise
    after = colour.follow(chroma, edge)
    assert float((after - 0.2 * edge).std()) < 0.6 * float(noise.std())
    assert float(after[..., 31].mean() - after[..., 28].mean()) == pytest.approx(0.12, abs=0.02)


def test_follow_around_the_edges_of_a_pattern() -> None:
    chroma, lightness = drawn(1, 30, 44)[:, 1:], drawn(2, 30, 44)[:, :1]
    turned = [each.roll((7, 11), (-2, -1)) for each in (chroma, lightness)]
    after = colour.follow(chroma, lightness, wrap=True).roll((7, 11), (-2, -1))
    assert torch.allclose(colour.follow(*turned, wrap=True), after, atol=1e-6)
    assert not torch.allclose(colour.follow(*turned), after, atol=1e-2)
    settings = Settings.model_validate({"color": "lock", "tileable": True})
    photo, result = drawn(3, 30, 44), drawn(4, 30, 44)
    ahead = colour.prepare(settings, photo.roll(9, -1), [photo], [1.0]).restore(result.roll(9, -1))
    behind = colour.prepare(settings, photo, [photo], [1.0]).restore(result).roll(9, -1)
    assert torch.allclose(ahead, behind, atol=1e-4)


def test_a_palette_measures_what_can_be_shown() -> None:
    photo, painting = drawn(5, 24, 24), drawn(6, 24, 24, low=0.4, high=0.6)
    settings = Settings.model_validate({"color": "palette", "strength": 1.0})
    restore = colour.prepare(settings, photo, [painting], [1.0]).restore
    beyond = 1.6 * photo - 0.3
    assert torch.equal(restore(beyond), restore(beyond.clamp(0, 1)))


def test_colours_stay_where_no_style_is_asked_for() -> None:
    shares = {(s, w): colour.share_of_style(Settings.model_validate({"strength": s, "style_weight": w}))
              for s in (0, 0.25, 0.5, 1) for w in (0, 1)}  # fmt: skip
    assert shares == {(0, 0): 0, (0, 1): 0, (0.25, 0): 0, (0.25, 1): 0.5, (0.5, 0): 0, (0.5, 1): 1,
                      (1, 0): 0, (1, 1): 1}  # fmt: skip


# ----------------------------------------------------------------------------------------- never no number

colours = st.tuples(*[st.sampled_from([0.0, 1 / 255, 0.5, 1.0])] * 3)


@st.composite
def pictures(draw: st.DrawFn) -> Tensor:
    """Flat, grey, random or extreme, down to one pixel high."""
    height, width, seed = draw(st.integers(1, 12)), draw(st.integers(1, 40)), draw(st.integers(0, 99))
    kind = draw(st.sampled_from(["flat", "grey", "random", "extreme", "faint"]))
    random = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    flat = torch.tensor(draw(colours))[None, :, None, None].expand(1, 3, height, width)
    made = {
        "flat": flat,
        "grey": random[:, :1].expand(1, 3, -1, -1),
        "random": random,
        "extreme": random.round(),
        "faint": (flat + 1e-4 * random).clamp(0, 1),
    }
    return made[kind].contiguous()


@given(st.sampled_from(MODES), pictures(), pictures(), pictures(), st.floats(0, 1))
@hypothesis_settings(deadline=None, max_examples=60)
def test_always_a_picture(mode: str, photo: Tensor, painting: Tensor, result: Tensor, amount: float) -> None:
    work = prepared(mode, photo, painting, painting.flip(1), amount=amount)
    for made in (work.photo, *work.paintings, work.restore(result)):
        assert bool(made.isfinite().all())
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
    assert work.photo.shape == photo.shape
    assert all(p.shape == painting.shape for p in work.paintings)
    assert work.restore(result).shape == result.shape


@given(st.sampled_from(MODES), st.floats(0, 1))
@hypothesis_settings(deadline=None, max_examples=20)
def test_what_goes_in_is_not_changed(mode: str, amount: float) -> None:
    pictures = [drawn(seed, 9, 11) for seed in range(3)]
    copies = [picture.clone() for picture in pictures]
    prepared(mode, pictures[0], pictures[1], amount=amount).restore(pictures[2])
    assert all(map(torch.equal, pictures, copies))


def test_pixels_out_of_range_are_clipped(photo: Tensor, painting: Tensor) -> None:
    wild = 3 * torch.rand(1, 3, 48, 64) - 1
    for mode in ("content", "luminance", "lock"):
        after = prepared(mode, photo, painting).restore(wild)
        assert torch.equal(after, prepared(mode, photo, painting).restore(wild.clamp(0, 1)))


# --------------------------------------------------------------------------------------------- the engine


@pytest.fixture(scope="module")
def encoder(weights: Weights) -> VGG19:
    return VGG19(weights)


def painted(encoder: VGG19, photo: Picture, painting: Tensor, **options: Any) -> tuple[list[Tensor], Picture]:
    """The pictures that a run shows, and its result."""
    shallow: dict[str, Any] = {
        **PLAIN,
        "content_layers": {"block2_conv1": 1.0},
        "style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.5},
        "scales": {0.5: 1.0, 1.0: 1.0},
        "size": 32,
        "steps": 3,
    }
    job = Stylize(content="photo", styles=(Style(path="art"),), **(shallow | options))
    init = Picture(painting) if options.get("init") == "file" else None
    shown: list[Tensor] = []
    for event in paint(job, Sources(photo, [Picture(painting)], init), encoder, CPU):
        if isinstance(event, Finished):
            return shown, event.picture
        if isinstance(event, Started | Progress):  # a Checkpoint holds the picture that is worked on
            shown.append(event.start if isinstance(event, Started) else event.image)
    raise AssertionError


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("init", ["content", "noise", "style", "file"])
def test_luminance_stays_grey_while_it_works(
    encoder: VGG19, photo: Tensor, painting: Tensor, optimizer: str, init: str
) -> None:
    grey = Picture(photo.mean(dim=1, keepdim=True).expand(1, 3, -1, -1).contiguous())
    shown, result = painted(encoder, grey, painting, color="luminance", optimizer=optimizer, init=init)
    assert max(grey_error(picture) for picture in shown) < 1e-5
    assert grey_error(result.pixels) < 1e-5
    assert any(not torch.equal(a, b) for a, b in itertools.pairwise(shown[-3:]))


def test_half_of_luminance_takes_half_of_a_files_chroma(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    """Of a grey photo, whose chroma is put back, there is none."""
    options: dict[str, Any] = {"init": "file", "scales": {1.0: 1.0}, "strength": 0, "steps": 1}
    grey = Picture(grey_of(photo))
    shown, _ = painted(encoder, grey, painting, color="luminance", color_amount=0.5, **options)
    height, width = shown[0].shape[-2:]
    file = resize(painting, height, width, "lanczos")
    assert chroma(shown[0]) == pytest.approx(chroma(file) / 2, rel=0.2)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("style", "palette")])
def test_every_mode_changes_the_picture(encoder: VGG19, photo: Tensor, painting: Tensor, mode: str) -> None:
    plain, _ = painted(encoder, Picture(photo), painting)
    shown, result = painted(encoder, Picture(photo), painting, color=mode)
    half, _ = painted(encoder, Picture(photo), painting, color=mode, color_amount=0.5)
    assert [p.shape for p in shown] == [p.shape for p in plain]
    assert not torch.allclose(shown[-1], plain[-1], atol=0.02)
    assert not torch.allclose(shown[-1], half[-1], atol=0.01)
    none, _ = painted(encoder, Picture(photo), painting, color=mode, color_amount=0)
    assert all(map(torch.equal, none, plain))
    assert float(result.pixels.min()) >= 0


def test_a_print_stays_black(encoder: VGG19, photo: Tensor, painting: Tensor) -> None:
    tinted, black = (
        spread(painted(encoder, Picture(photo), grey_of(painting), color=mode)[1].pixels)
        for mode in ("style", "palette")
    )
    assert black < 0.001 * tinted


def test_what_is_shown_on_the_way_has_the_colours_of_the_result(
    encoder: VGG19, photo: Tensor, painting: Tensor
) -> None:
    shown, result = painted(encoder, Picture(photo), painting, color="content", keep="last", optimizer="adam")
    assert torch.equal(shown[-1], result.pixels)
    small = resize(photo, 24, 32, "lanczos")
    apart = colour.to_oklab(shown[-1])[:, 1:] - colour.to_oklab(small)[:, 1:]
    assert float(apart.abs().mean()) < 0.01


@pytest.mark.parametrize("mode", MODES)
def test_alpha_depth_and_resolution_survive(
    encoder: VGG19, photo: Tensor, painting: Tensor, mode: str
) -> None:
    alpha = torch.linspace(0, 1, 64).expand(1, 1, 48, 64)
    given = Picture(photo, alpha, 16, (300, 300))
    _, result = painted(encoder, given, painting, color=mode, size=64, scales={1.0: 1.0}, steps=2)
    assert result.alpha is not None
    assert torch.equal(result.alpha, alpha)
    assert (result.bits, result.dpi) == (16, (300, 300))
    levels = result.pixels * 255
    assert float((levels - levels.round()).abs().max()) > 0.2  # more than 8 bits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["black", "grey", "flat painting", "wide"])
def test_pictures_at_the_edge(encoder: VGG19, photo: Tensor, painting: Tensor, mode: str, what: str) -> None:
    photos = {"black": 0 * photo, "grey": photo[:, :1].expand(1, 3, -1, -1), "wide": photo[:, :, :4]}
    picture = photos.get(what, photo).contiguous()
    art = torch.full_like(painting, 0.6) if what == "flat painting" else painting
    shown, result = painted(encoder, Picture(picture), art, color=mode)
    assert all(bool(p.isfinite().all()) for p in (*shown, result.pixels))


def test_project_leaves_other_jobs_alone() -> None:
    gradient = torch.rand(1, 3, 4, 5)
    for mode, amount in itertools.product(MODES, (0.5, 1)):
        settings = Settings.model_validate({"color": mode, "color_amount": amount})
        projected = colour.project(settings, gradient)
        if (mode, amount) == ("luminance", 1):
            assert grey_error(projected) == 0
            assert torch.allclose(projected.mean(dim=1), gradient.mean(dim=1))
        else:
            assert projected is gradient


def test_a_job_repeats_bit_for_bit(photo: Tensor, painting: Tensor, encoder: VGG19) -> None:
    first, _ = painted(encoder, Picture(photo), painting, color="lock")
    again, _ = painted(encoder, Picture(photo), painting, color="lock")
    assert all(map(torch.equal, first, again))


def test_a_cameras_pixels_are_sampled(photo: Tensor, painting: Tensor) -> None:
    large = resize(photo, 1536, 2048, "bicubic")
    assert colour.SAMPLE * 4 > large[0, 0].numel() > colour.SAMPLE * 3
    few, all_of_them = (colour.match(painting, x) for x in (photo, large))
    assert torch.allclose(few, all_of_them, atol=0.02)
