"""Photos to learn from: folders, tar files, Hugging Face data sets; crops; pairs by name."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from brushwork.errors import InputError
from brushwork.training.pairings import PairCrops, match
from brushwork.training.photos import Crops, middle, open_photos, random_crop, set_aside, split


def png(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture whose red is ``shade`` and whose green grows to the right."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = shade, np.linspace(0, 255, size[0])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def shade(picture: Tensor) -> int:
    return round(float(picture[:, 0].mean()) * 255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "photos"
    (place / "below").mkdir(parents=True)
    for number in range(6):
        (place / ("below" if number % 2 else ".") / f"{number}.png").write_bytes(png(10 * number))
    (place / "notes.txt").write_text("no picture")
    return place


def packed(folder: Path, place: Path) -> Path:
    with tarfile.open(place, "w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.name, recursive=False)
    return place


def test_a_folder_and_a_tar_have_the_same_photos(folder: Path, tmp_path: Path) -> None:
    loose, tar = open_photos(str(folder)), open_photos(str(packed(folder, tmp_path / "photos.tar")))
    assert sorted(shade(loose.read(i)) for i in range(6)) == [0, 10, 20, 30, 40, 50]
    assert sorted(shade(tar.read(i)) for i in range(6)) == [0, 10, 20, 30, 40, 50]
    assert len(loose) == len(tar) == 6
    assert tar.name(0).endswith("photos.tar:0.png")
    shards = tmp_path / "shards"
    shards.mkdir()
    for name in ("a.tar", "b.tar"):
        packed(folder, shards / name)
    assert len(open_photos(str(shards))) == 12


def test_a_hugging_face_data_set(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = [str(path) for path in sorted(folder.rglob("*.png"))]
    rows = datasets.Dataset.from_dict({"label": list(range(6)), "image": paths})
    rows = rows.cast_column("image", datasets.Image())
    rows.save_to_disk(str(tmp_path / "set"))
    photos = open_photos(f"hf:{tmp_path / 'set'}")
    assert sorted(shade(photos.read(i)) for i in range(6)) == [0, 10, 20, 30, 40, 50]
    gaps = datasets.Dataset.from_dict({"image": [None, paths[0]]}).cast_column("image", datasets.Image())
    gaps.save_to_disk(str(tmp_path / "gaps"))
    photos = open_photos(f"hf:{tmp_path / 'gaps'}")
    assert shade(photos.read(0, [1])) in (0, 10, 20, 30, 40, 50)
    assert "there is no picture in this row" in photos.troubles[0]
    with pytest.raises(InputError, match="has no splits: leave @ out"):
        open_photos(f"hf:{tmp_path / 'set'}@test")
    datasets.DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "parts"))
    assert len(open_photos(f"hf:{tmp_path / 'parts'}@test")) == 6
    with pytest.raises(InputError, match="no split 'train': give NAME@test"):
        open_photos(f"hf:{tmp_path / 'parts'}")
    datasets.Dataset.from_dict({"label": [1]}).save_to_disk(str(tmp_path / "words"))
    with pytest.raises(InputError, match="no column of pictures: label"):
        open_photos(f"hf:{tmp_path / 'words'}")


def test_what_a_system_keeps_about_files_is_no_photo(folder: Path, tmp_path: Path) -> None:
    (folder / "._0.png").write_bytes(b"what macOS knows about 0.png")
    assert len(open_photos(str(folder))) == len(open_photos(str(packed(folder, tmp_path / "p.tar")))) == 6


def test_pictures_beside_a_tar_are_not_forgotten_silently(folder: Path) -> None:
    packed(folder, folder.parent / "two.tar").rename(folder / "two.tar")
    assert open_photos(str(folder)).troubles[0].startswith(f"6 pictures beside {folder / 'two.tar'}: ")


@pytest.mark.parametrize("damaged", [1, 3, 6])
def test_in_place_of_one_held_back_comes_one_that_was_to_be_learnt_from(folder: Path, damaged: int) -> None:
    for path in sorted(folder.rglob("*.png"))[:damaged]:
        path.write_bytes(path.read_bytes()[:-40])
    photos = open_photos(str(folder))
    numbers = [2, 3, 4, 5], [0, 1]
    if damaged == 6:
        with pytest.raises(InputError, match="none of the pictures can be read"):
            set_aside(photos, numbers, photos.look, "pictures")
        return
    found = set_aside(photos, numbers, photos.look, "pictures")
    assert [*found] == ([2, 1] if damaged == 1 else [3, 4])
    assert all(torch.equal(picture, photos.read(number)) for number, picture in found.items())
    assert len(photos.troubles) == damaged


def test_what_cannot_be_read_is_listed_and_another_taken(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"no JPEG")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])  # whose header is still good
    photos = open_photos(str(folder))
    assert len(photos) == 7
    assert [trouble for trouble in photos.troubles if "broken.jpg" in trouble]
    shades = [shade(photos.read(index, range(7))) for index in range(7)]
    assert set(shades) == {0, 10, 20, 30, 40, 50}
    assert len(photos.troubles) == 2
    assert "cut.png" in photos.troubles[1]
    photos.read(6, [0])
    assert len(photos.troubles) == 2  # told once


def test_one_good_photo_is_found_among_many_that_are_damaged(tmp_path: Path) -> None:
    whole = png(50)
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(whole if number == 3 else whole[: len(whole) // 2])
    crops = Crops(open_photos(str(tmp_path)), [*range(9)], 16, 3, 0)
    assert {shade(crop[None]) for epoch in range(3) for batch in crops.epoch(epoch, 0) for crop in batch} == {
        50
    }


def test_an_extra_that_is_missing_leaves_one_photo_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (64, 64))).save(folder / "phone.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    photos = open_photos(str(folder))
    assert len(photos) == 6
    assert "pip install 'brushwork[heif]'" in photos.troubles[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda place: place.mkdir(), "no pictures in it"),
        (lambda place: None, "no folder of photos, .tar file or hf:NAME"),
        (lambda place: (place.mkdir(), (place / "a.jpg").write_bytes(b"x")), "1 cannot be read"),
    ],
)
def test_a_place_without_photos(tmp_path: Path, make: Callable[[Path], object], words: str) -> None:
    make(tmp_path / "photos")
    with pytest.raises(InputError, match=words):
        open_photos(str(tmp_path / "photos"))


def test_a_compressed_tar_is_refused(folder: Path, tmp_path: Path) -> None:
    content = packed(folder, tmp_path / "plain.tar").read_bytes()
    (tmp_path / "packed.tar").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="not a plain tar file"):
        open_photos(str(tmp_path / "packed.tar"))


@given(st.integers(2, 500), st.integers(1, 64), st.integers(0, 9))
def test_what_is_held_back_is_not_learnt_from(count: int, held_back: int, seed: int) -> None:
    learnt, kept = split(count, held_back, seed)
    assert sorted([*learnt, *kept]) == list(range(count))
    assert 1 <= len(kept) <= max(1, min(held_back, count // 10))
    assert (learnt, kept) == split(count, held_back, seed)


def test_one_picture_is_refused() -> None:
    with pytest.raises(InputError, match="one picture only"):
        split(1, 8, 0)


def test_crops_begin_in_the_middle_as_they_would_have_come(folder: Path) -> None:
    photos = open_photos(str(folder))

    def batches(number: int, start: int, readers: int = 2, seed: int = 3) -> list[Tensor]:
        return list(Crops(photos, [0, 1, 2, 4, 5], 16, 2, seed, readers).epoch(number, start))

    whole = batches(1, 0)
    assert [tuple(batch.shape) for batch in whole] == [(2, 3, 16, 16)] * 2  # the fifth waits for its turn
    assert torch.equal(whole[1], batches(1, 1)[0])
    assert torch.equal(torch.cat(whole), torch.cat(batches(1, 0, readers=1)))
    assert not torch.equal(whole[0], batches(2, 0)[0])
    assert not torch.equal(whole[0], batches(1, 0, seed=4)[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.sampled_from([16, 32]), st.integers(0, 99))
def test_a_crop_has_the_side_asked_for(height: int, width: int, side: int, seed: int) -> None:
    photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    crop = random_crop(photo, side, np.random.default_rng(seed))
    assert crop.shape == (1, 3, side, side)
    assert crop.min() >= 0
    assert crop.max() <= 1
    assert torch.equal(crop, random_crop(photo, side, np.random.default_rng(seed)))


def test_crops_are_mirrored_and_of_many_sizes() -> None:
    ramp = torch.linspace(0, 1, 60).expand(1, 3, 60, 60)
    crops = [random_crop(ramp, 16, np.random.default_rng(seed))[0, 0, 0] for seed in range(30)]
    steps = torch.stack([row[-1] - row[0] for row in crops])
    assert 5 < (steps > 0).sum() < 25
    assert steps.abs().min() < 0.7 < 0.9 < steps.abs().max()
    assert torch.equal(middle(ramp[..., 10:50, :], 40), ramp[..., 10:50, 10:50])


# ------------------------------------------------------------------------------------------------- pairs


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[str, str]:
    for side in ("inputs", "targets"):
        (tmp_path / side).mkdir()
        for number in range(4):
            (tmp_path / side / f"{number}.png").write_bytes(png(40 * number + (side == "targets")))
    return str(tmp_path / "inputs"), str(tmp_path / "targets")


def test_strays_and_other_sizes_are_listed(pairs: tuple[str, str]) -> None:
    given, wanted = map(Path, pairs)
    (given / "alone.png").write_bytes(png(1))
    (wanted / "lonely.png").write_bytes(png(1))
    (wanted / "3.png").write_bytes(png(1, (20, 30)))
    pairing = match(*pairs)
    assert [one.stem for one, _ in pairing.pairs] == ["0", "1", "2"]
    told = "\n".join(pairing.troubles)
    assert "alone.png: no picture of this name in" in told
    assert "lonely.png: no picture of this name in" in told
    assert "3.png has 40×30 pixels and" in told and "20×30: both need the same size" in told


def test_too_few_pairs_or_one_name_twice(pairs: tuple[str, str]) -> None:
    for number in range(3):
        (Path(pairs[1]) / f"{number}.png").unlink()
    with pytest.raises(InputError, match="1 pairs of one name and size, 2 at least"):
        match(*pairs)
    (Path(pairs[0]) / "3.jpg").write_bytes(png(1))
    with pytest.raises(InputError, match="have one name"):
        match(*pairs)
    with pytest.raises(InputError, match="TARGETS nowhere: no such folder"):
        match(pairs[1], "nowhere")


def test_inputs_and_targets_are_cut_alike(pairs: tuple[str, str]) -> None:
    (Path(pairs[1]) / "0.png").write_bytes(png(1)[:-40])  # found damaged when it is read
    pairing = match(*pairs)
    crops = PairCrops(pairing, range(4), 16, 2, 0)
    for number in range(3):
        for one, two in crops.epoch(number, 0):
            torch.testing.assert_close(two[:, 1], one[:, 1])  # the place
            torch.testing.assert_close(two[:, 0] - one[:, 0], torch.full_like(one[:, 0], 1 / 255))
    assert len(pairing.troubles) == 1


def test_pairs_that_cannot_be_read_are_named_again_after_they_were_told(pairs: tuple[str, str]) -> None:
    for number in range(4):
        (Path(pairs[1]) / f"{number}.png").write_bytes(png(1)[:-40])
    pairing = match(*pairs)
    for _ in range(2):
        with pytest.raises(InputError, match=r"none of the 4 pairs can be read: .*3\.png"):
            pairing.read(0, range(4))
        pairing.troubles.clear()
