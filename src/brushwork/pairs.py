"""Which photo and which painting a result belongs to, told by its name ``PHOTO-ART.png``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brushwork.errors import InputError

PICTURES = frozenset(
    [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".gif", ".bmp"]
)


@dataclass(frozen=True)
class Pair:
    """A photo, a painting and the pictures painted from them."""

    photo: Path
    painting: Path
    results: tuple[Path, ...]

    @property
    def name(self) -> str:
        """``PHOTO-ART``, as results are named."""
        return f"{self.photo.stem}-{self.painting.stem}"


def find_pairs(content: str, style: str, results: Sequence[str]) -> tuple[list[Pair], list[Path]]:
    """The pairs with their results, and the results that belong to none.

    With one photo and one painting, pictures named singly belong to them whatever their names. Pictures
    from folders, and all when photo or painting is a folder, are told by name: ``PHOTO-ART.png``, and
    ``PHOTO-ART.ANYTHING.png`` for several of one pair, such as seeds. Raises InputError for folders without
    pictures and when nothing fits.
    """
    photos, paintings = pictures(content), pictures(style)
    single = not _is_folder(content) and not _is_folder(style)
    found: dict[tuple[Path, Path], list[Path]] = {}
    strays: list[Path] = []
    for name in results:
        known = single and not _is_folder(name)
        for path in pictures(name):
            fitting = [(photos[0], paintings[0])] if known else _fitting(path, photos, paintings)
            if len(fitting) == 1:
                found.setdefault(fitting[0], []).append(path)
            else:
                strays.append(path)
    if not found:
        raise InputError(
            f"{strays[0]}: no photo of {content} and painting of {style} have this name: PHOTO-ART.png"
        )
    pairs = [Pair(*pair, tuple(paths)) for pair, paths in found.items()]
    return sorted(pairs, key=lambda pair: pair.name), strays


def pictures(name: str) -> list[Path]:
    """The picture itself, or those of a folder, sorted. Raises InputError for a folder without any."""
    path = Path(name)
    if not _is_folder(name):
        return [path]
    try:
        found = list(path.iterdir())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: change that or copy it elsewhere") from error
    inside = sorted(p for p in found if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    if not inside:
        raise InputError(f"{path}: no pictures in this folder")
    return inside


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # a name that is too long: reading it as a picture says so
        return False


def _fitting(path: Path, photos: Iterable[Path], paintings: Iterable[Path]) -> list[tuple[Path, Path]]:
    """The pairs of longest name that a result's name begins with: one, unless the names are ambiguous."""
    fitting: dict[int, list[tuple[Path, Path]]] = {}
    for photo in photos:
        for painting in paintings:
            name = f"{photo.stem}-{painting.stem}"
            if path.stem == name or path.stem.startswith(f"{name}."):
                fitting.setdefault(len(name), []).append((photo, painting))
    return fitting[max(fitting)] if fitting else []
