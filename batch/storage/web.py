"""Requests to a web server, over the session of fsspec's file system.

fsspec's own calls neither return the server's headers nor limit the size of an answer.
"""

from __future__ import annotations

import io
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from seglab.errors import ImageError

CHUNK = 1 << 20
GONE = (404, 410)
ANSWER_SECONDS = 600.0
"""Time limit for a whole answer; archives that are read as a stream have none."""
HEADS_AT_ONCE = 16
HEAD_SECONDS = 30.0
"""Time limit for the HEAD requests of a group of files; files without an answer are read to find out more."""


T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A server's answer. ``url``: after redirects. ``headers``: names in lower case."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""

    @property
    def bytes(self) -> int:
        """Return the size of the file in bytes, -1 if the server does not say."""
        length = self.headers.get("content-length", "")
        is_plain = self.headers.get("content-encoding", "identity") == "identity"
        return int(length) if is_plain and length.isdecimal() and int(length) > 0 else -1

    @property
    def changed(self) -> float:
        """Return the modification time in Unix seconds, 0 if the server does not say."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.headers.get("last-modified", "")).timestamp()
        except (ValueError, OverflowError):
            return 0.0

    @property
    def version(self) -> str:
        """Return the ETag as an image's version; empty if the server sends none."""
        tag = self.headers.get("etag", "").replace('"', "")
        return f"etag:{tag}" if tag else ""

    @property
    def kind(self) -> str:
        """Return the content type, such as ``text/html``."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_page(self) -> bool:
        """Return whether the content is an HTML page instead of a file."""
        begin = self.data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return begin.startswith((b"<!doctype html", b"<html")) or (self.kind == "text/html" and begin.startswith(b"<"))


def get(files: Any, url: str, most: int) -> Answer:
    """Fetch a file. Raises :class:`ImageError` if it has more than ``most`` bytes, and aiohttp's errors."""
    return _sync(files, _ask(files, "GET", url, most))


def look(files: Any, url: str) -> Answer:
    """Ask about a file without fetching it: by HEAD, or by a GET that is cut off if the server refuses HEAD."""
    from aiohttp import ClientResponseError

    try:
        return _sync(files, _ask(files, "HEAD", url))
    except (ClientResponseError, FileNotFoundError):
        return _sync(files, _ask(files, "GET", url))


def gives_parts(files: Any, url: str) -> int | None:
    """Return the size of a file if the server supports range requests for it, else None."""
    answer = _sync(files, _ask(files, "GET", url, 0, {"Range": "bytes=0-0"}))
    size = answer.headers.get("content-range", "").rpartition("/")[2]
    return int(size) if answer.headers[":status"] == "206" and size.isdecimal() else None


def heads(files: Any, urls: Sequence[str]) -> list[Answer | None]:
    """Ask about several files at once; None for those without an answer."""
    return _sync(files, _heads(files, urls))


def _sync(files: Any, work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # what is loaded before the processes of a run start is light

    from fsspec.asyn import sync

    async def do() -> T:
        return await asyncio.wait_for(work, ANSWER_SECONDS)

    return cast("T", sync(files.loop, do))


async def _heads(files: Any, urls: Sequence[str]) -> list[Answer | None]:
    import asyncio

    room = asyncio.Semaphore(HEADS_AT_ONCE)

    async def one(url: str) -> Answer | None:
        try:
            async with room:
                return await _ask(files, "HEAD", url)
        except Exception:  # reading the image will fail with the reason
            return None

    tasks = [asyncio.ensure_future(one(url)) for url in urls]
    _, late = await asyncio.wait(tasks, timeout=HEAD_SECONDS)
    for task in late:
        task.cancel()
    return [task.result() if task not in late else None for task in tasks]


async def _ask(files: Any, method: str, url: str, most: int = 0, more: Mapping[str, str] | None = None) -> Answer:
    """Send a request; return the answer, with its content if ``most`` is not 0."""
    session = await files.set_session()
    options = dict(files.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity", **(more or {})}
    async with session.request(method, files.encode_url(url), headers=headers, allow_redirects=True, **options) as got:
        if got.status in GONE:
            raise FileNotFoundError(2, "it does not exist")
        got.raise_for_status()
        said = {":status": str(got.status), **{name.lower(): value for name, value in got.headers.items()}}
        answer = Answer(str(got.url), said)
        if most == 0:
            if method == "GET":
                got.close()  # the content is not needed
            return answer
        require_most(answer.bytes, most)
        held = io.BytesIO()
        async for chunk in got.content.iter_chunked(CHUNK):
            held.write(chunk)
            require_most(held.tell(), most)
    return Answer(answer.url, said, held.getvalue())


def require_most(length: int, most: int) -> None:
    """Raise :class:`ImageError` for a file of more than ``most`` bytes."""
    if length > most:
        raise ImageError(
            f"It has more than {most / 2**20:.0f} MiB; expected a smaller file. Save a smaller copy, or download it "
            "and name the file."
        )
