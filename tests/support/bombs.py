"""Archives of zeros that unpack to far more than their size, made quickly and with little memory."""

from __future__ import annotations

import bz2
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

MIB = 2**20


def deflated_zeros(size: int, wbits: int = -zlib.MAX_WBITS) -> bytes:
    """Return ``size`` zeros compressed by deflate, with the header that ``wbits`` asks for and without a checksum."""
    whole, rest = divmod(size, MIB)
    maker = zlib.compressobj(9, zlib.DEFLATED, wbits)
    begin = maker.compress(bytes(rest)) + maker.flush(zlib.Z_FULL_FLUSH)
    inner = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = inner.compress(bytes(MIB)) + inner.flush(zlib.Z_FULL_FLUSH)
    return begin + block * whole + b"\x03\x00"  # an empty last block


def crc_of_zeros(size: int) -> int:
    """Return the CRC-32 of ``size`` zeros."""
    crc, block = 0, bytes(MIB)
    for start in range(0, size, MIB):
        crc = zlib.crc32(block[: size - start], crc)
    return crc


def packed_zeros(size: int, method: int) -> bytes:
    """Return ``size`` zeros compressed by a method of zip files."""
    if method == zipfile.ZIP_DEFLATED:
        return deflated_zeros(size)
    if method == zipfile.ZIP_BZIP2:
        return _compressed(bz2.BZ2Compressor(), size)
    if method == zipfile.ZIP_LZMA:
        entry = {"id": lzma.FILTER_LZMA1, "preset": 6}
        begin = struct.pack("<BBHBI", 9, 4, 5, 93, 1 << 23)
        return begin + _compressed(lzma.LZMACompressor(lzma.FORMAT_RAW, filters=[entry]), size)
    return bytes(size)


def _compressed(maker: bz2.BZ2Compressor | lzma.LZMACompressor, size: int) -> bytes:
    return b"".join(maker.compress(bytes(min(MIB, size - start))) for start in range(0, size, MIB)) + maker.flush()


def zip_of(name: str, data: bytes, method: int, size: int, crc: int, more: dict[str, bytes] | None = None) -> bytes:
    """Return a zip with one member, whose packed bytes are ``data``, followed by ``more`` stored ones."""
    parts, directory = b"", b""
    entries = [(name, data, method, size, crc)]
    entries += [(other, held, 0, len(held), zlib.crc32(held)) for other, held in (more or {}).items()]
    for entry_name, held, entry_method, entry_size, entry_crc in entries:
        raw, flags = entry_name.encode(), 2 if entry_method == zipfile.ZIP_LZMA else 0
        fields = (20, flags, entry_method, 0, 0x5821, entry_crc, len(held), entry_size, len(raw), 0)
        directory += struct.pack("<4sH5H3L2H3H2L", b"PK\1\2", 20, *fields, 0, 0, 0, 0, len(parts)) + raw
        parts += struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + raw + held
    count = len(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(parts), 0)
    return parts + directory + end


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return the header of a file in a tar; sizes below zero are written as GNU tar writes such times."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = size if size >= 0 else 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size < 0:
        block[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sparse_tar(path: Path, name: str, size: int, more: dict[str, bytes]) -> None:
    """Write a tar with a member of zeros that takes no space on the disk, followed by more files."""
    with path.open("wb") as file:
        file.write(tar_header(name, size))
        file.seek(512 + -(-size // 512) * 512)
        file.write(tar_of(more))


def tar_of(files: dict[str, bytes]) -> bytes:
    """Return a tar of files."""
    parts = [tar_header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in files.items()]
    return b"".join(parts) + bytes(1024)


def gzipped_bomb(name: str, size: int, more: dict[str, bytes]) -> bytes:
    """Return a tar.gz, in three streams, with a member of zeros followed by more files. ``size``: whole blocks."""
    zeros = deflated_zeros(size, zlib.MAX_WBITS | 16)
    trailer = struct.pack("<2L", crc_of_zeros(size), size % 2**32)
    begin, rest = (zlib.compress(data, 6, zlib.MAX_WBITS | 16) for data in (tar_header(name, size), tar_of(more)))
    return begin + zeros + trailer + rest
