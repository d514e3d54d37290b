"""What a file is by its first bytes, whatever its name; and words for what is no archive that can be read."""

from __future__ import annotations

import os
import stat
import zipfile

from batch.errors import SourceError, printable
from batch.sources.archives.compressed import MAGIC as COMPRESSED_MAGIC
from batch.sources.archives.tar import looks_like_header
from batch.sources.left_out import OTHER_ARCHIVES, READ_ARCHIVES
from batch.urls import path_part
from seglab.images.kinds import archive_kind

ZIP_SUFFIX = ".zip"
BEGINNING = 512
ZIP, TAR, COMPRESSED = "zip", "tar", "compressed tar"
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK00PK\x03\x04", b"PK\x07\x08")
"""A member, the end of an empty one, one piece of a split that came out as one, the first part of several."""
EXECUTABLE_MAGIC = (b"MZ", b"\x7fELF", b"#!")
"""How an archive that unpacks itself begins."""
READ = ".zip, .tar, .tar.gz, .tar.bz2 or .tar.xz"
NO_ARCHIVE = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file that it stands for. Run `git lfs pull`",
    b"<!doctype": "a web page, not an archive. Download the archive again, logged in if it needs that",
    b"<html": "a web page, not an archive. Download the archive again, logged in if it needs that",
    b"<?xml": "an XML text, as servers send for errors, not an archive. Download the archive again",
    b"\xff\xd8\xff": "a JPEG photograph by its first bytes. Name it .jpg",
    b"\x89PNG": "a PNG image by its first bytes. Name it .png",
}


def is_archive(path: str) -> bool:
    """Is this an archive by its name?"""
    return path_part(path).lower().endswith(READ_ARCHIVES)


def stem(path: str) -> str:
    """Return an archive's name without its suffixes."""
    name = os.path.basename(path)
    suffixes = sorted(READ_ARCHIVES, key=len, reverse=True)
    return name[: -len(next((entry for entry in suffixes if name.lower().endswith(entry)), "")) or None]


def looks_like_tar(beginning: bytes) -> bool:
    """Is this how a tar begins, compressed or not? From 262 bytes on it can be told."""
    return beginning.startswith(COMPRESSED_MAGIC) or looks_like_header(beginning)


def kind_of(path: str, beginning: bytes) -> str | None:
    """Return the kind of archive by the first 512 bytes of a file, and by its name where those do not tell; None for
    what is none. Raises :class:`SourceError` for an archive that is not read, and for a file that its name only makes
    one.
    """
    if beginning.startswith(ZIP_MAGIC):
        return ZIP
    if beginning.startswith(COMPRESSED_MAGIC):
        return COMPRESSED
    if looks_like_header(beginning):
        return TAR
    if (kind := archive_kind(beginning)) is not None:
        raise _unread(path, f"is {kind}")
    if not is_archive(path):
        if path.lower().endswith(OTHER_ARCHIVES):
            raise _unread(path, "is an archive of a kind that is not read, by its name")
        return ZIP if beginning.startswith(EXECUTABLE_MAGIC) and zipfile.is_zipfile(path) else None
    _require_archive(path, beginning)
    return ZIP if path_part(path).lower().endswith(ZIP_SUFFIX) else TAR


def kind_of_file(path: str) -> str | None:
    """Return the kind of archive that a file is, None for what is none. Raises as :func:`kind_of`, and for an archive,
    by its name, that cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer
            _require_no_archive(path)
            return None
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING)
    except OSError as error:
        if is_archive(path):
            raise cannot_open(path, error) from error
        return None  # its row will say so
    return kind_of(path, beginning)


def cannot_open(path: str, error: OSError) -> SourceError:
    """Return the error for an archive that the system does not give."""
    return SourceError(
        f"{printable(path)} cannot be read: {error.strerror or type(error).__name__}. Expected an archive that is "
        "there, with the right to read it. Check the path, and its rights."
    )


def _require_no_archive(path: str) -> None:
    if is_archive(path):
        raise SourceError(
            f"{printable(path)} is no regular file; expected an archive. Give a pipe by standard input: name - and add "
            f"< {printable(path)}"
        )


def _unread(path: str, what: str) -> SourceError:
    return SourceError(
        f"{printable(path)} {what}, which is not read; expected {READ}. Unpack it and name the folder, or re-pack it."
    )


def _require_archive(path: str, beginning: bytes) -> None:
    """Raise :class:`SourceError` for what plainly is no archive."""
    if not beginning:
        raise SourceError(f"{printable(path)} is an empty file; expected an archive. Get the archive again.")
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, words in NO_ARCHIVE.items():
        if text.startswith(start.lower()):
            raise SourceError(f"{printable(path)} is no archive; expected {READ}. It is {words}.")
