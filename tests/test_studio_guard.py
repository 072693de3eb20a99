"""Who may ask the studio for what."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from brushwork.errors import InputError
from brushwork.studio.guard import EVERYBODY, FAILURES_A_MINUTE, FILES, UPLOADS_A_MINUTE, USER, Guard
from brushwork.surfaces.studio import read_users
from commands import Desk

LOCAL = {"127.0.0.1", "localhost", "[::1]"}


async def page(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Says who asked and how much they sent."""
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    else:
        size = -1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{scope[USER]} {size}".encode()})


def guard(**options: Any) -> Guard:
    given: dict[str, Any] = {"users": {}, "hosts": LOCAL, "max_bytes": 1000}
    return Guard(page, **given | options)


def ask(app: Guard, path: str = "/", bodies: tuple[bytes, ...] = (b"",), **headers: str) -> tuple[int, str]:
    """Status and text of the answer."""
    given = {"host": "127.0.0.1:7860", **{name.replace("_", "-"): value for name, value in headers.items()}}
    pending = [
        {"type": "http.request", "body": body, "more_body": i + 1 < len(bodies)}
        for i, body in enumerate(bodies)
    ]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> Any:
        return pending.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": path,
        "client": ("10.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], sent[1]["body"].decode()


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_without_passwords_everybody_is_one_user() -> None:
    assert ask(guard()) == (200, f"{EVERYBODY} 0")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("", 401),
        (basic("ada:right password"), 200),
        (basic("ada:right passwor"), 401),
        (basic("ada:"), 401),
        (basic("bob:right password"), 401),
        (basic(":"), 401),
        ("Basic !!!", 401),
        ("Basic " + base64.b64encode(b"\xff:\xfe").decode(), 401),
        ("Bearer " + base64.b64encode(b"ada:right password").decode(), 401),
    ],
)
def test_a_password_opens(authorization: str, status: int) -> None:
    app = guard(users={"ada": "right password"})
    found, text = ask(app, authorization=authorization) if authorization else ask(app)
    assert found == status
    assert (text == "ada 0") == (status == 200)


def test_guessing_is_slowed_down_and_the_right_password_too() -> None:
    app = guard(users={"ada": "right password"})
    found = [ask(app, authorization=basic("ada:wrong"))[0] for _ in range(FAILURES_A_MINUTE + 1)]
    assert found == [401] * FAILURES_A_MINUTE + [429]
    assert ask(app, authorization=basic("ada:right password"))[0] == 429


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:7860", 200), ("localhost", 200), ("[::1]:7860", 200), ("evil.example:7860", 403), ("", 403)],
)
def test_it_answers_to_its_own_name(host: str, status: int) -> None:
    assert ask(guard(), host=host)[0] == status
    assert ask(guard(hosts=set()), host=host)[0] == 200


def test_another_page_cannot_ask_in_a_users_name() -> None:
    assert ask(guard(), origin="http://127.0.0.1:7860")[0] == 200
    assert ask(guard(), origin="http://evil.example")[0] == 403
    assert ask(guard(), origin="null")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://x/",
        "/gradio_api/file=HTTP://x/",
        "/gradio_api/%66ile=http:x",
        "/runs",
        "/a/%2570roxy=x",
    ],
)
def test_parts_that_fetch_from_elsewhere_are_closed(path: str) -> None:
    assert ask(guard(), path)[0] == 404


@pytest.mark.parametrize("folder", ["dev", "runs", "monitoring", "proxy=x"])
def test_a_file_may_lie_in_a_folder_of_any_name(folder: str) -> None:
    assert ask(guard(), f"/gradio_api/file=/home/ada/{folder}/studio/shown/x.webp")[0] == 200


def test_what_is_too_large_is_not_read() -> None:
    room = 1000 + 100_000
    assert ask(guard(), bodies=(b"x" * 1000,)) == (200, f"{EVERYBODY} 1000")
    assert ask(guard(), content_length=str(room + 1))[0] == 413
    assert ask(guard(), content_length="-1")[0] == 413
    # Without a length, or with one that lies, it is broken off.
    assert ask(guard(), bodies=(b"x" * 100_000,) * 3) == (200, f"{EVERYBODY} -1")


def test_files_that_are_dropped_together_may_be_larger_than_one() -> None:
    upload, room = "/gradio_api/upload", FILES * 1000 + 100_000
    assert ask(guard(), upload, (b"x" * 50_000,) * 3, content_length="150000") == (200, f"{EVERYBODY} 150000")
    assert ask(guard(), upload, content_length=str(room + 1))[0] == 413
    assert ask(guard(), upload, (b"x" * 100_000,) * 3) == (200, f"{EVERYBODY} -1")


def test_uploads_are_counted() -> None:
    app = guard()
    found = [ask(app, "/gradio_api/upload")[0] for _ in range(UPLOADS_A_MINUTE + 1)]
    assert found == [200] * UPLOADS_A_MINUTE + [429]
    assert ask(app, "/")[0] == 200


def test_passwords_come_from_a_file_and_a_variable(tmp_path: Path) -> None:
    (file := tmp_path / "users").write_text("ada:pass:word 1\n\n  bob:password2\n", encoding="utf-8")
    assert read_users(str(file), "eve:password3") == {
        "ada": "pass:word 1",
        "bob": "password2",
        "eve": "password3",
    }
    assert read_users(None, None) == {}
    file.write_bytes(b"\xef\xbb\xbfada : password 1\n")  # as Windows' editor saves it
    assert read_users(str(file), None) == {"ada": " password 1"}
    file.write_text("\n")
    with pytest.raises(InputError, match="names nobody"):
        read_users(str(file), None)


@pytest.mark.parametrize("text", ["ada", "ada:short", ":password1", "a*:password1"])
def test_a_bad_password_line_is_told_without_it(tmp_path: Path, text: str) -> None:
    (file := tmp_path / "users").write_text(f"bob:password2\n{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2 of the passwords") as told:
        read_users(str(file), None)
    assert "short" not in str(told.value)
    assert text not in str(told.value)


def test_listening_needs_passwords(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRUSHWORK_STUDIO_AUTH", raising=False)
    assert "--auth-file" in desk.call("studio", "--listen").complaint
    assert "none.txt" in desk.call("studio", "--auth-file", "none.txt").complaint
    assert "--port 99999" in desk.call("studio", "--port", "99999").complaint
    assert "--photos nowhere: there is no such" in desk.call("studio", "--photos", "nowhere").complaint
    assert "--max-upload 0" in desk.call("studio", "--max-upload", "0").complaint
