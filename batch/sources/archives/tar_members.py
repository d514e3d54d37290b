"""The files of a tar: an uncompressed tar gives their byte ranges, a compressed tar or stream gives their bytes."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from batch.sources.archives.member import LINK, PASSED_OVER, ArchiveEnd, Complain, Member, Wanted
from batch.sources.archives.names_twice import last_places
from batch.sources.archives.tar import Blocks, PlainFile, Tar
from batch.sources.bytes import (
    MOST_UNPACKED_BYTES,
    ByteSource,
    FileSlice,
    HeldBytes,
    NoBytes,
    nanoseconds,
    too_large_unpacked,
)

MOST_LINKS = 100_000
"""Limit for hard links of one archive whose bytes are looked up; each takes memory."""
NO_FILE = "It is not a regular file in the archive (a device, a pipe or a part of a file). Remove it from the archive."


def plain_members(path: str, wanted: Wanted, complain: Complain) -> Iterator[Member]:
    """Yield the files of an uncompressed tar. Of equal names the last counts; hard links are resolved."""
    plan = _Plan.of(path, wanted)
    places: dict[str, FileSlice] = {}
    with PlainFile(path) as file, (tar := Tar(file)).walking():
        for info in tar.headers(complain):
            if info.isdir():
                continue
            key, want = _key(info.name), wanted(info.name, info.size)
            mtime_ns = nanoseconds(info.mtime // 1)
            content = _plain_content(tar, path, info, mtime_ns, places) if want or key in plan.targets else PASSED_OVER
            if key in plan.targets and isinstance(content, FileSlice):
                places[key] = content
            size = content.bytes if isinstance(content, FileSlice) else info.size
            is_replaced = key in plan.last and plan.last[key] != info.offset
            yield Member(info.name, size, mtime_ns, content, want, is_replaced)


@dataclass
class _Plan:
    """What must be known before the walk. ``last``: where the last member of each repeated name is. ``targets``: names
    that hard links point to.
    """

    last: dict[str, int] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, path: str, wanted: Wanted) -> _Plan:
        plan = cls()
        plan.last = last_places(lambda: plan._walk(path, wanted))
        return plan

    def _walk(self, path: str, wanted: Wanted) -> Iterator[tuple[str, int]]:
        with contextlib.suppress(ArchiveEnd, tarfile.TarError, ValueError, RecursionError), PlainFile(path) as file:
            for info in Tar(file).headers(lambda _: None):  # problems are reported by the walk that follows
                if info.islnk() and len(self.targets) < MOST_LINKS:
                    self.targets.add(_key(info.linkname))
                if wanted(info.name, info.size) and not info.isdir():
                    yield _key(info.name), info.offset


def _plain_content(
    tar: Tar, path: str, info: tarfile.TarInfo, mtime_ns: int, places: dict[str, FileSlice]
) -> ByteSource:
    if info.islnk():
        place = places.get(_key(info.linkname))
        return _lost_link(info) if place is None else FileSlice(path, place.offset, place.bytes, mtime_ns)
    if info.isreg() and not info.issparse():
        return FileSlice(path, info.offset_data, info.size, mtime_ns)
    return _content(tar, info, mtime_ns)


def streamed_members(blocks: Blocks, wanted: Wanted, complain: Complain) -> Iterator[Member]:
    """Yield the files of a tar that can be read only once, from front to back."""
    tar = Tar(blocks)
    with tar.walking():
        for info in tar.headers(complain):
            if info.isdir():
                continue
            want, mtime_ns = wanted(info.name, info.size), nanoseconds(info.mtime // 1)
            content = _content(tar, info, mtime_ns) if want else PASSED_OVER
            yield Member(info.name, info.size, mtime_ns, content, want)


def _content(tar: Tar, info: tarfile.TarInfo, mtime_ns: int) -> ByteSource:
    if info.islnk():
        return _held_link(info)
    if not info.isreg():
        return NoBytes(LINK if info.issym() else NO_FILE)
    if info.size > MOST_UNPACKED_BYTES:
        return NoBytes(too_large_unpacked(info.size))  # the walk skips its bytes without holding them
    data = tar.filled(info) if info.issparse() else tar.blocks.read(info.size)
    if len(data) < info.size:
        raise EOFError("it ends inside a file")
    return HeldBytes(data, mtime_ns)


def _lost_link(info: tarfile.TarInfo) -> NoBytes:
    return NoBytes(
        f"It is a hard link to {info.linkname}, which does not come before it in the archive. Get the complete "
        "archive, or unpack it and name the folder."
    )


def _held_link(info: tarfile.TarInfo) -> NoBytes:
    return NoBytes(
        f"It is a hard link to {info.linkname}, and hard links are not followed in a tar that is compressed or comes "
        "as a stream. Decompress the tar and name it, or unpack it."
    )


def _key(name: str) -> str:
    """Return a name in the form used for comparison: unpacking takes ``./a`` and ``a`` for the same file."""
    return name.removeprefix("./")
