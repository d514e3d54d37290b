"""Read the photographs of a request into memory, within limits; nothing is written to a disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from email.message import Message
from typing import Any, ClassVar

import python_multipart  # noqa: F401  # the parser of forms needs it
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from seglab.errors import printable

LONGEST_NAME = 200
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # the sender reads what was wrong
MOST_DISCARDED = 2**28
"""Bytes of a request that is too large which are still read, so that its sender reads the answer."""
RETRY_SECONDS = 2


@dataclass(frozen=True)
class Limits:
    """``bytes``: of a request. ``files``: in a request. ``held``: bytes of all requests together. ``seconds``: for
    reading a request, and again for its masks.
    """

    bytes: int
    files: int
    held: int
    seconds: float


@dataclass(frozen=True)
class Upload:
    """A photograph: the ``data`` of its file, and its ``name`` as the sender gave it, printable; or empty."""

    name: str
    data: bytes


class Budget:
    """Bytes that all requests together may hold."""

    def __init__(self, most: int) -> None:
        self._most, self.held = most, 0

    def take(self, count: int) -> None:
        """Count bytes. Raises :class:`HTTPException` (503) if there would be too many."""
        if self.held + count > self._most:
            raise busy()
        self.held += count

    def give_back(self, count: int) -> None:
        """Count bytes as free again."""
        self.held -= count


class Parser(MultiPartParser):
    """The parser of forms, with all files in memory: photographs of patients belong on no disk."""

    spool_max_size: ClassVar[int] = 2**40  # type: ignore[misc]  # it is a plain attribute there
    is_whole = False

    def on_end(self) -> None:
        """Note that the last boundary has come."""
        self.is_whole = True


class Reader:
    """Reads one request, once; counts its bytes in a budget until it is closed."""

    def __init__(self, request: Request, limits: Limits, budget: Budget) -> None:
        self._request, self._limits, self._budget = request, limits, budget
        self._taken = 0

    def close(self, working: Sequence[Future[Any]] = ()) -> None:
        """Give the bytes back, once nobody works on them any more: when all of ``working`` are done."""
        left = [one for one in working if not one.done()]
        if not left:
            self._budget.give_back(self._taken)
            self._taken = 0
            return
        loop = asyncio.get_running_loop()

        def close_later(_: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the service has ended meanwhile
                loop.call_soon_threadsafe(self.close, left)

        left[0].add_done_callback(close_later)

    async def uploads(self) -> list[Upload]:
        """Return the photographs. Raises :class:`HTTPException`."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                found = await self._found()
        except TimeoutError as error:
            raise HTTPException(
                408, f"The request did not arrive within {self._limits.seconds:g} s. Send smaller ones."
            ) from error
        except ClientDisconnect as error:  # nobody reads the answer; it is counted
            raise HTTPException(400, "The connection was closed before all had arrived.") from error
        if not found:
            raise HTTPException(400, "The request holds no file; expected one photograph or several.")
        return found

    async def _found(self) -> list[Upload]:
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._parts()
        data = b"".join([piece async for piece in self._stream()])
        name = _file_name(self._request.headers.get("content-disposition", ""))
        return [Upload(shown_name(name), data)] if data else []

    async def _parts(self) -> list[Upload]:
        try:
            parser = Parser(
                self._request.headers, self._stream(), max_files=self._limits.files, max_fields=0, max_part_size=0
            )
            form = await parser.parse()
        except (MultiPartException, KeyError, ValueError) as error:
            said = getattr(error, "message", None) or str(error)
            raise HTTPException(
                400,
                f"The form cannot be read: {printable(said)[:LONGEST_NAME]} Expected multipart/form-data with at most "
                f"{self._limits.files} files and nothing else.",
            ) from error
        try:
            if not parser.is_whole:
                raise HTTPException(400, "The form has no end: its last boundary is missing. Send it again, whole.")
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            return [Upload(shown_name(file.filename or ""), await file.read()) for file in files]
        finally:
            await form.close()

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        declared, pieces = self._request.headers.get("content-length", "0"), self._request.stream()
        if declared.isdecimal() and int(declared) > self._limits.bytes:
            if "100-continue" in self._request.headers.get("expect", "").lower():
                raise self._too_large()  # it has not been sent
            await self._discard(pieces)
        async for piece in pieces:
            if self._taken + len(piece) > self._limits.bytes:
                await self._discard(pieces)
            self._budget.take(len(piece))
            self._taken += len(piece)
            yield piece

    async def _discard(self, pieces: AsyncGenerator[bytes, None]) -> None:
        """Read some more, since many programs read no answer before they have sent all. Raises 413."""
        passed = 0
        async for piece in pieces:
            passed += len(piece)
            if passed > MOST_DISCARDED:
                break
        raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The request has more than {self._limits.bytes:,} bytes, the limit. Send fewer or smaller photographs.",
        )


def busy() -> HTTPException:
    """Return the answer while no more images are taken."""
    return HTTPException(
        503,
        "As many photographs wait as are allowed. Send it again in some seconds.",
        {"Retry-After": str(RETRY_SECONDS)},
    )


def shown_name(name: str) -> str:
    """Return the last part of a name that came from outside, printable."""
    return printable(name.replace("\\", "/").rpartition("/")[2])[:LONGEST_NAME]


def _file_name(disposition: str) -> str:
    message = Message()
    message["content-disposition"] = disposition.replace("\r", " ").replace("\n", " ")
    try:
        return str(message.get_filename() or "")
    except (LookupError, TypeError, ValueError):  # an encoding that is none, or parts that do not fit together
        return ""
