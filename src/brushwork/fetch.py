"""Downloads of weights and of Fashion-MNIST: one table, a cache folder, resuming, verified by hash."""

import http.client
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal
from urllib import request
from urllib.error import HTTPError

from brushwork.errors import WeightsError

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and those in all, or None where the server does not say."""

_TIMEOUT: Final = 30.0  # seconds to connect, and between two pieces
_PIECE: Final = 1 << 18  # bytes
_ATTEMPTS: Final = 10  # a connection that breaks is taken up again as long as each attempt brings something


@dataclass(frozen=True)
class Download:
    """A file to download: ``digest`` is its hash as its publisher states it, maybe only the beginning."""

    name: str
    file: str
    url: str
    algorithm: Literal["md5", "sha256"]
    digest: str
    what: str
    licence: str
    option: str = "--weights FILE"  # that takes the file instead
    command: str = "brushwork doctor --fetch"  # that downloads it
    mirrors: tuple[str, ...] = ()  # further addresses of the same bytes


def _fashion(stem: str, sha256: str) -> Download:
    file = f"{stem}-ubyte.gz"
    return Download(
        name=f"fashion-mnist/{file}",
        file=f"fashion-mnist/{file}",
        url=f"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
        f"b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/{file}",
        algorithm="sha256",
        digest=sha256,
        what="of Fashion-MNIST; all four files 31 MB",
        licence="MIT, Zalando SE",
        option="--data DIR",
        command="brushwork gan train --fetch",
        mirrors=(
            f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{file}",
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}",
        ),
    )


DOWNLOADS: Final[dict[str, Download]] = {
    download.name: download
    for download in (
        Download(
            name="keras",
            file="vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            url="https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            algorithm="md5",  # the hash that Keras's own vgg19.py checks
            digest="253f8cb515780f3b799900260a226db6",
            what="Oxford's VGG19 without its classifier, as Keras publishes it; 80 MB",
            licence="CC BY 4.0, Simonyan and Zisserman, Visual Geometry Group",
        ),
        Download(
            name="torchvision",
            file="vgg19-dcbb9e9d.pth",
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            algorithm="sha256",
            digest="dcbb9e9d",  # PyTorch states it in the file's name
            what="VGG19 as torchvision trained it anew; 548 MB",
            licence="BSD 3-Clause, torchvision",
        ),
        Download(
            name="vgg16",
            file="vgg16-397923af.pth",
            url="https://download.pytorch.org/models/vgg16-397923af.pth",
            algorithm="sha256",
            digest="397923af",  # PyTorch states it in the file's name
            what="the judge's VGG16, as torchvision trained it; 528 MB",
            licence="BSD 3-Clause, torchvision",
            option="--metric-weights FILE",
            command="brushwork evaluate --fetch",
        ),
        Download(
            name="lpips",
            file="lpips-0.1-vgg.pth",
            url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/"
            "c33f89e9f46522a584cf41d8880eb0afa982708b/lpips/weights/v0.1/vgg.pth",
            algorithm="sha256",
            # Stated in the RECORD of the authors' wheel lpips 0.1.4 on PyPI, which carries the same file.
            digest="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            what="LPIPS's linear layers for VGG16, version 0.1; 7 kB",
            licence="BSD 2-Clause, Zhang et al., arXiv 1801.03924",
            option="--metric-weights FILE",
            command="brushwork evaluate --fetch",
        ),
        # The hashes as TensorFlow Datasets states them; the publisher's own are MD5s.
        _fashion("train-images-idx3", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        _fashion("train-labels-idx1", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        _fashion("t10k-images-idx3", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        _fashion("t10k-labels-idx1", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    )
}
"""What can be downloaded, by name."""


class _RefusedError(Exception):
    """The server answered that it will not send the file."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$BRUSHWORK_CACHE``, else the system's cache folder; not created here."""
    import pooch

    chosen = os.environ.get("BRUSHWORK_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("brushwork"))


def downloaded(name: str, *, cache: Path | None = None) -> Path | None:
    """The verified file of an earlier :func:`fetch`, or None; a damaged one raises :class:`WeightsError`."""
    path = (cache or cache_folder()) / _entry(name).file
    if not path.is_file():
        return None
    if not _intact(path, _entry(name)):
        raise WeightsError(f"{path}: damaged, its hash differs; delete it or run `{_entry(name).command}`")
    return path


def fetch(
    name: str, *, cache: Path | None = None, url: str | None = None, progress: Progress | None = None
) -> Path:
    """Download an entry of :data:`DOWNLOADS`, or take up where an earlier call stopped, and verify its hash.

    ``cache`` replaces :func:`cache_folder`, ``url`` the table's address (a mirror). A file that is there and
    intact is not downloaded again. Raises :class:`WeightsError` without a network, for other bytes than the
    publisher's and for a folder that cannot be written to.
    """
    entry = _entry(name)
    target = (cache or cache_folder()) / entry.file
    if target.is_file() and _intact(target, entry):
        return target
    *others, last = [url] if url else [entry.url, *entry.mirrors]
    for address in others:
        with suppress(WeightsError):
            return _fetch_from(address, target, entry, progress)
    return _fetch_from(last, target, entry, progress)


def _fetch_from(url: str, target: Path, entry: Download, progress: Progress | None) -> Path:
    try:
        return _fetched(url, target, entry, progress)
    except FileNotFoundError as error:
        if target.is_file() and _intact(target, entry):
            return target  # another program fetched the same file and was done first
        raise WeightsError(f"{target}.part: removed while it was downloaded; try again") from error


def _fetched(url: str, target: Path, entry: Download, progress: Progress | None) -> Path:
    part = target.with_name(target.name + ".part")
    _prepare(part)
    try:
        _download(url, part, _by_hand(target, entry), progress)
    except WeightsError:
        if not part.stat().st_size:  # nothing to go on from, so nothing to leave behind
            part.unlink()
        raise
    if not _intact(part, entry):
        part.unlink()
        raise WeightsError(
            f"{url}: other bytes than the publisher's ({entry.algorithm} not {entry.digest}), "
            f"the download was deleted; try again or {_by_hand(target, entry)}"
        )
    part.replace(target)
    return target


def _entry(name: str) -> Download:
    if name not in DOWNLOADS:
        raise WeightsError(f"{name!r} is not in the table of downloads; choose from {', '.join(DOWNLOADS)}")
    return DOWNLOADS[name]


def _intact(path: Path, entry: Download) -> bool:
    import pooch

    return pooch.file_hash(str(path), alg=entry.algorithm).startswith(entry.digest)


def _by_hand(target: Path, entry: Download) -> str:
    return f"put the file at {target} by hand or give it with {entry.option}"


def _prepare(part: Path) -> None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.open("ab").close()
    except OSError as error:
        raise WeightsError(_unwritable(part.parent, error)) from error


def _unwritable(folder: Path, error: OSError) -> str:
    return f"{folder}: cannot be written to ({error.strerror}); set BRUSHWORK_CACHE to another folder"


def _download(url: str, part: Path, by_hand: str, progress: Progress | None) -> None:
    """Append to ``part`` until it is complete; attempts go on while they bring something."""
    for _ in range(_ATTEMPTS):
        before = part.stat().st_size
        try:
            return _attempt(url, part, progress)
        except (_RefusedError, OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, _RefusedError) or part.stat().st_size <= before:
                raise WeightsError(f"{url}: cannot be downloaded ({error}); {by_hand}") from error
    raise WeightsError(f"{url}: broke off {_ATTEMPTS} times; run it again to go on, or {by_hand}")


def _attempt(url: str, part: Path, progress: Progress | None) -> None:
    start = part.stat().st_size
    headers = {"User-Agent": "brushwork"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response: http.client.HTTPResponse = request.urlopen(
            request.Request(url, headers=headers), timeout=_TIMEOUT
        )
    except HTTPError as error:
        with error:
            if error.code == 416 and start:  # nothing after our last byte: the hash tells whether that is all
                return
            raise _RefusedError(f"HTTP {error.code} {error.reason}") from error
    with response, part.open("r+b") as stream:
        start = _place_to_write(response, stream, start)
        _receive(response, stream, start, progress)


def _place_to_write(response: http.client.HTTPResponse, stream: BinaryIO, start: int) -> int:
    """Go to where the body belongs: the end, or the beginning if the server sends the whole file again."""
    resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )
    if response.status == 206 and not resumed:
        raise _RefusedError("the server sent another range than asked for")
    if not resumed:
        stream.truncate(0)
    return stream.seek(start if resumed else 0)


def _receive(
    response: http.client.HTTPResponse, stream: BinaryIO, start: int, progress: Progress | None
) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    done = start
    while piece := response.read(_PIECE):
        _write(stream, piece)
        done += len(piece)
        if progress:
            progress(done, total)
    # http.client takes a connection closed early for the end of the body.
    if total is not None and done < total:
        raise ConnectionError(f"broke off after {done} of {total} bytes")


def _write(stream: BinaryIO, piece: bytes) -> None:
    try:
        stream.write(piece)
    except OSError as error:
        raise WeightsError(_unwritable(Path(stream.name).parent, error)) from error
