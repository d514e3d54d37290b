"""Is a path on storage that is reached over a network? There it pays to wait for several files at once."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from batch.storage import is_url

MOUNTS = Path("/proc/self/mounts")
"""On Linux: device, mount point, type, ... of what is mounted; blanks in names are written as ``\\040``."""
NETWORK_TYPES = re.compile(r"nfs.*|cifs|smb.*|afs|9p|ceph|lustre|gpfs|beegfs|glusterfs|fuse\..*|fuse")
OCTAL = re.compile(r"\\([0-7]{3})")


def is_far(place: str, mounts: Path = MOUNTS) -> bool:
    """Is it a URL, or below a mount of a network's file system? Where that cannot be told: no."""
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
    """Return mount points and types, read once: a run may name a thousand files. Empty where nothing is known."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [(_plain(fields[1]), fields[2]) for fields in map(str.split, lines) if len(fields) > 2]


def _plain(name: str) -> str:
    return OCTAL.sub(lambda match: chr(int(match[1], 8)), name)
