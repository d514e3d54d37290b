"""Whether a path is on network storage, where reading several files at once pays off."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from batch.storage import is_url

MOUNTS = Path("/proc/self/mounts")
"""Lists device, mount point, type, ... of each mount on Linux; spaces in names are written as ``\\040``."""
NETWORK_TYPES = re.compile(r"nfs.*|cifs|smb.*|afs|9p|ceph|lustre|gpfs|beegfs|glusterfs|fuse\..*|fuse")
OCTAL = re.compile(r"\\([0-7]{3})")


def is_far(place: str, mounts: Path = MOUNTS) -> bool:
    """Return whether ``place`` is a URL or on a network file system; False if that is not known."""
    if is_url(place):
        return True
    path = os.path.realpath(place)
    above = [
        (point, kind) for point, kind in _mounted(mounts) if path == point or path.startswith(os.path.join(point, ""))
    ]
    _, kind = max(reversed(above), key=lambda entry: len(entry[0]), default=("", ""))
    return NETWORK_TYPES.fullmatch(kind) is not None


@functools.cache
def _mounted(mounts: Path) -> list[tuple[str, str]]:
    """Return mount points and types, read once because a run may name a thousand files; empty if they are not known."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [(_plain(fields[1]), fields[2]) for fields in map(str.split, lines) if len(fields) > 2]


def _plain(name: str) -> str:
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), name)
