"""Stands before the page: who may ask, for what, how often and how much. Everything passes here."""

from __future__ import annotations

import base64
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

USER = "brushwork_user"  # where the scope says who asks
EVERYBODY = "local"  # who asks where there are no passwords
CLOSED = (
    "proxy=",
    "/run-history",
    "/runs",
    "/monitoring",
    "/component_server",
    "/dev/",
    "/deep_link",
)
"""Parts of Gradio that fetch from elsewhere (as ``file=http`` does) or that the page has no use for."""
UPLOADS_A_MINUTE, FAILURES_A_MINUTE = 60, 10
ROOM = 100_000  # bytes of a request beside the file in it
FILES = 100  # of the largest, or more of smaller ones: each by itself is looked at by Gradio and by us
CLIENTS = 4096  # addresses that are remembered


class Rate:
    """So many events a minute for each address."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def is_over(self, address: str) -> bool:
        """Whether an address has had its share."""
        times, now = self._seen.get(address, deque[float]()), time.monotonic()
        while times and times[0] < now - 60:
            times.popleft()
        return len(times) >= self._most

    def count(self, address: str) -> None:
        """Take note of one event."""
        self._seen.setdefault(address, deque(maxlen=self._most)).append(time.monotonic())
        self._seen.move_to_end(address)
        while len(self._seen) > CLIENTS:
            self._seen.popitem(last=False)


class Guard:
    """An ASGI application before another one.

    ``users`` maps names to passwords (HTTP Basic); without any, everyone who reaches the page may use it.
    ``hosts`` are the names that it answers to, none for any: a page elsewhere whose name leads here gets
    nothing.
    """

    def __init__(self, app: App, *, users: dict[str, str], hosts: set[str], max_bytes: int) -> None:
        self._app, self._users, self._hosts, self._max_bytes = app, users, hosts, max_bytes
        self._uploads, self._failures = Rate(UPLOADS_A_MINUTE), Rate(FAILURES_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the page uses no web sockets
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused:
            await _refuse(send, *refused)
            return
        await self._app(scope, self._counted(receive, self._most(_path(scope))), send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and words of a refusal; None, with the user's name in the scope, when there is none."""
        address, path = (scope.get("client") or ("",))[0], _path(scope)
        if self._hosts and _host(headers.get("host", "")) not in self._hosts:
            return 403, "the studio does not answer to this name"
        origin = headers.get("origin", "")
        if origin and origin.partition("://")[2] != headers.get("host"):
            return 403, "another page asked"
        if refusal := self._sign_in(scope, address, headers):
            return refusal
        # What follows is the name of a file, whose folder may be called anything.
        if "file=http" in path or any(part in path.partition("/file=")[0] for part in CLOSED):
            return 404, "there is nothing here"
        return self._upload_refusal(address, path, headers)

    def _sign_in(self, scope: Scope, address: str, headers: dict[str, str]) -> tuple[int, str] | None:
        scope[USER] = EVERYBODY
        if not self._users:
            return None
        if self._failures.is_over(address):
            return 429, "too many wrong passwords: wait a minute"
        user = self._user(headers.get("authorization", ""))
        if user is None:
            if "authorization" in headers:
                self._failures.count(address)
            return 401, "name and password, please"
        scope[USER] = user
        return None

    def _upload_refusal(self, address: str, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        length = headers.get("content-length", "0")
        most = self._most(path)
        if not length.isdecimal() or int(length) > most:
            return 413, f"more than {most // 1_000_000} MB: make the file smaller first"
        if _is_upload(path):
            if self._uploads.is_over(address):
                return 429, "too many uploads: wait a minute"
            self._uploads.count(address)
        return None

    def _user(self, authorization: str) -> str | None:
        """The user whose name and password these are."""
        kind, _, coded = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            return None
        known = self._users.get(name, "")
        # Compared whether there is such a user or not, so that the time does not tell.
        same = hmac.compare_digest(password.encode(), known.encode())
        return name if kind.lower() == "basic" and same and known else None

    def _most(self, path: str) -> int:
        """The bytes that a request may have: the page sends the files that are dropped together in one."""
        return (FILES if _is_upload(path) else 1) * self._max_bytes + ROOM

    def _counted(self, receive: Receive, most: int) -> Receive:
        """Breaks off a body without a length that grows too large."""
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return {"type": "http.disconnect"} if got > most else message

        return counted


def _path(scope: Scope) -> str:
    return unquote(unquote(scope["path"])).lower()


def _is_upload(path: str) -> bool:
    return path.rstrip("/").endswith("/upload")


def _host(header: str) -> str:
    return header.rpartition(":")[0] if ":" in header.rpartition("]")[2] else header


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="Brushwork", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
