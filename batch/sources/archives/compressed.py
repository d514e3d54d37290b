"""A byte stream that is read from front to back and decompressed if it is compressed."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any

from batch.sources.bytes import MOST_UNPACKED_BYTES

PIECE = 1 << 16
"""Bytes of input per read; a decompressor returns at most :data:`MOST_OUT` bytes at a time."""
MOST_OUT = 1 << 20
GZIP, BZIP2, XZ, LZMA = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00\x80"
MAGIC = (GZIP, BZIP2, XZ, LZMA)
"""First bytes of compressed streams."""
MAGIC_BYTES = max(map(len, MAGIC))


class Decompressed:
    """The decompressed bytes of ``raw``, also of several compressed streams in a row (pigz, pbzip2, ``cat``).

    It has the methods that tarfile needs, but can only seek forward. ``complain`` is called if other data follows the
    last compressed stream. Raises :class:`EOFError` for a compressed stream that ends too early, and the
    decompressors' errors.
    """

    def __init__(self, raw: IO[bytes], complain: Callable[[str], None]) -> None:
        self._read: Callable[[int], bytes] = getattr(raw, "read1", raw.read)  # returns what a slow pipe has so far
        self._complain = complain
        self._input, self._output, self._at, self._position = b"", b"", 0, 0
        self._fill(MAGIC_BYTES)
        self._is_plain = not self._input.startswith(MAGIC)
        self._decoder: Decoder | None = None
        self._ended = False

    def tell(self) -> int:
        """Return how many bytes were read or skipped."""
        return self._position

    def seekable(self) -> bool:
        """Return True: it can seek forward."""
        return True

    def seek(self, position: int) -> int:
        """Skip forward to a position, or to the end."""
        while self._position < position and self.read(min(position - self._position, MOST_OUT)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end."""
        if size > MOST_OUT:
            return self._read_long(size)
        self._prepare(size)
        data = self._output[self._at : self._at + size]
        self._at += len(data)
        self._position += len(data)
        return data

    def _read_long(self, size: int) -> bytes:
        """Read in pieces, to hold the data only once."""
        held = io.BytesIO()
        while (missing := size - held.tell()) > 0 and (piece := self.read(min(missing, MOST_OUT))):
            held.write(piece)
        return held.getvalue()

    def ahead(self, size: int) -> bytes:
        """Return the bytes that :meth:`read` will return next, without consuming them."""
        self._prepare(size)
        return self._output[self._at : self._at + size]

    def _prepare(self, size: int) -> None:
        missing = size - (len(self._output) - self._at)
        if missing <= 0:
            return
        pieces = [self._output[self._at :]]
        while missing > 0 and (piece := self._more()):
            pieces.append(piece)
            missing -= len(piece)
        self._output, self._at = b"".join(pieces), 0

    def _more(self) -> bytes:
        """Return the next piece, empty at the end."""
        if self._is_plain:
            piece, self._input = self._input or self._read(PIECE), b""
            return piece
        while not self._ended:
            if self._decoder is None:
                self._begin()
            elif piece := self._decoded(self._decoder):
                return piece
        return b""

    def _begin(self) -> None:
        """Begin the next compressed stream, after any zero bytes before it."""
        self._input = self._input.lstrip(b"\0")
        while not self._input and (piece := self._read(PIECE)):
            self._input = piece.lstrip(b"\0")
        self._fill(MAGIC_BYTES)
        if self._input.startswith(MAGIC):
            self._decoder = _decoder(self._input)
            return
        self._ended = True
        if self._input:
            self._complain("other data follows the compressed data; everything before it was read")

    def _decoded(self, decoder: Decoder) -> bytes:
        if not self._input and not decoder.has_more:
            self._fill(1)
            if not self._input:
                raise EOFError("its compressed data ends too early")
        piece = decoder.decompress(self._input)
        self._input = decoder.rest
        if decoder.eof:
            self._decoder = None
        return piece

    def _fill(self, size: int) -> None:
        while len(self._input) < size and (piece := self._read(PIECE)):
            self._input += piece


class Decoder:
    """One compressed stream. ``rest``: input to pass again, or what follows the stream. ``has_more``: output."""

    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor
        self._is_zlib = hasattr(decompressor, "unconsumed_tail")
        self.rest, self.has_more, self.eof = b"", False, False

    def decompress(self, data: bytes) -> bytes:
        """Return the next output, at most :data:`MOST_OUT` bytes."""
        inner = self._decompressor
        piece: bytes = inner.decompress(data, MOST_OUT)
        self.eof = inner.eof
        if self._is_zlib:
            self.rest = inner.unused_data if self.eof else inner.unconsumed_tail
            self.has_more = len(piece) == MOST_OUT
        else:
            self.rest = inner.unused_data
            self.has_more = not self.eof and not inner.needs_input
        return piece


def _decoder(beginning: bytes) -> Decoder:
    if beginning.startswith(GZIP):
        return Decoder(zlib.decompressobj(zlib.MAX_WBITS | 16))
    if beginning.startswith(BZIP2):
        return Decoder(bz2.BZ2Decompressor())
    return Decoder(lzma.LZMADecompressor(memlimit=MOST_UNPACKED_BYTES))
