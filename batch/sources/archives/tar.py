"""The headers of a tar, from its beginning to the end of the file: an end mark is not the last one where tars were
joined (``cat a.tar b.tar``), so it is read on behind it, as ``tar --ignore-zeros`` does.
"""

from __future__ import annotations

import contextlib
import io
import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any, Protocol, cast

from batch.sources.archives.member import ArchiveEnd, Complain, reason

BLOCK = tarfile.BLOCKSIZE
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
HEADER_FIELDS = ((124, 136), (136, 148), (148, 156))
"""Where a header has size, time of change and check sum."""
OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
EXTENSIONS = b"LKxgX"
MOST_EXTENSION_BYTES = 2**20
"""Longer names and attributes are no names: tarfile would read all of them into memory."""
MOST_HEADER_BYTES = 2 * MOST_EXTENSION_BYTES
"""Of one file with all that belongs to it, such as the map of a sparse file, which may have no end."""
SPARSE_PIECE = 1 << 16
"""Bytes of a sparse file that are put together at a time: tarfile copies them at each hole."""


class Blocks(Protocol):
    """What a tar is read from. ``seek`` may go forward only."""

    def tell(self) -> int: ...

    def seek(self, position: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def ahead(self, size: int) -> bytes:
        """Return what ``read`` will return next."""


class _Given:
    """What tarfile reads from. ``left``: bytes that it may have."""

    def __init__(self, blocks: Blocks) -> None:
        self.left = 0
        self.tell, self.seek, self._read = blocks.tell, blocks.seek, blocks.read

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises :class:`tarfile.HeaderError` where that would be too much."""
        self.left -= size
        if self.left < 0:
            raise tarfile.InvalidHeaderError("a header too long")  # type: ignore[attr-defined]
        return self._read(size)


class PlainFile(io.BufferedReader):
    """A file that is not compressed."""

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))

    def ahead(self, size: int) -> bytes:
        """Return what ``read`` will return next."""
        data = self.read(size)
        self.seek(-len(data), io.SEEK_CUR)
        return data


class Tar(tarfile.TarFile):
    """tarfile's way to read headers and sparse files, without its walk, which ends at the first end mark."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks, self.found = blocks, 0
        self._given = _Given(blocks)
        super().__init__(
            fileobj=self._given, mode="r", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"  # type: ignore[arg-type]
        )  # fmt: skip

    def next(self) -> None:
        """Return None: nothing is read when it is opened."""

    @contextlib.contextmanager
    def walking(self) -> Iterator[None]:
        """Map what is raised behind the first header: decompressors, tarfile and storage have errors of their own."""
        try:
            yield
        except ArchiveEnd:
            raise
        except Exception as error:
            if not self.found:
                raise
            raise ArchiveEnd(f"damaged after {self.found} entries: {reason(error)}") from error

    def headers(self, complain: Complain) -> Iterator[tarfile.TarInfo]:
        """Yield the headers. ``complain`` is told of what is no tar, behind an end mark or in the middle.

        Raises :class:`tarfile.HeaderError` if it does not begin as a tar, :class:`ArchiveEnd` if it has no end mark.
        """
        is_marked = False
        while True:
            at = self.offset
            try:
                self.blocks.seek(at)
                self._given.left = MOST_HEADER_BYTES
                info = _Header.fromtarfile(self)
                if info.size < 0 or self.offset <= at:  # the next one would be this one, for ever
                    raise tarfile.InvalidHeaderError("a size below zero")  # type: ignore[attr-defined]
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                is_marked, self.offset = True, self._behind_zeros()
                self.pax_headers = {}  # they are for one tar
            except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
                if is_marked:
                    return
                raise ArchiveEnd(f"without its end mark after {self.found} entries: it may be incomplete") from None
            except tarfile.HeaderError:
                if not self.found:
                    raise
                if not self._went_on(at, is_marked, complain):
                    return
            else:
                self.found, is_marked = self.found + 1, False
                yield info

    def filled(self, info: tarfile.TarInfo) -> bytes:
        """Return the bytes of a sparse file, holes filled. Raises :class:`tarfile.ReadError` if the tar ends in it."""
        self._given.left = info.size
        held = io.BytesIO()
        with cast("IO[bytes]", self.extractfile(info)) as file:
            while piece := file.read(SPARSE_PIECE):
                held.write(piece)
        return held.getvalue()

    def _behind_zeros(self) -> int:
        """Go to the next block that is not zero, or to the end."""
        while (block := self.blocks.ahead(BLOCK)) and block.count(0) == len(block):
            self.blocks.read(len(block))
        return self.blocks.tell()

    def _went_on(self, at: int, is_marked: bool, complain: Complain) -> bool:
        """Look for the next header behind what is none; return whether there is one."""
        while (block := self.blocks.ahead(BLOCK)) and not _is_header(block):
            self.blocks.read(len(block))
        self.offset = self.blocks.tell()
        what = "data behind its end mark that is no tar" if is_marked else "damaged: it may be incomplete"
        how = "; it was read on behind that" if block else ""
        complain(f"{what} ({self.offset - at} bytes from byte {at} on){how}")
        return bool(block)


def looks_like_header(block: bytes) -> bool:
    """Is this how a tar that is not compressed begins? From 262 bytes on it can be told."""
    return block[TAR_MAGIC_AT : TAR_MAGIC_AT + len(TAR_MAGIC)] == TAR_MAGIC


def _is_header(block: bytes) -> bool:
    if not looks_like_header(block):
        return False
    try:
        _Header.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _header_name(buf: bytes, encoding: str, errors: str) -> str:
    """Return a member's name; POSIX headers put the first part of a long one elsewhere."""
    name = buf[:100].partition(b"\0")[0]
    prefix = buf[345:500].partition(b"\0")[0] if buf[257:263] == tarfile.POSIX_MAGIC[:6] else b""
    return (prefix + b"/" + name if prefix else name).decode(encoding, errors)


class _Header(tarfile.TarInfo):
    """A header; those of plain files are read quickly."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        """Read a header. tarfile takes 60 microseconds for what a plain file needs 10 for: an archive has a million."""
        if len(buf) == BLOCK and buf[156:157] == tarfile.REGTYPE and buf[257:262] == TAR_MAGIC:
            size, mtime, claimed = (OCTAL.fullmatch(buf, *field) for field in HEADER_FIELDS)
            if size and mtime and claimed and int(claimed[1], 8) == sum(buf) - sum(buf[148:156]) + 8 * 0x20:
                info = cls(_header_name(bytes(buf), encoding, errors))
                info.size, info.mtime = int(size[1], 8), int(mtime[1], 8)
                return info
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENSIONS and info.size > MOST_EXTENSION_BYTES:
            raise tarfile.InvalidHeaderError("a name too long")  # type: ignore[attr-defined]
        return info
