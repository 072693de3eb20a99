"""Files taken in by the studio: pictures are kept, whatever else costs one line and leaves nothing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brushwork.errors import InputError
from brushwork.studio import decoding
from brushwork.studio.folder import Folder, Upload, draw_id
from brushwork.studio.materials import id_of
from brushwork.studio.uploads import receive
from brushwork.surfaces.studio import alone


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "studio")


def take(folder: Folder, content: bytes, name: str = "photo.png", *, max_pixels: int = 1_000_000) -> Upload:
    (place := folder.incoming / "abc").mkdir(exist_ok=True)
    (file := place / "file").write_bytes(content)
    return receive(folder, file, name, owner="ada", max_bytes=5_000_000, max_pixels=max_pixels)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    noise = np.random.default_rng(len(kind)).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(stream := io.BytesIO(), kind, **options)
    return stream.getvalue()


def left(folder: Folder) -> list[str]:
    return [str(path) for path in folder.root.rglob("*") if path.is_file()]


FORMATS: dict[str, dict[str, Any]] = {
    "PNG": {}, "JPEG": {}, "WEBP": {}, "TIFF": {"compression": "tiff_lzw"}, "GIF": {}, "BMP": {}, "AVIF": {}
}  # fmt: skip


def test_a_picture_is_kept_under_an_id_with_its_name_as_text(folder: Folder) -> None:
    upload = take(folder, encoded("JPEG"), "../../etc/pass\nwd.jpg")
    assert (upload.name, upload.suffix, upload.width, upload.height) == ("passwd.jpg", ".jpg", 40, 30)
    assert folder.upload(upload.id, "ada") == upload
    assert folder.upload_file(upload).read_bytes() == encoded("JPEG")
    with Image.open(folder.thumbnail(upload.id)) as small:
        assert small.size == (40, 30)
    assert not list(folder.incoming.iterdir())
    with pytest.raises(InputError, match="not there"):
        folder.upload(upload.id, "bob")


def test_a_turned_picture_is_measured_upright(folder: Folder) -> None:
    exif = Image.Exif()
    exif[274] = 6
    upload = take(folder, encoded("JPEG", exif=exif))
    assert (upload.width, upload.height) == (30, 40)
    with Image.open(folder.thumbnail(upload.id)) as small:
        assert small.size == (30, 40)


@pytest.mark.parametrize("id", ["", "../x", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "/", "0" * 32 + "\n"])
def test_an_id_is_32_digits_and_nothing_else(folder: Folder, id: str) -> None:
    with pytest.raises(InputError, match="not there"):
        folder.upload(id, "ada")
    with pytest.raises(InputError, match="not there"):
        folder.job_folder(id)


def test_a_folder_behind_a_link_takes_files(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert take(Folder(tmp_path / "link"), encoded("PNG")).width == 40


def test_equal_files_of_one_folder_are_both_taken(folder: Folder) -> None:
    """Gradio keeps an upload in a folder named by its content."""
    place = folder.incoming / "digest"
    place.mkdir()
    for name in ("a.png", "b.png"):
        (place / name).write_bytes(encoded("PNG"))
    for name in ("a.png", "b.png"):
        receive(folder, place / name, name, owner="ada", max_bytes=10**6, max_pixels=10**6)
    assert list(folder.incoming.iterdir()) == []


def test_sweeping_passes_over_what_is_gone(folder: Folder) -> None:
    (folder.incoming / "dangling").symlink_to(folder.root / "nowhere")
    (folder.incoming / "old").mkdir()
    folder.sweep(older=-1)
    assert list(folder.incoming.iterdir()) == []


def test_one_studio_works_in_a_folder(folder: Folder) -> None:
    with (
        alone(folder.root),
        pytest.raises(InputError, match="another studio works in it"),
        alone(folder.root),
    ):
        pass
    with alone(folder.root):
        pass


def test_a_file_named_like_ours_is_not_ours(folder: Folder) -> None:
    id = draw_id()
    assert id_of({"path": str(folder.thumbnail(id))}) == id
    assert id_of({"path": str(folder.incoming / "digest" / f"{id}.webp")}) is None


def test_a_file_elsewhere_is_not_taken(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded("PNG"))
    (folder.incoming / "link").symlink_to(tmp_path / "secret.png")
    for file in (tmp_path / "secret.png", folder.incoming / "link", folder.incoming / "../../secret.png"):
        with pytest.raises(InputError, match="did not arrive"):
            receive(folder, file, "x", owner="ada", max_bytes=10**6, max_pixels=10**6)
    assert (tmp_path / "secret.png").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"plain text", "plain text"),
        (b"%PDF-1.7", "a PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (encoded("PNG", size=(1500, 1000)), "over the limit of 1,000,000"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 6_000_000, "more than 5 MB"),
        (encoded("PNG")[:-40], "damaged"),
    ],
)
def test_what_is_wrong_is_said_with_the_users_own_name(folder: Folder, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as told:
        take(folder, content, "my holiday.png")
    assert str(told.value).startswith("my holiday.png")
    assert "--" not in str(told.value)
    assert left(folder) == []


def test_a_small_file_that_unpacks_to_gigabytes_costs_a_message(folder: Folder) -> None:
    """Its header says 65500×65500: refused before anything is unpacked; and one whose header lies."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for width, height in ((65500, 65500), (900, 1000)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 300_000_000, 9))
        body = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        with pytest.raises(InputError):
            take(folder, b"\x89PNG\r\n\x1a\n" + head + bomb + body)
    assert left(folder) == []


def test_a_corpus_of_malformed_files(folder: Folder, tmp_path: Path) -> None:
    """Each of 350 damaged files is decoded or refused in words: no exception of another kind, no file left.

    In this process, with the function that the decoding process runs: 350 processes would take minutes.
    """
    random = np.random.default_rng(7)
    outcomes: list[bool] = []
    for kind, options in FORMATS.items():
        sound = encoded(kind, **options)
        for number in range(50):
            damaged = bytearray(sound)
            for _ in range(random.integers(1, 12)):
                place = int(random.integers(0, min(len(damaged), 400 if number % 2 else len(damaged))))
                damaged[place] = int(random.integers(256))
            if number % 5 == 0:
                damaged = damaged[: int(random.integers(1, len(damaged)))]
            (file := tmp_path / "damaged").write_bytes(bytes(damaged))
            thumbnail = tmp_path / "thumbnail.webp"
            found = decoding.look(str(file), str(thumbnail), 1_000_000)
            outcomes.append("error" in found)
            assert ("error" in found) != thumbnail.exists()
            assert "Traceback" not in str(found)
            thumbnail.unlink(missing_ok=True)
    assert len(outcomes) == 350
    assert sum(outcomes) > 50  # many damages only change a colour
    # The file as a whole goes through the process of its own, a few of them.
    for number in range(3):
        with pytest.raises(InputError):
            take(folder, encoded("JPEG")[: 100 + number])
    assert left(folder) == []
