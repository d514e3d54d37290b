"""What a source names: images on their way, and what was passed over."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field

from batch.sources.bytes import ByteSource, FileBytes, in_range

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image on its way.

    An image is done if its ``path`` is in the ledger with the same ``bytes`` and ``mtime_ns``; so paths are unique over
    all sources, and what has no time of its own takes that of its container.

    ``path``: absolute; inside an archive the archive's path and the member's name. ``relative``: path below the source
    with ``/``, which the mask's name follows. ``source``: as it was named. ``bytes`` and ``mtime_ns``: as found on the
    walk, -1 where the file could not be looked at. ``content``: where it is read from.
    """

    path: str
    relative: str
    source: str
    bytes: int
    mtime_ns: int
    content: ByteSource


@dataclass
class SourceReport:
    """What a walk passed over, and what of the sources could not be read. ``others`` counts by suffix."""

    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    outputs: list[str] = field(default_factory=list)
    repeated_folders: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def file_ref(path: str, relative: str, source: str) -> ImageRef:
    """Return the item for a file, looked at."""
    content = FileBytes(path)
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # gone meanwhile, a link to nothing, no possible name: decoding will say so
        return ImageRef(path, relative, source, UNKNOWN, 0, content)
    if not stat.S_ISREG(state.st_mode):
        return ImageRef(path, relative, source, UNKNOWN, 0, content)
    return ImageRef(path, relative, source, state.st_size, in_range(state.st_mtime_ns), content)


def suffix_of(name: str) -> str:
    """Return a name's suffix as it is compared and counted."""
    return os.path.splitext(name)[1].lower()


def below(name: str) -> str:
    """Return a path that somebody else wrote (in an archive, in a list) as one that stays below where it is put."""
    parts = name.replace(os.sep, "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
