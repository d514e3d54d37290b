"""What is asked of a web server, over the session of fsspec's file system.

fsspec's own calls neither say what a server answered nor bound what it sends.
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
"""For the whole of an answer, however small its parts; archives that are read as a stream have no such limit."""
HEADS_AT_ONCE = 16
HEAD_SECONDS = 30.0
"""So long may the heads of some files take together; what has none by then is read to be known."""


T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a server sent. ``url``: where it came from in the end. ``headers``: with small letters."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = b""

    @property
    def bytes(self) -> int:
        """The size of the file, -1 where that is not said."""
        length = self.headers.get("content-length", "")
        is_plain = self.headers.get("content-encoding", "identity") == "identity"
        return int(length) if is_plain and length.isdecimal() and int(length) > 0 else -1

    @property
    def changed(self) -> float:
        """The time of change in seconds, 0 where that is not said."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.headers.get("last-modified", "")).timestamp()
        except (ValueError, OverflowError):
            return 0.0

    @property
    def version(self) -> str:
        """What tells one content from another; empty where the server says nothing."""
        tag = self.headers.get("etag", "").replace('"', "")
        return f"etag:{tag}" if tag else ""

    @property
    def kind(self) -> str:
        """The type of the content, such as ``text/html``."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_page(self) -> bool:
        """Is it a page, and not a file?"""
        begin = self.data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return begin.startswith((b"<!doctype html", b"<html")) or (self.kind == "text/html" and begin.startswith(b"<"))


def get(files: Any, url: str, most: int) -> Answer:
    """Fetch a file. Raises :class:`ImageError` for one of more than ``most`` bytes, and what aiohttp raises."""
    return _sync(files, _ask(files, "GET", url, most))


def look(files: Any, url: str) -> Answer:
    """Ask about a file without fetching it: a server that signs, or knows, only GET is asked by one that is cut off."""
    from aiohttp import ClientResponseError

    try:
        return _sync(files, _ask(files, "HEAD", url))
    except (ClientResponseError, FileNotFoundError):
        return _sync(files, _ask(files, "GET", url))


def gives_parts(files: Any, url: str) -> int | None:
    """Return the size of a file of which the server gives parts; None if it gives only the whole."""
    answer = _sync(files, _ask(files, "GET", url, 0, {"Range": "bytes=0-0"}))
    size = answer.headers.get("content-range", "").rpartition("/")[2]
    return int(size) if answer.headers[":status"] == "206" and size.isdecimal() else None


def heads(files: Any, urls: Sequence[str]) -> list[Answer | None]:
    """Ask about several files at once; None for those about which nothing can be learned."""
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
        except Exception:  # reading the image will say what is wrong
            return None

    tasks = [asyncio.ensure_future(one(url)) for url in urls]
    _, late = await asyncio.wait(tasks, timeout=HEAD_SECONDS)
    for task in late:
        task.cancel()
    return [task.result() if task not in late else None for task in tasks]


async def _ask(files: Any, method: str, url: str, most: int = 0, more: Mapping[str, str] | None = None) -> Answer:
    """Return the answer; with the content if ``most`` is not 0."""
    session = await files.set_session()
    options = dict(files.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity", **(more or {})}
    async with session.request(method, files.encode_url(url), headers=headers, allow_redirects=True, **options) as got:
        if got.status in GONE:
            raise FileNotFoundError(2, "nothing is there")
        got.raise_for_status()
        said = {":status": str(got.status), **{name.lower(): value for name, value in got.headers.items()}}
        answer = Answer(str(got.url), said)
        if most == 0:
            if method == "GET":
                got.close()  # what follows is not wanted
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
            f"It has more than {most / 2**20:.0f} MiB; expected a smaller file. Save a smaller copy, or fetch it and "
            "name the file."
        )
