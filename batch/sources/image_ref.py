"""One image of a source, and the report on what sources hold besides images."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field

from batch.sources.bytes import ByteSource, FileBytes, in_range
from seglab.words import counted

UNKNOWN = -1
CHECKSUM = "sha256"
"""Kind of version of a file that was read and hashed (``--checksum``)."""
EXAMPLES = 3
"""Paths kept as examples for each reason why images were left out."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as the ledger knows it.

    ``named``: as the user named it. ``root``: absolute path or URL of the folder or archive that the relative paths of
    its images start from; empty for files that are named one by one. ``label``: name of the folder for its masks if an
    output has several sources.
    """

    named: str
    root: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image, before it is read.

    An image is done if its ``path`` is in the ledger with the same ``bytes``, ``mtime_ns`` and ``version``. Paths are
    therefore unique over all sources, and an image without a modification time takes that of its container.

    ``path``: absolute; inside an archive, the archive's path and the member's name. ``relative``: path below the source
    with ``/``, from which the mask's name is made. ``bytes`` and ``mtime_ns``: as found on the walk, -1 and 0 if they
    could not be read. ``content``: what reads its bytes. ``version``: further identification of the content as
    ``kind:value`` (``crc32:1c291ca3``, ``etag:...``, ``sha256:...``); empty if the source has none.
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
    """A sample: ``images`` drawn from ``of`` images with this ``seed``."""

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
    """Everything that got no row in the ledger.

    Expected: ``others``, files that are not photographs, by suffix; ``unmatched``, images that a pattern leaves out, by
    suffix; ``set_aside``, files of data sets that are not photographs, by kind; ``hidden`` files and folders;
    ``outputs`` of runs; ``repeated_folders``, reached again by links. ``named_anyway``: a sentence for each source that
    was taken because it was named, though it hardly holds photographs. ``drawn``: the sample, if one was asked for.

    Not expected: ``left_out``, files that are or may hold photographs, by reason (see :meth:`leave_out`), with
    ``examples`` of their paths; ``unreadable``, sources and parts of them, with the reason; ``without_images``, sources
    that held none. ``opened``: real paths of the archives that are sources, which are not left out of a folder.
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
    opened: frozenset[str] = frozenset()

    @property
    def is_complete(self) -> bool:
        """Return whether every photograph of the sources has a row, as far as is known."""
        return not (self.left_out or self.unreadable or self.without_images)

    def leave_out(self, reason: str, path: str) -> None:
        """Count a file that may be a photograph and gets no row. ``reason``: completes "not opened: 3 ...", in the
        plural and with what to do: ``archives in a folder; name them as sources``.
        """
        if self.opened and os.path.realpath(path) in self.opened:
            return
        self.left_out[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(path)


def file_ref(path: str, relative: str, origin: Origin) -> ImageRef:
    """Return the image for a file, with its size and modification time."""
    content = FileBytes(path)
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # deleted, a broken link or an impossible name: reading it will fail with the reason
        return ImageRef(path, relative, origin, UNKNOWN, 0, content)
    if not stat.S_ISREG(state.st_mode):
        return ImageRef(path, relative, origin, UNKNOWN, 0, content)
    return ImageRef(path, relative, origin, state.st_size, in_range(state.st_mtime_ns), content)


def suffix_of(name: str) -> str:
    """Return a name's suffix in lower case."""
    return os.path.splitext(name)[1].lower()


def below(name: str) -> str:
    """Return a path from an archive or list as a relative path that cannot leave its folder."""
    parts = name.replace(os.sep, "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "_"
