"""A file of an archive, as the walks over zips and tars yield it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from batch.sources.bytes import ByteSource, NoBytes
from batch.storage import first_line

Wanted = Callable[[str, int], bool]
"""Return whether a member of this name and size in bytes is to be read."""
Complain = Callable[[str], None]
Opener = Callable[[], IO[bytes]]
PASSED_OVER = NoBytes("It was skipped.")
LINK = "It is a link inside the archive, and links are not followed; expected a file. Unpack the archive first."


class ArchiveEnd(Exception):
    """An archive breaks off before its end; the text says why."""


def reason(error: Exception) -> str:
    """Return why an archive cannot be read."""
    if isinstance(error, tarfile.TarError):
        return "no tar header where one was expected"
    return getattr(error, "strerror", None) or first_line(error)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive. ``name``: as in the archive, with ``/``. ``bytes``, ``mtime_ns``: as the archive says.

    ``wanted``: whether its content was asked for. ``is_replaced``: whether a later member has the same name, and would
    remain after unpacking. ``version``: see :class:`batch.sources.image_ref.ImageRef`.
    """

    name: str
    bytes: int
    mtime_ns: int
    content: ByteSource
    wanted: bool
    is_replaced: bool = False
    version: str = ""
