"""Read the headers of a tar up to the end of the file. In concatenated tars (``cat a.tar b.tar``) the first end mark is
not the last, so reading continues after it, as with ``tar --ignore-zeros``.
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
"""Byte ranges of size, modification time and checksum in a header."""
OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
EXTENSIONS = b"LKxgX"
MOST_EXTENSION_BYTES = 2**20
"""Limit for extension headers (long names, attributes); tarfile would read them into memory whatever their size."""
MOST_HEADER_BYTES = 2 * MOST_EXTENSION_BYTES
"""Limit for one file's header with everything that belongs to it, such as the map of a sparse file."""
SPARSE_PIECE = 1 << 16
"""Bytes of a sparse file per read: tarfile copies the data at each hole."""


class Blocks(Protocol):
    """What a tar is read from. ``seek`` may be forward only."""

    def tell(self) -> int: ...

    def seek(self, position: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...

    def ahead(self, size: int) -> bytes:
        """Return the bytes that ``read`` will return next."""


class _Given:
    """The file object given to tarfile. ``left``: bytes that tarfile may still read."""

    def __init__(self, blocks: Blocks) -> None:
        self.left = 0
        self.tell, self.seek, self._read = blocks.tell, blocks.seek, blocks.read

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises :class:`tarfile.HeaderError` if they exceed ``left``."""
        self.left -= size
        if self.left < 0:
            raise tarfile.InvalidHeaderError("its header is too long")  # type: ignore[attr-defined]
        return self._read(size)


class PlainFile(io.BufferedReader):
    """An uncompressed tar file."""

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))

    def ahead(self, size: int) -> bytes:
        """Return the bytes that ``read`` will return next."""
        data = self.read(size)
        self.seek(-len(data), io.SEEK_CUR)
        return data


class Tar(tarfile.TarFile):
    """tarfile's reading of headers and sparse files, without its walk, which ends at the first end mark."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks, self.found = blocks, 0
        self._given = _Given(blocks)
        super().__init__(
            fileobj=self._given, mode="r", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"  # type: ignore[arg-type]
        )  # fmt: skip

    def next(self) -> None:
        """Return None: opening must not read anything."""

    @contextlib.contextmanager
    def walking(self) -> Iterator[None]:
        """Map the errors raised after the first header: decompressors, tarfile and storage have their own."""
        try:
            yield
        except ArchiveEnd:
            raise
        except Exception as error:
            if not self.found:
                raise
            raise ArchiveEnd(f"damaged after {self.found} entries: {reason(error)}") from error

    def headers(self, complain: Complain) -> Iterator[tarfile.TarInfo]:
        """Yield the headers. ``complain`` is called for data that is not a tar, after an end mark or in the middle.

        Raises :class:`tarfile.HeaderError` if the data does not begin as a tar, :class:`ArchiveEnd` if it has no end
        mark.
        """
        is_marked = False
        while True:
            at = self.offset
            try:
                self.blocks.seek(at)
                self._given.left = MOST_HEADER_BYTES
                info = _Header.fromtarfile(self)
                if info.size < 0 or self.offset <= at:  # would read the same header for ever
                    raise tarfile.InvalidHeaderError("its size is below zero")  # type: ignore[attr-defined]
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                is_marked, self.offset = True, self._behind_zeros()
                self.pax_headers = {}  # they apply to one tar only
            except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
                if is_marked:
                    return
                raise ArchiveEnd(f"no end mark after {self.found} entries: the tar may be incomplete") from None
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
        """Go to the next block that is not all zeros, or to the end."""
        while (block := self.blocks.ahead(BLOCK)) and block.count(0) == len(block):
            self.blocks.read(len(block))
        return self.blocks.tell()

    def _went_on(self, at: int, is_marked: bool, complain: Complain) -> bool:
        """Look for the next header after data that is not one; return whether there is one."""
        while (block := self.blocks.ahead(BLOCK)) and not _is_header(block):
            self.blocks.read(len(block))
        self.offset = self.blocks.tell()
        what = "data after its end mark that is not a tar" if is_marked else "damaged: it may be incomplete"
        how = "; reading went on after it" if block else ""
        complain(f"{what} ({self.offset - at} bytes from byte {at} on){how}")
        return bool(block)


def looks_like_header(block: bytes) -> bool:
    """Return whether an uncompressed tar begins like this; at least 262 bytes are needed."""
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
    """Return a member's name; POSIX headers keep the first part of a long one in a separate field."""
    name = buf[:100].partition(b"\0")[0]
    prefix = buf[345:500].partition(b"\0")[0] if buf[257:263] == tarfile.POSIX_MAGIC[:6] else b""
    return (prefix + b"/" + name if prefix else name).decode(encoding, errors)


class _Header(tarfile.TarInfo):
    """A header; those of plain files are parsed by a fast path."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        """Read a header. tarfile is several times slower for plain files, and an archive may hold a million of them."""
        if len(buf) == BLOCK and buf[156:157] == tarfile.REGTYPE and buf[257:262] == TAR_MAGIC:
            size, mtime, claimed = (OCTAL.fullmatch(buf, *field) for field in HEADER_FIELDS)
            if size and mtime and claimed and int(claimed[1], 8) == sum(buf) - sum(buf[148:156]) + 8 * 0x20:
                info = cls(_header_name(bytes(buf), encoding, errors))
                info.size, info.mtime = int(size[1], 8), int(mtime[1], 8)
                return info
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENSIONS and info.size > MOST_EXTENSION_BYTES:
            raise tarfile.InvalidHeaderError("its name is too long")  # type: ignore[attr-defined]
        return info
