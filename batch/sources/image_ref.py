"""What a source names: images on their way, and what has no row and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field

from batch.sources.bytes import ByteSource, FileBytes, in_range
from seglab.words import counted

UNKNOWN = -1
CHECKSUM = "sha256"
"""Kind of version of what was read and summed up (``--checksum``)."""
EXAMPLES = 3
"""Paths that are kept for each reason why images were left out."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as the ledger knows it.

    ``named``: as it was named. ``root``: absolute path or URL of the folder or archive that its images' relative paths
    start from; empty for files that are named one by one. ``label``: name of the folder that its masks go to where an
    output has several sources.
    """

    named: str
    root: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image on its way.

    An image is done if its ``path`` is in the ledger with the same ``bytes``, ``mtime_ns`` and ``version``; so paths
    are unique over all sources, and what has no time of its own takes that of its container.

    ``path``: absolute; inside an archive the archive's path and the member's name. ``relative``: path below the source
    with ``/``, which the mask's name follows. ``origin``: its source. ``bytes`` and ``mtime_ns``: as found on the walk,
    -1 where the file could not be looked at. ``content``: where it is read from. ``version``: what else tells one
    content from another, as ``kind:value`` (``crc32:1c291ca3``, ``etag:...``, ``sha256:...``); empty where the source
    has nothing.
    """

    path: str
    relative: str
    origin: Origin
    bytes: int
    mtime_ns: int
    content: ByteSource
    version: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample: ``images`` that were drawn, ``of`` so many, with this ``seed``."""

    images: int
    of: int
    seed: int

    def __str__(self) -> str:
        return f"a sample of {self.images:,} of {counted(self.of, 'image')} (seed {self.seed})"

    def to_json(self) -> dict[str, int]:
        """Return the three numbers."""
        return {"images": self.images, "of": self.of, "seed": self.seed}


@dataclass
class SourceReport:
    """What has no row in the ledger.

    Rightly so: ``others``, files that are no photographs, by suffix; ``unmatched``, images that a pattern leaves out,
    by suffix; ``set_aside``, files of data sets that are not their photographs, by kind; ``hidden`` files and folders;
    ``outputs`` of runs; ``repeated_folders``, by links. ``named_anyway``: what was taken, for it was named, and is
    hardly photographs: a sentence each. ``drawn``: the sample, where one was asked for.

    Against the user's will: ``left_out``, photographs and what may hold some, by reason (see :meth:`leave_out`), with
    ``examples`` of their paths; ``unreadable``, sources and parts of them, with the reason; ``without_images``, sources
    in which there was none.
    """

    others: Counter[str] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    outputs: list[str] = field(default_factory=list)
    repeated_folders: list[str] = field(default_factory=list)
    named_anyway: list[str] = field(default_factory=list)
    drawn: Drawn | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    without_images: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Has every photograph of the sources a row, as far as can be told?"""
        return not (self.left_out or self.unreadable or self.without_images)

    def leave_out(self, reason: str, path: str) -> None:
        """Count what may be a photograph and gets no row. ``reason``: completes "not opened: 3 ...", in the plural,
        with what to do: ``archives in a folder; name them as sources``.
        """
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(path)


def file_ref(path: str, relative: str, origin: Origin) -> ImageRef:
    """Return the item for a file, looked at."""
    content = FileBytes(path)
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # gone meanwhile, a link to nothing, no possible name: decoding will say so
        return ImageRef(path, relative, origin, UNKNOWN, 0, content)
    if not stat.S_ISREG(state.st_mode):
        return ImageRef(path, relative, origin, UNKNOWN, 0, content)
    return ImageRef(path, relative, origin, state.st_size, in_range(state.st_mtime_ns), content)


def suffix_of(name: str) -> str:
    """Return a name's suffix as it is compared and counted."""
    return os.path.splitext(name)[1].lower()


def below(name: str) -> str:
    """Return a path that somebody else wrote (in an archive, in a list) as one that stays below where it is put."""
    parts = name.replace(os.sep, "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
