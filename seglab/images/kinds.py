"""What a file is by its first bytes, in words, where it is no text."""

from __future__ import annotations

import re

from seglab.images.bare_dicom import is_bare_dicom

PICTURES = (
    (0, b"\xff\xd8\xff", "a JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (6, b"\0\0\0\0", "a BMP"),
    (8, b"WEBP", "a WebP"),
    (128, b"DICM", "a DICOM file"),
    (0, b"GIF8", "a GIF"),
    (4, b"ftyp", "a HEIC, an AVIF or a video"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (4, b"JXL ", "a JPEG XL"),
    (0, b"8BPS", "a Photoshop file"),
)
"""(offset, bytes, what it is); a BMP and a WebP have to begin as :data:`BEGINNINGS` says, too."""
READ_PICTURES = frozenset(
    {"a JPEG", "a PNG", "a TIFF", "a BigTIFF", "a BMP", "a WebP", "a DICOM file", "a bare DICOM data set"}
)
"""Of these, what :mod:`seglab.images.reader` reads."""
BEGINNINGS = {"a BMP": b"BM", "a WebP": b"RIFF"}
ARCHIVES = (
    (b"PK\x03\x04", "a zip"),
    (b"PK\x05\x06", "an empty zip"),
    (b"PK\x07\x08", "a zip in several parts"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"LZIP", "lzip data"),
    (b"\x1f\x9d", "data of compress (.Z)"),
    (b"MSCF", "a cabinet of Windows"),
    (b"\x5d\0\0", "lzma data"),
    (b"07070", "a cpio archive"),
    (b"!<arch>\n", "an ar archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
)
DOCUMENTS = (
    (b"%PDF-", "a PDF"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet table"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
)
MARKUP = re.compile(rb"\s*<(\?xml|!doctype|!--|html|head|body|svg|error\b|rss\b)", re.IGNORECASE)
JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{"\]])')


def picture_kind(beginning: bytes) -> str | None:
    """Return which picture begins like this, with its article; None for anything else."""
    for offset, magic, kind in PICTURES:
        if beginning[offset : offset + len(magic)] == magic and beginning.startswith(BEGINNINGS.get(kind, b"")):
            return kind
    return "a bare DICOM data set" if is_bare_dicom(beginning) else None


def archive_kind(beginning: bytes) -> str | None:
    """Return which archive, or compressed data, begins like this; None for a plain tar and anything else."""
    return next((kind for magic, kind in ARCHIVES if beginning.startswith(magic)), None)


def document_kind(beginning: bytes) -> str | None:
    """Return what else is known to begin like this: documents, databases, web pages."""
    if MARKUP.match(beginning):
        return "a web page or XML"
    if JSON.match(beginning):
        return "JSON"
    return next((kind for magic, kind in DOCUMENTS if beginning.startswith(magic)), None)


def kind_of(beginning: bytes) -> str | None:
    """Return what begins like this, of all kinds."""
    return picture_kind(beginning) or archive_kind(beginning) or document_kind(beginning)
