"""Decompress one member of a zip in pieces, never holding much more than the size in the directory.

:mod:`zipfile` decompresses everything at once, which may be a million times the compressed size.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from typing import IO, Protocol

from batch.sources.archives.compressed import Decoder
from batch.sources.bytes import PIECE

LZMA_HEADER = struct.Struct("<BBHBI")
"""Version (2 bytes) and length of the properties (5), then the properties: one byte for lc, lp, pb; dictionary size."""
LEAST_DICTIONARY = 4096


def unpacked(file: IO[bytes], method: int, packed: int, size: int, crc: int) -> bytes:
    """Return the ``size`` bytes that the next ``packed`` bytes of a file decompress to.

    ``method``: a compression method of :mod:`zipfile`. Raises :class:`zipfile.BadZipFile` if there are more bytes or
    their checksum is wrong, :class:`EOFError` if the file ends too early, and the errors of the decompressors.
    """
    decoder: _Decoding
    if method == zipfile.ZIP_LZMA:
        decoder = _lzma_decoder(file, size)
        packed -= LZMA_HEADER.size
    else:
        decoder = _decoder(method)
    held = io.BytesIO()
    given = b""
    while not decoder.eof:
        if not given and not decoder.has_more:
            if packed <= 0:
                break
            given = file.read(min(PIECE, packed))
            if not given:
                raise EOFError
            packed -= len(given)
        held.write(decoder.decompress(given))
        given = decoder.rest
        if held.tell() > size:
            raise zipfile.BadZipFile(f"it holds more than the {size:,} bytes that the directory says")
    data = held.getvalue()
    if zlib.crc32(data) != crc:
        raise zipfile.BadZipFile("its checksum (CRC-32) differs from the one in the directory")
    return data


class _Decoding(Protocol):
    """A decompressor, see :class:`batch.sources.archives.compressed.Decoder`."""

    rest: bytes
    has_more: bool
    eof: bool

    def decompress(self, data: bytes) -> bytes: ...


class _Stored:
    """The "decompressor" for uncompressed members."""

    rest, has_more, eof = b"", False, False

    def decompress(self, data: bytes) -> bytes:
        """Return ``data`` unchanged."""
        return data


def _decoder(method: int) -> _Decoding:
    if method == zipfile.ZIP_STORED:
        return _Stored()
    return Decoder(bz2.BZ2Decompressor() if method == zipfile.ZIP_BZIP2 else zlib.decompressobj(-zlib.MAX_WBITS))


def _lzma_decoder(file: IO[bytes], size: int) -> Decoder:
    """Read the header of APPNOTE 5.8.8. The dictionary never needs to be larger than the whole content."""
    header = file.read(LZMA_HEADER.size)
    if len(header) < LZMA_HEADER.size:
        raise EOFError
    _, _, length, properties, dictionary = LZMA_HEADER.unpack(header)
    if length != 5:
        raise zipfile.BadZipFile("its LZMA header is damaged")
    lc, lp, pb = properties % 9, properties // 9 % 5, properties // 45
    room = max(LEAST_DICTIONARY, min(dictionary, size))
    entry = {"id": lzma.FILTER_LZMA1, "dict_size": room, "lc": lc, "lp": lp, "pb": pb}
    return Decoder(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[entry]))
