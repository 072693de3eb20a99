"""The page in a real browser: what someone does who has never seen a terminal."""

from __future__ import annotations

import io
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, Browser, Page, Request, Route, expect

from studio_bench import LONG, PATIENCE, Program, Server, opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("studio") / "folder") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Generator[Page]:
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        yield opened(context.new_page(), server.url)


def set_out(page: Page, photo: Path, painting: Path, size: int = 64) -> None:
    """Drop both pictures, and wait for the first impression."""
    page.locator("#photo input[type=file]").set_input_files(photo)
    expect(page.locator("#photo img")).to_be_visible(timeout=PATIENCE)
    page.locator("#paintings input[type=file]").first.set_input_files(painting)
    expect(page.locator("#stage img")).to_be_visible(timeout=PATIENCE)
    page.locator("#control-size input, #control-size textarea").first.fill(str(size))
    page.keyboard.press("Tab")


def is_of(asked: Request, steps: set[int]) -> bool:
    """Whether a page asks for one of these steps of its own."""
    return asked.url.endswith("/run/predict") and (asked.post_data_json or {}).get("fn_index") in steps


def paint(page: Page) -> None:
    page.locator("#paint").click()
    expect(page.locator("#news")).to_contain_text("Painted in", timeout=PATIENCE)


def test_from_two_files_to_a_picture_on_ones_disk(page: Page, photo_file: Path, painting_file: Path) -> None:
    set_out(page, photo_file, painting_file)
    expect(page.locator("#news")).to_contain_text("of memory at most", timeout=PATIENCE)
    paint(page)
    expect(page.locator("#stage input[type=range]")).to_be_attached()
    with page.expect_download() as downloading:
        page.locator("#download").click()
    with Image.open(io.BytesIO(downloading.value.path().read_bytes())) as picture:
        assert picture.size == (64, 48)


def test_stop_keeps_the_picture_and_go_on_goes_on(page: Page, photo_file: Path, painting_file: Path) -> None:
    set_out(page, photo_file, painting_file, 128)
    page.locator("#paint").click()
    expect(page.get_by_alt_text("the picture so far")).to_be_visible(timeout=PATIENCE)
    page.locator("#stop").click()
    expect(page.locator("#news")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(page.locator("#download")).to_be_visible()
    page.locator("#go-on").click()
    expect(page.locator("#news")).to_contain_text("Painted in", timeout=PATIENCE)


@pytest.mark.parametrize("is_late", ["question", "answer"])
def test_a_late_first_impression_leaves_the_painting_alone(
    page: Page, photo_file: Path, painting_file: Path, is_late: str
) -> None:
    set_out(page, photo_file, painting_file)
    expect(page.locator("#news")).to_contain_text("of memory at most", timeout=PATIENCE)
    steps: list[dict[str, Any]] = page.evaluate("window.gradio_config.dependencies")
    sketches = {step["id"] for step in steps if step["api_name"].startswith("_sketch")}
    held: list[tuple[Route, APIResponse | None]] = []

    def hold_first_impressions(route: Route) -> None:
        if is_of(route.request, sketches):
            held.append((route, route.fetch() if is_late == "answer" else None))
        else:
            route.continue_()

    page.route("**/run/predict*", hold_first_impressions)
    with page.expect_request(lambda asked: is_of(asked, sketches)):
        page.locator("#control-size input, #control-size textarea").first.fill("72")
        page.keyboard.press("Tab")
    paint(page)
    picture = page.locator("#stage").inner_html()
    (route, answer), *_ = held
    route.fulfill(response=answer) if answer else route.continue_()
    page.wait_for_timeout(4000)  # for all that the page asks after it
    expect(page.locator("#news")).to_contain_text("Painted in")
    assert page.locator("#stage").inner_html() == picture


def test_a_reload_loses_nothing(page: Page, photo_file: Path, painting_file: Path) -> None:
    set_out(page, photo_file, painting_file, 97)
    page.locator("#control-seed input").fill("7")
    page.locator("#paint").click()
    expect(page.locator("#stop")).to_be_visible(timeout=PATIENCE)
    page.reload()
    expect(page.locator("#photo img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#paintings img").first).to_be_visible()
    expect(page.locator("#control-seed input")).to_have_value("7")
    expect(page.locator("#control-size textarea, #control-size input").first).to_have_value("97")
    expect(page.locator("#news")).to_contain_text("Painted in", timeout=PATIENCE)


def test_what_is_no_picture_is_told_in_plain_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"this is no picture")
    page.locator("#photo input[type=file]").set_input_files(tmp_path / "photo.png")
    expect(page.get_by_text("photo.png: not a picture but plain text")).to_be_visible(timeout=PATIENCE)
    page.locator("#paint").click()
    expect(page.get_by_text("Drop a photo first")).to_be_visible(timeout=PATIENCE)
    assert "Traceback" not in page.content()


def test_two_people_at_once_get_their_own_pictures(
    browser: Browser, server: Server, photo_file: Path, painting_file: Path
) -> None:
    pages = [opened(browser.new_context().new_page(), server.url) for _ in range(2)]
    for page, size in zip(pages, (48, 64), strict=True):
        set_out(page, photo_file, painting_file, size)
    for page in pages:
        page.locator("#paint").click()
    for page, size in zip(pages, (48, 64), strict=True):
        expect(page.locator("#news")).to_contain_text("Painted in", timeout=PATIENCE)
        with page.expect_download() as downloading:
            page.locator("#download").click()
        with Image.open(downloading.value.path()) as picture:
            assert picture.width == size
        page.context.close()


def test_gallery_shows_changes_exports_and_deletes(page: Page, photo_file: Path, painting_file: Path) -> None:
    set_out(page, photo_file, painting_file, 72)
    paint(page)
    page.get_by_role("tab", name="Gallery").click()
    pictures = page.locator("#wall button.thumbnail-item")
    expect(pictures.first).to_be_visible(timeout=PATIENCE)
    before = pictures.count()
    pictures.first.click()
    expect(page.locator("#command textarea")).to_have_value(
        "brushwork stylize photo.png --style painting.png --size 72"
    )
    program = page.locator("#program textarea").input_value()
    assert "bw.stylize('photo.png', 'painting.png', size='72')" in program or "size=72" in program
    page.locator("#delete").click()
    page.locator("#sure").click()
    expect(pictures).to_have_count(before - 1, timeout=PATIENCE)
    # The tab where it was painted goes on without it.
    page.get_by_role("tab", name="Paint").click()
    page.locator("#control-size input, #control-size textarea").first.fill("60")
    page.keyboard.press("Tab")
    expect(page.locator("#news")).to_contain_text("A first impression", timeout=PATIENCE)


def test_a_job_that_came_to_nothing_is_in_the_gallery(
    page: Page, server: Server, photo_file: Path, painting_file: Path
) -> None:
    program = Program(server)
    photo, painting = program.upload(photo_file), program.upload(painting_file)
    busy, waiting = (program.paint(photo, painting, LONG) for _ in range(2))
    for job in (waiting, busy):
        program.client.predict(job, api_name="/stop")
    program.wait(busy, "stopped")
    program.client.predict(busy, api_name="/delete")
    page.get_by_role("tab", name="Gallery").click()
    page.locator("#wall button.thumbnail-item").first.click()
    expect(page.locator("#wall-stage")).to_contain_text("Stopped before there was anything to see")
    expect(page.locator("#wall-download")).to_be_hidden()
    program.client.predict(waiting, api_name="/delete")


def test_words_that_come_and_go_do_not_move_the_button(
    browser: Browser, server: Server, photo_file: Path, painting_file: Path
) -> None:
    """On a phone a forecast has three lines: a button that moves while it is pressed is not pressed."""
    with browser.new_context(viewport={"width": 390, "height": 900}) as context:
        page = opened(context.new_page(), server.url)
        set_out(page, photo_file, painting_file)
        expect(page.locator("#news")).to_contain_text("of memory at most", timeout=PATIENCE)
        before = page.locator("#paint").bounding_box()
        page.evaluate("document.querySelector('#news p').textContent = 'Painting'")
        assert page.locator("#paint").bounding_box() == before


def test_it_asks_for_nothing_outside(browser: Browser, server: Server, photo_file: Path) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        opened(page, server.url)
        page.locator("#photo input[type=file]").set_input_files(photo_file)
        page.get_by_label("Swirls").check(force=True)
        expect(page.locator("#stage img")).to_be_visible(timeout=PATIENCE)
        page.get_by_role("tab", name="Gallery").click()
        expect(page.locator("#wall")).to_be_visible()
    outside = [url for url in asked if not url.startswith((server.url, "data:", "blob:"))]
    assert len(asked) > 20
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_it_can_be_used_without_seeing_or_pointing(
    browser: Browser, server: Server, photo_file: Path, painting_file: Path, width: int, scheme: str
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    ) as context:
        page = opened(context.new_page(), server.url)
        set_out(page, photo_file, painting_file)
        paint(page)
        found = Axe().run(page).response["violations"]
        wide = page.evaluate("document.documentElement.scrollWidth")
    # Gradio puts the file's input into the button that asks for it.
    found = [each for each in found if each["id"] != "nested-interactive"]
    told = [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]
    assert not told, told
    assert wide <= width
