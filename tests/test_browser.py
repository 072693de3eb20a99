"""The example page, in a browser: an exported style paints there what it paints in Python."""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import threading
from collections.abc import Generator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from brushwork.painter import paint
from commands import Desk

RUNTIME = "onnxruntime-web@1.30.0"
PAGE = Path(__file__).parents[1] / "examples" / "browser.html"
DRAWN = "document.getElementById('canvas').toDataURL()"

pytestmark = pytest.mark.slow


class Quiet(SimpleHTTPRequestHandler):
    """`python -m http.server` without its log."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def runtime(request: pytest.FixtureRequest) -> Path:
    """onnxruntime-web's folder ``dist``, kept in pytest's cache."""
    folder = Path(request.config.cache.mkdir(RUNTIME.replace("@", "-")))
    dist = folder / "node_modules" / "onnxruntime-web" / "dist"
    if not dist.is_dir():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, which brings onnxruntime-web")
        line = [npm, "install", "--no-audit", "--ignore-scripts", "--prefix", str(folder), RUNTIME]
        done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install {RUNTIME}: {done.stderr.strip()[-200:]}")
    return dist


@pytest.fixture(scope="module")
def browser_page() -> Generator[Page]:
    """An empty page of the system's Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.fixture
def page(desk: Desk, runtime: Path, browser_page: Page) -> Generator[Page]:
    """The example, served from a folder as its first lines say, with the style of ``painting.png``."""
    folder = desk.folder / "site"
    folder.mkdir()
    shutil.copy(PAGE, folder / "index.html")
    (folder / "ort").symlink_to(runtime)
    assert desk.call("export", "--style", "painting.png", "-o", "site/style.onnx").status == 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    browser_page.goto(f"http://127.0.0.1:{server.server_port}/")
    yield browser_page
    server.shutdown()
    thread.join()
    server.server_close()


def drawn(page: Page) -> NDArray[np.uint8]:
    """What the page's canvas shows."""
    data: str = page.evaluate(DRAWN)
    with Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB"))


def given(page: Page, file: Path) -> None:
    page.get_by_label("Photo:", exact=True).set_input_files(file)


def test_the_page_paints_what_python_paints(page: Page, desk: Desk) -> None:
    photo = paint("strokes", size=96)[:61, :90]
    Image.fromarray(photo).save(desk.folder / "shown.png")
    given(page, desk.folder / "shown.png")
    expect(page.get_by_role("status")).to_contain_text("painted in", timeout=20_000)
    session = ort.InferenceSession(str(desk.folder / "site" / "style.onnx"))
    planes = np.ascontiguousarray(photo.transpose(2, 0, 1)[None], np.float32) / 255
    expected: Any = session.run(None, {"photo": planes})[0]
    wanted = np.rint(255 * expected[0].transpose(1, 2, 0))
    found = drawn(page)
    assert found.shape == (61, 90, 3)
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(found.astype(float) - photo).mean() > 5  # and that is not the photo


def test_a_large_photo_is_painted_at_512(page: Page, desk: Desk) -> None:
    Image.fromarray(paint("strokes", size=640)[:100]).save(desk.folder / "shown.png")
    given(page, desk.folder / "shown.png")
    expect(page.get_by_role("status")).to_contain_text("painted in", timeout=20_000)
    assert drawn(page).shape == (80, 512, 3)


def test_the_page_says_when_a_file_is_no_picture(page: Page, desk: Desk) -> None:
    (desk.folder / "shown.txt").write_text("words")
    given(page, desk.folder / "shown.txt")
    expect(page.get_by_role("status")).to_contain_text("that did not work")
