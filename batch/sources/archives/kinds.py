"""Recognise archives by their first bytes, whatever their names, and say why a file cannot be read as one."""

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
"""A first member; an empty zip; a single-part split zip; the first part of several."""
EXECUTABLE_MAGIC = (b"MZ", b"\x7fELF", b"#!")
"""First bytes of self-extracting archives."""
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
    """Return whether the name is that of an archive."""
    return path_part(path).lower().endswith(READ_ARCHIVES)


def stem(path: str) -> str:
    """Return an archive's name without its suffixes."""
    name = os.path.basename(path)
    suffixes = sorted(READ_ARCHIVES, key=len, reverse=True)
    return name[: -len(next((entry for entry in suffixes if name.lower().endswith(entry)), "")) or None]


def looks_like_tar(beginning: bytes) -> bool:
    """Return whether a tar, compressed or not, begins like this; at least 262 bytes are needed."""
    return beginning.startswith(COMPRESSED_MAGIC) or looks_like_header(beginning)


def kind_of(path: str, beginning: bytes) -> str | None:
    """Return the kind of archive by the first 512 bytes of a file, or by its name if they do not tell; None if it is
    not an archive. Raises :class:`SourceError` for an archive in an unsupported format, and for a file that is an
    archive by its name only.
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
            raise _unread(path, "has the suffix of another kind of archive")
        return ZIP if beginning.startswith(EXECUTABLE_MAGIC) and zipfile.is_zipfile(path) else None
    _require_archive(path, beginning)
    return ZIP if path_part(path).lower().endswith(ZIP_SUFFIX) else TAR


def kind_of_file(path: str) -> str | None:
    """Return the kind of archive that a file is; None if it is not one. Raises as :func:`kind_of`, and for a file with
    the name of an archive that cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would block
            _require_no_archive(path)
            return None
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING)
    except OSError as error:
        if is_archive(path):
            raise cannot_open(path, error) from error
        return None  # its ledger row will have the reason
    return kind_of(path, beginning)


def cannot_open(path: str, error: OSError) -> SourceError:
    """Return the error for an archive that the operating system cannot open."""
    return SourceError(
        f"{printable(path)} cannot be read: {error.strerror or type(error).__name__}. Expected an archive that exists "
        "and may be read. Check the path and its permissions."
    )


def _require_no_archive(path: str) -> None:
    if is_archive(path):
        raise SourceError(
            f"{printable(path)} is not a regular file; expected an archive. Pass a pipe on standard input: use - as "
            f"the source, and add < {printable(path)}"
        )


def _unread(path: str, what: str) -> SourceError:
    return SourceError(
        f"{printable(path)} {what}, which is not supported; expected {READ}. Unpack it and name the folder, or re-pack "
        "it."
    )


def _require_archive(path: str, beginning: bytes) -> None:
    """Raise :class:`SourceError` for a file that is certainly not an archive."""
    if not beginning:
        raise SourceError(f"{printable(path)} is an empty file; expected an archive. Get the archive again.")
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, words in NO_ARCHIVE.items():
        if text.startswith(start.lower()):
            raise SourceError(f"{printable(path)} is not an archive; expected {READ}. It is {words}.")
