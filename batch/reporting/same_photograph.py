"""Whether a photograph is still the one that a mask was made of: another one may lie at its path now."""

from __future__ import annotations

import os
import zlib

from batch.sources.by_path import archive_of
from batch.sources.bytes import in_range
from batch.sources.checksum import checksum_of
from batch.sources.image_ref import CHECKSUM
from batch.urls import is_url
from seglab.errors import ImageError

CRC = "crc32"
"""Kind of version of members of zips."""
CHANGED = "It changed since the mask was made. Run again to remake the mask."


def require_same(path: str, data: bytes, size: int, mtime_ns: int, version: str | None) -> None:
    """Raise :class:`ImageError` if the bytes read from ``path`` are not those that the mask was made of, as the ledger
    has it (``size``, ``mtime_ns``, ``version``). Of tars and URLs only the size is compared.
    """
    kind = (version or "").partition(":")[0]
    if kind == CHECKSUM:
        is_same = checksum_of(data) == version
    elif kind == CRC:
        is_same = f"{CRC}:{zlib.crc32(data):08x}" == version
    else:
        is_file = not is_url(path) and archive_of(path) is None
        is_same = len(data) == size and (not is_file or _time_of(path) == mtime_ns)
    if not is_same:
        raise ImageError(CHANGED)


def same_or_error(
    path: str, data: bytes | ImageError, size: int, mtime_ns: int, version: str | None
) -> bytes | ImageError:
    """Return the bytes, or the reason why they are of no use, see :func:`require_same`."""
    if isinstance(data, ImageError):
        return data
    try:
        require_same(path, data, size, mtime_ns, version)
    except ImageError as error:
        return error
    return data


def _time_of(path: str) -> int | None:
    try:
        return in_range(os.stat(path).st_mtime_ns)
    except OSError:  # it was removed after it was read
        return None
