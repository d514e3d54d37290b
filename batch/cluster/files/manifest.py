"""Parts of the manifest: which images a unit has, what reads each, and the name of its mask. They never change."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from batch.cluster.files.names import UnitName
from batch.cluster.files.place import Place
from batch.cluster.files.tables import HEX_DIGITS, LIKE_THE_LAST, NEAR, VARIED, about_table, encode_table, read_table
from batch.errors import OutputError, encodable, printable
from batch.sources.archives.zip_members import ZipMember
from batch.sources.bytes import ByteSource, FileBytes, FileSlice, NoBytes
from batch.sources.image_ref import ImageRef
from batch.sources.urls.file import RemoteBytes
from batch.storage import Storage
from seglab.errors import MissingDependencyError

FORMAT_VERSION = 1
FILE, REMOTE, TAR, ZIP, NOTHING = "file", "url", "tar", "zip", "nothing"
COLUMNS = {
    "source": "string", "path": "string", "mask": "string", "bytes": "int64", "mtime_ns": "int64", "version": "string",
    "kind": "string", "container": "string", "inside": "string", "offset": "int64", "packed": "int64", "crc": "int64",
    "method": "int32", "flags": "int32",
}  # fmt: skip
"""``container``: archive or URL that the image is in; ``inside``: its path on the storage, or why it cannot be read."""
CODINGS = {
    "path": LIKE_THE_LAST, "mask": LIKE_THE_LAST, "bytes": NEAR, "mtime_ns": NEAR, "version": HEX_DIGITS,
    "inside": LIKE_THE_LAST, "offset": NEAR, "packed": NEAR, "crc": VARIED,
}  # fmt: skip
INSTALL = 'A job\'s files need pyarrow, which is not installed. Install it: pip install "seglab[cluster]".'


class Entry(NamedTuple):
    """An image of a unit: the columns of the manifest, in their order. ``source``: as the user named it."""

    source: str
    path: str
    mask: str
    bytes: int
    mtime_ns: int
    version: str
    kind: str
    container: str = ""
    inside: str = ""
    offset: int = 0
    packed: int = 0
    crc: int = 0
    method: int = 0
    flags: int = 0

    @property
    def content(self) -> ByteSource:
        """Return what reads the image's bytes."""
        if self.kind == FILE:
            return FileBytes(self.path)
        if self.kind == REMOTE:
            return RemoteBytes(_storage(self.container), self.inside, self.bytes, self.mtime_ns, self.version)
        if self.kind == TAR:
            return FileSlice(self.container, self.offset, self.bytes, self.mtime_ns)
        if self.kind == ZIP:
            state = (self.packed, self.bytes, self.crc, self.method, self.flags, self.mtime_ns)
            return ZipMember(self.container, self.offset, *state)
        return NoBytes(self.inside)


def entry_of(image: ImageRef, mask: str) -> Entry | None:
    """Return the entry for an image; None if other machines cannot read it: it comes from a stream."""
    content = image.content
    named, path, shown = encodable(image.origin.named), encodable(image.path), encodable(mask)
    common = (named, path, shown, image.bytes, image.mtime_ns, image.version)
    if (named, path, shown) != (image.origin.named, image.path, mask):
        return Entry(*common, NOTHING, "", NOT_UTF8)
    if isinstance(content, FileBytes):
        return Entry(*common, FILE)
    if isinstance(content, RemoteBytes):
        return Entry(*common, REMOTE, content.storage.public, content.path)
    if isinstance(content, FileSlice):
        return Entry(*common, TAR, content.path, offset=content.offset)
    if isinstance(content, ZipMember) and content.shared is None:
        place = (content.offset, content.packed, content.crc, content.method, content.flags)
        return Entry(*common, ZIP, content.path, "", *place)
    if isinstance(content, NoBytes):
        return Entry(*common, NOTHING, inside=content.reason)
    return None


NOT_UTF8 = "Its name is not UTF-8; expected names that are, as all machines must read them alike. Rename the file."


@functools.lru_cache(maxsize=64)
def _storage(url: str) -> Storage:
    return Storage(url)


def require_pyarrow() -> None:
    """Raise :class:`MissingDependencyError` if Parquet cannot be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error


def encode_part(unit: UnitName, entries: Sequence[Entry], key: str, plan: str) -> bytes:
    """Return a part of the manifest as a file's content."""
    import pyarrow

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()])
    about = {"format_version": FORMAT_VERSION, "unit": str(unit), "key": key, "plan": plan, "digest": _digest(entries)}
    return encode_table(schema, entries, about, CODINGS)


def read_part(place: Place, unit: UnitName, key: str, plan: str) -> list[Entry]:
    """Read a part of the manifest. Raises :class:`OutputError` if it is missing, damaged, or not as it was planned."""
    import pyarrow

    try:
        table = read_table(place.read(unit.manifest))
    except FileNotFoundError as error:
        raise _unusable(place, unit, "is missing") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise _unusable(place, unit, "is damaged") from error
    about = about_table(table)
    if about.get("format_version", 0) > FORMAT_VERSION:
        raise _unusable(place, unit, f"has format {about['format_version']}, and this release knows {FORMAT_VERSION}")
    if (about.get("unit"), about.get("key"), about.get("plan")) != (str(unit), key, plan):
        raise _unusable(place, unit, "is not the part of this unit and plan")
    if tuple(table.column_names) != tuple(COLUMNS):
        raise _unusable(place, unit, "was changed after it was planned")
    entries = [Entry(*row) for row in zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)]
    if about.get("digest") != _digest(entries):
        raise _unusable(place, unit, "was changed after it was planned")
    return entries


def _digest(entries: Sequence[Entry]) -> str:
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _unusable(place: Place, unit: UnitName, why: str) -> OutputError:
    return OutputError(
        f"{printable(place.where(unit.manifest))} {why}; expected the part that `seg-batch cluster plan` wrote. "
        "Restore it, or plan the job at another place."
    )
