"""The studio as the tests use it: a process of its own, a browser, and a program that asks it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from commands import BRUSHWORK, environment

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"

PATIENCE = 90_000  # milliseconds for the page: other work may be going on

QUICK: dict[str, Any] = {
    "size": 64,
    "steps": 3,
    "scales": ["1"],
    "coarsest": 16,
    "init": "content",
    "content_layers": ["block2_conv1"],
    "style_layers": ["block1_conv1", "block2_conv1"],
}
"""Options of a job that takes a second or two."""
LONG: dict[str, Any] = {**QUICK, "steps": 100_000}
"""Options of a job that nobody waits for."""


class Server:
    """``brushwork studio`` on a free port, from ``with`` to its end; killed, it leaves everything."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.folder = folder
        self._line = [BRUSHWORK, "studio", "--port", "0", "--folder", str(folder), "--threads", "1", *options]
        self._environment = environment(OMP_NUM_THREADS="1", **variables)
        self._log = folder.with_suffix(".log")

    def __enter__(self) -> Self:
        began = time.monotonic()
        with self._log.open("ab") as log:
            before = self._log.stat().st_size
            self.process = subprocess.Popen(self._line, stderr=log, stdout=log, env=self._environment)
        self.url = self._address(before)
        while not self._answers():
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        self.seconds = time.monotonic() - began
        return self

    def _address(self, before: int) -> str:
        while not (found := re.search(r"http://[\d.:]+", self.log[before:])):
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        return found[0]

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """What it said on its error stream."""
        return self._log.read_text(encoding="utf-8")

    def resident(self) -> int:
        """Bytes of it in memory."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Program:
    """A program that asks the studio through ``gradio_client``."""

    def __init__(self, server: Server, **options: Any) -> None:
        from gradio_client import Client

        self.client = Client(server.url, verbose=False, **options)

    def upload(self, file: Path) -> str:
        from gradio_client import handle_file

        return self.client.predict(handle_file(str(file)), api_name="/upload")

    def paint(self, photo: str, painting: str, options: dict[str, Any]) -> str:
        return self.client.predict(photo, [painting], options, api_name="/paint")

    def status(self, job: str) -> dict[str, Any]:
        return self.client.predict(job, api_name="/status")

    def wait(self, job: str, *states: str, seconds: float = 120, version: int = 0) -> dict[str, Any]:
        """Look until the job is in one of the states, and has a picture of that version or later."""
        end = time.monotonic() + seconds
        while (status := self.status(job))["state"] not in states or status["version"] < version:
            assert time.monotonic() < end, status
            time.sleep(0.2)
        return status


def fetch(url: str, *, auth: str | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    if auth:
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def opened(page: Page, url: str) -> Page:
    """The studio's page, ready."""
    from playwright.sync_api import expect

    page.set_default_timeout(PATIENCE)
    page.goto(url)
    expect(page.locator("#paint")).to_be_visible(timeout=PATIENCE)
    page.wait_for_function("localStorage.getItem('brushwork-job') !== null")  # what was kept is restored
    return page


def needs_chromium() -> str:
    """Where Chromium is; without it the test is skipped."""
    if not Path(CHROMIUM).exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    return CHROMIUM
