"""The studio as someone waits for it: the page, the first impression, and what twenty jobs leave in memory.

    python benchmarks/studio.py PHOTO PAINTING [ANOTHER_PAINTING]

Needs Chromium. The server, on one thread, and the programs that ask it are those of the tests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from studio_bench import CHROMIUM, QUICK, Program, Server

PATIENCE = 60_000  # milliseconds
JOBS = 20


def main() -> None:
    """Measure and print."""
    photo, *paintings = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(PATIENCE)
        began = time.monotonic()
        with Server(Path(folder) / "studio") as server:
            page.goto(server.url)
            expect(page.locator("#paint")).to_be_visible()
            usable = time.monotonic() - began
            print(f"answers {server.seconds:.1f} s, usable {usable:.1f} s after the command")
            page.wait_for_function("localStorage.getItem('brushwork') !== null")
            page.locator("#photo input[type=file]").set_input_files(photo)
            expect(page.locator("#photo img")).to_be_visible()
            for painting in paintings:
                print(f"first impression {impression(page, painting):.1f} s after a drop: {painting.name}")
                expect(page.locator("#news")).to_contain_text("of memory at most")  # what follows it
            browser.close()
            queued(server, photo, paintings[0])


def impression(page: Page, painting: Path) -> float:
    """Seconds from the drop of a painting until the picture made from it is there."""
    shown = page.locator("#stage img")
    before = shown.get_attribute("src") if shown.count() else None
    began = time.monotonic()
    page.locator("#paintings input[type=file]").first.set_input_files(painting)
    page.wait_for_function(
        "before => { const i = document.querySelector('#stage img');"
        " return i && i.getAttribute('src') !== before && i.complete && i.naturalWidth > 0 }",
        arg=before,
    )
    return time.monotonic() - began


def queued(server: Server, photo: Path, painting: Path) -> None:
    """Twenty programs put a job in each; prints states and memory."""
    programs = [Program(server) for _ in range(JOBS)]
    pictures = programs[0].upload(photo), programs[0].upload(painting)
    programs[0].wait(programs[0].paint(*pictures, QUICK), "done", seconds=300)
    for turn in (1, 2):
        jobs = [each.paint(*pictures, QUICK | {"seed": turn}) for each in programs]
        states = [programs[0].wait(job, "done", "failed", seconds=300)["state"] for job in jobs]
        print(f"{states.count('done')} of {JOBS} done, {server.resident() / 1e6:.0f} MB after")


if __name__ == "__main__":
    main()
