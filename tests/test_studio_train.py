"""The studio's Train tab and what a program asks of it: a painting becomes a network that paints."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from torch import Tensor

pytest.importorskip("gradio")
pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, Page, expect

from brushwork.encode import to_image
from studio_bench import PATIENCE, QUICK, Program, Server, fetch, opened

pytestmark = pytest.mark.slow

LESSON: dict[str, Any] = {
    "steps": 4,
    "batch": 2,
    "crop": 64,
    "style_size": 64,
    "width": 4,
    "blocks": 1,
    "compare_steps": 5,
}
"""Options of a training that takes a few seconds."""
LONG = {**LESSON, "steps": 600}  # some minutes: nobody waits for its end


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, photo: Tensor) -> list[Path]:
    """A dozen photos that differ in their light."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        to_image(photo * (1 - 0.05 * number)).save(folder / f"photo{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("studio") / "folder", "--photos", str(photos[0].parent)) as running:
        yield running


@pytest.fixture
def program(server: Server) -> Program:
    return Program(server)


def train(program: Program, painting: Path, options: dict[str, Any], photos: list[Path] | None = None) -> str:
    own = [program.upload(photo) for photo in photos or []]
    return program.client.predict(program.upload(painting), own, options, api_name="/train")


@pytest.mark.parametrize("whose", ["own", "the studio's"])
def test_a_program_trains_a_network_and_paints_with_it(
    program: Program, server: Server, photos: list[Path], painting_file: Path, photo_file: Path, whose: str
) -> None:
    training = train(program, painting_file, LESSON, photos if whose == "own" else None)
    status = program.wait(training, "done", "failed", seconds=120)
    assert status["state"] == "done", status
    assert "On photos held back, " in status["words"]
    answer, body = fetch(f"{server.url}/studio/job/{training}/network.safetensors")
    assert answer == 200
    (network := painting_file.with_suffix(".safetensors")).write_bytes(body)
    with safe_open(network, "pt") as file:
        assert "job" in str(file.metadata())
    options = {"engine": "feedforward", "size": 64}
    picture = program.paint(program.upload(photo_file), training, options)
    assert program.wait(picture, "done", "failed")["state"] == "done"


def test_a_picture_that_comes_in_does_not_wait_for_the_end_of_a_training(
    program: Program, painting_file: Path, photo_file: Path
) -> None:
    training = train(program, painting_file, LONG)
    program.wait(training, "painting", version=1, seconds=120)
    picture = program.paint(program.upload(photo_file), program.upload(painting_file), QUICK)
    assert program.wait(picture, "done", "failed", seconds=120)["state"] == "done"
    before = program.status(training)["version"]
    program.wait(training, "painting", version=before, seconds=120)
    program.client.predict(training, api_name="/stop")
    assert program.wait(training, "stopped")["message"] == ""
    picture = program.paint(program.upload(photo_file), training, {"engine": "feedforward", "size": 64})
    assert program.wait(picture, "done", "failed")["state"] == "done"  # by what it has learnt so far


def test_a_killed_server_goes_on_with_a_training(
    tmp_path: Path, photos: list[Path], painting_file: Path
) -> None:
    server = Server(tmp_path / "folder")
    with server:
        program = Program(server)
        training = train(program, painting_file, LONG, photos)
        program.wait(training, "painting", version=1, seconds=120)
        program.client.predict(training, api_name="/stop")
        program.wait(training, "stopped")
        program.client.predict(training, api_name="/go_on")
        before = program.wait(training, "painting", version=1)["fraction"]
        while not before:
            time.sleep(0.1)
            before = program.status(training)["fraction"]
        server.kill()
    with server:
        program = Program(server)
        while not (done := program.status(training)["fraction"]):
            time.sleep(0.1)
        assert done >= before / 2
        program.client.predict(training, api_name="/delete")
    assert not (server.folder / "jobs" / training).exists()


def test_what_cannot_be_trained_is_told_at_once(
    program: Program, tmp_path: Path, painting_file: Path, photos: list[Path]
) -> None:
    for options, message in (
        ({"crop": 63}, "Crop 63"),
        ({"weights": "/etc/passwd"}, "no setting 'weights'"),
        ({"from_network": "/etc/passwd"}, "no setting 'from_network'"),
    ):
        with pytest.raises(AppError, match=message):
            train(program, painting_file, options)
    with pytest.raises(AppError, match="One photo is not enough"):
        train(program, painting_file, LESSON, photos[:1])
    with Server(tmp_path / "without") as server, pytest.raises(AppError, match="Drop photos to learn from"):
        train(Program(server), painting_file, LESSON)


def begin(page: Page, painting: Path, photos: list[Path], steps: int) -> None:
    """Fill the tab in and press Train."""
    page.get_by_role("tab", name="Train").click()
    page.locator("#train-painting input[type=file]").set_input_files(painting)
    expect(page.locator("#train-painting img")).to_be_visible(timeout=PATIENCE)
    page.locator("#train-photos input[type=file]").first.set_input_files(photos)
    expect(page.locator("#train-news")).to_contain_text(f"{len(photos)} photos", timeout=PATIENCE)
    for name, value in (("steps", steps), ("crop", 64), ("style_size", 64)):
        page.locator(f"#train-{name} input").fill(str(value))
    page.keyboard.press("Tab")
    page.locator("#train").click()


def test_from_a_painting_to_a_network_to_a_picture(
    browser: Browser, server: Server, painting_file: Path, photos: list[Path], photo_file: Path
) -> None:
    with browser.new_context(viewport={"width": 1440, "height": 1000}) as context:
        page = opened(context.new_page(), server.url)
        begin(page, painting_file, photos, 3)
        expect(page.get_by_alt_text("what the network paints so far")).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_alt_text("losses, step by step")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#train-news")).to_contain_text("Trained in", timeout=PATIENCE)
        expect(page.locator("#train-command textarea")).to_have_value(
            "brushwork train stylenet PHOTOS --style painting.png -o network.safetensors "
            "--steps 3 --crop 64 --style-size 64"
        )
        # Gradio's own: the file's input inside a button, a thumbnail's caption that is also its description.
        known = {"nested-interactive", "image-redundant-alt"}
        found = [v["id"] for v in Axe().run(page).response["violations"] if v["id"] not in known]
        assert not found
        page.locator("#use").click()
        expect(page.locator("#paintings img").first).to_be_visible(timeout=PATIENCE)
        page.locator("#photo input[type=file]").set_input_files(photo_file)
        expect(page.locator("#stage img").first).to_be_visible(timeout=PATIENCE)
        page.locator("#paint").click()
        expect(page.locator("#news")).to_contain_text("Painted in", timeout=PATIENCE)


def test_a_training_is_there_after_a_reload_and_can_be_stopped_and_deleted(
    browser: Browser, server: Server, painting_file: Path, photos: list[Path]
) -> None:
    with browser.new_context(viewport={"width": 390, "height": 900}) as context:
        page = opened(context.new_page(), server.url)
        begin(page, painting_file, photos, 100_000)
        expect(page.locator("#train-news")).to_contain_text("steps done", timeout=PATIENCE)
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.get_by_role("tab", name="Train").click()
        expect(page.locator("#train-news")).to_contain_text("steps done", timeout=PATIENCE)
        # An event that joins Gradio's queue as its stream of answers closes is never answered.
        assert any("/run/" in url for url in asked)
        assert not any("queue/join" in url for url in asked)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("#train-stop").click()
        expect(page.locator("#train-news")).to_contain_text("Stopped", timeout=PATIENCE)
        expect(page.locator("#use")).to_be_visible()
        page.locator("#train-delete").click()
        page.locator("#train-sure").click()
        expect(page.locator("#train-news")).to_contain_text("Deleted", timeout=PATIENCE)
