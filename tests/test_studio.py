"""The studio as a whole: a real server, asked by a program."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("gradio")

from gradio_client.exceptions import AppError

from brushwork.surfaces.cli import call
from commands import environment
from studio_bench import LONG, QUICK, Program, Server, fetch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server(tmp_path_factory.mktemp("studio") / "folder") as running:
        yield running


@pytest.fixture
def program(server: Server) -> Program:
    return Program(server)


def test_a_program_uploads_paints_and_downloads(
    server: Server, program: Program, photo_file: Path, painting_file: Path, tmp_path: Path
) -> None:
    photo, painting = program.upload(photo_file), program.upload(painting_file)
    job = program.paint(photo, painting, QUICK)
    status = program.wait(job, "done", "failed")
    assert status["state"] == "done", status
    assert status["fraction"] == 1
    answer, body = fetch(f"{server.url}/studio/job/{job}/picture.png")
    assert answer == 200
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.size == (64, 48)
        record = json.loads(picture.info["brushwork"])
    assert record["job"]["steps"] == 3
    assert {record["job"]["content"], record["job"]["styles"][0]["path"]} == set(record["inputs"])
    assert set(record["inputs"]) == {photo_file.name, painting_file.name}
    (home := tmp_path / "home").mkdir()
    (home / "taken.png").write_bytes(body)
    for file in (photo_file, painting_file):
        shutil.copy(file, home / file.name)
    again = ["stylize", "--from", str(home / "taken.png"), "-o", str(home / "again.png"), "--quiet"]
    assert call(again) == 0
    assert program.client.predict(api_name="/results")[0]["id"] == job


def test_stopping_keeps_the_picture_and_going_on_ends_it(
    program: Program, photo_file: Path, painting_file: Path
) -> None:
    job = program.paint(program.upload(photo_file), program.upload(painting_file), QUICK | {"steps": 400})
    program.wait(job, "painting", version=1)
    program.client.predict(job, api_name="/stop")
    stopped = program.wait(job, "stopped")
    assert stopped["version"] > 0
    program.client.predict(job, api_name="/go_on")
    assert program.wait(job, "done", "failed")["state"] == "done"


def test_what_goes_on_is_shown_again_while_it_is_made(
    program: Program, photo_file: Path, painting_file: Path
) -> None:
    job = program.paint(program.upload(photo_file), program.upload(painting_file), LONG)
    program.wait(job, "painting", version=1)
    program.client.predict(job, api_name="/stop")
    stopped = program.wait(job, "stopped", version=1)
    program.client.predict(job, api_name="/go_on")
    program.wait(job, "painting", version=stopped["version"] + 1)
    program.client.predict(job, api_name="/delete")


def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, photo_file: Path, painting_file: Path) -> None:
    server = Server(tmp_path / "folder")
    with server:
        program = Program(server)
        photo, painting = program.upload(photo_file), program.upload(painting_file)
        job, next_one = (program.paint(photo, painting, o) for o in (LONG, QUICK))
        run = server.folder / "jobs" / job / "picture.png.run" / "checkpoint.safetensors"
        before = program.wait(job, "painting")["fraction"]
        while not run.exists():
            time.sleep(0.1)
            before = program.status(job)["fraction"]
        server.kill()
    with server:
        program = Program(server)
        while not (done := program.status(job)["fraction"]):
            time.sleep(0.1)
        assert done >= before / 2  # ten seconds of work may be lost, of more than that
        program.client.predict(job, api_name="/stop")
        assert program.wait(job, "stopped")["version"] > 0
        assert program.wait(next_one, "done", "failed")["state"] == "done"


def test_twenty_jobs_of_many_browsers_are_all_painted(
    server: Server, photo_file: Path, painting_file: Path
) -> None:
    programs = [Program(server) for _ in range(10)]
    photo, painting = programs[0].upload(photo_file), programs[0].upload(painting_file)
    quick = QUICK | {"size": 32, "steps": 2}
    programs[0].wait(programs[0].paint(photo, painting, quick), "done")
    before = server.resident()
    jobs = [each.paint(photo, painting, quick | {"seed": seed}) for each in programs for seed in range(2)]
    states = [programs[0].wait(job, "done", "failed", seconds=200)["state"] for job in jobs]
    assert states == ["done"] * 20
    assert server.resident() < before + 200_000_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "/etc/passwd"}, "weights"),
        ({"recipe": "/etc/passwd.toml"}, "No recipe"),
        ({"init": "/etc/passwd"}, "Init should"),
        ({"size": 5}, "Size 5"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_options_that_are_none_of_a_guests_business_are_refused(
    program: Program, photo_file: Path, options: dict[str, object], words: str
) -> None:
    photo = program.upload(photo_file)
    with pytest.raises(AppError, match=words):
        program.paint(photo, photo, options)


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:1/x.png", ""])
def test_no_file_of_the_host_can_be_uploaded(server: Server, program: Program, path: str) -> None:
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    with pytest.raises((AppError, FileNotFoundError)):  # the client itself looks for some
        program.client.predict(sent, api_name="/upload")
    sent = {"path": str(server.folder / "uploads"), "orig_name": "x.png"}
    with pytest.raises(AppError):
        program.client.predict(sent, api_name="/upload")


@pytest.mark.parametrize(
    "address",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file={folder}/uploads",
        "/gradio_api/file={folder}/../folder.log",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/studio/job/..%2f..%2f/picture.png",
        "/studio/photo/00000000000000000000000000000000.webp",
        "/gradio_api/run-history/records",
    ],
)
def test_nothing_outside_its_folder_is_served(server: Server, address: str) -> None:
    status, body = fetch(server.url + address.format(folder=server.folder))
    assert status in (403, 404), body[:200]


def test_an_upload_is_not_served_as_it_came(server: Server, program: Program, photo_file: Path) -> None:
    upload = program.upload(photo_file)
    place = server.folder / "uploads" / f"{upload}.png"
    assert place.exists()
    assert fetch(f"{server.url}/gradio_api/file={place}")[0] in (403, 404)
    left = (server.folder / "incoming").rglob("*")
    assert not [path for path in left if path.is_file()]  # Gradio makes folders there, and leaves them empty


def test_deleting_leaves_nothing(
    server: Server, program: Program, photo_file: Path, painting_file: Path
) -> None:
    job = program.paint(program.upload(photo_file), program.upload(painting_file), LONG)
    program.wait(job, "painting")
    program.client.predict(job, api_name="/delete")
    assert not [path for path in server.folder.rglob("*") if job in str(path)]
    with pytest.raises(AppError, match="not there"):
        program.status(job)


def test_with_passwords_each_user_sees_their_own(
    tmp_path: Path, photo_file: Path, painting_file: Path
) -> None:
    (tmp_path / "users").write_text("ada:longpassword\nbob:otherpassword\n", encoding="utf-8")
    with Server(tmp_path / "folder", "--auth-file", str(tmp_path / "users")) as server:
        assert fetch(server.url)[0] == 401
        assert fetch(server.url, auth="ada:wrong")[0] == 401
        ada, bob = (
            Program(server, httpx_kwargs={"auth": auth})
            for auth in (("ada", "longpassword"), ("bob", "otherpassword"))
        )
        job = ada.paint(ada.upload(photo_file), ada.upload(painting_file), QUICK)
        assert ada.wait(job, "done", "failed")["state"] == "done"
        with pytest.raises(AppError, match="not there"):
            bob.status(job)
        address = f"{server.url}/studio/job/{job}/picture.png"
        statuses = [fetch(address, auth=auth)[0] for auth in ("ada:longpassword", "bob:otherpassword")]
        assert statuses == [200, 404]
        refused = [fetch(server.url, auth="ada:guess")[0] for _ in range(12)]
        assert refused[-1] == 429


def test_the_page_needs_no_torch_and_writes_no_stubs_to_be_there(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from brushwork.studio.desk import Desk\n"
        "from brushwork.studio.options import Options\n"
        "from brushwork.studio.server import application\n"
        "application(Desk(Options(folder=sys.argv[1])), {}, hosts=set())\n"
        "from gradio import component_meta\n"
        "print('torch' in sys.modules, component_meta.create_or_modify_pyi.__module__)\n"
    )
    line = [sys.executable, "-c", program, str(tmp_path / "folder")]
    ended = subprocess.run(line, capture_output=True, text=True, env=environment(), check=True)
    assert ended.stdout.split() == ["False", "brushwork.studio.stubs"]
