"""Recognition of binary files by their first bytes; kinds are named in words."""

from __future__ import annotations

import re
import struct

from seglab.images.bare_dicom import is_bare_dicom

PICTURES = (
    (0, b"\xff\xd8\xff", "a JPEG"),
    (0, b"\x89PNG", "a PNG"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (6, b"\0\0\0\0", "a BMP"),
    (8, b"WEBP", "a WebP"),
    (128, b"DICM", "a DICOM file"),
    (0, b"GIF87a", "a GIF"),
    (0, b"GIF89a", "a GIF"),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"II\xbc\x01", "a JPEG XR"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"FUJIFILMCCD-RAW", "a raw file of a camera"),
    (0, b"IIU\0", "a raw file of a camera"),
    (0, b"IIRO", "a raw file of a camera"),
    (0, b"IIRS", "a raw file of a camera"),
    (0, b"MMOR", "a raw file of a camera"),
    (6, b"HEAPCCDR", "a raw file of a camera"),
    (0, b"FOVb", "a raw file of a camera"),
    (0, b"\0MRM", "a raw file of a camera"),
)
"""(offset, bytes, kind); a BMP and a WebP must also match :data:`BEGINNINGS`."""
BEGINNINGS = {"a BMP": b"BM", "a WebP": b"RIFF"}
READ_PICTURES = frozenset(
    {
        "a JPEG", "a PNG", "a TIFF", "a BigTIFF", "a BMP", "a WebP", "a DICOM file", "a GIF", "an AVIF", "a HEIC",
        "a JPEG 2000", "a bare DICOM data set",
    }
)  # fmt: skip
"""The kinds that :mod:`seglab.images.reader` reads."""
BRANDS = {
    b"avif": "an AVIF", b"avis": "an AVIF",
    b"heic": "a HEIC", b"heix": "a HEIC", b"heim": "a HEIC", b"heis": "a HEIC", b"hevc": "a HEIC", b"hevx": "a HEIC",
    b"hevm": "a HEIC", b"hevs": "a HEIC", b"mif1": "a HEIC", b"mif2": "a HEIC", b"msf1": "a HEIC",
    b"crx ": "a raw file of a camera",
}  # fmt: skip
"""Brands of ISO media files (``ftyp``) that are images (ISO/IEC 23008-12, annex B); others are videos."""
BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""Sizes of the header after a BMP's first 14 bytes, which tell its version."""
BITMAP_CORE = 12
"""Size of the header of OS/2 1.x, which has 16 bits for each side."""
BITMAP_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32, 64})
GRAPHICS = (
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\0\0\1\0", "an icon of Windows"),
    (b"\0\0\2\0", "a cursor of Windows"),
    (b"icns", "an icon of macOS"),
    (b"SIMPLE  =", "a FITS image"),
    (b"v/1\1", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"#?RGBE", "a Radiance HDR image"),
    (b"DDS ", "a DirectDraw surface"),
    (b"qoif", "a QOI image"),
    (b"BPG\xfb", "a BPG image"),
    (b"FLIF", "a FLIF image"),
    (b"AT&TFORM", "a DjVu document"),
    (b"gimp xcf", "a GIMP file"),
    (b"\x8aMNG", "an MNG animation"),
    (b"\x8bJNG", "a JNG image"),
    (b"\x01\xda\0\1", "an SGI image"),
    (b"\x01\xda\1\1", "an SGI image"),
    (b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"\0\0\1\xba", "an MPEG video"),
    (b"\0\0\1\xb3", "an MPEG video"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"FLV\1", "a Flash video"),
    (b"NRRD000", "an NRRD volume"),
    (b"\x5c\x01\0\0", "a NIfTI volume"),
)
"""Kinds of pictures and videos that are never decoded."""
TARGA = re.compile(rb"\0\0[\2\3\x0a\x0b]\0{5}", re.DOTALL)
ANYMAP = re.compile(rb"P[1-7fF]\s+[\d#W]")
PAINTBRUSH = re.compile(rb"\n[\0-\5][\0\1][\1\2\4\10]", re.DOTALL)
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
    (b"\0\5\x16\7", "what macOS keeps beside a file (AppleDouble)"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)
MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<(\?xml|!doctype|!--|html|head|body|svg|error\b|rss\b)", re.IGNORECASE)
JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{"\]])')


def picture_kind(beginning: bytes) -> str | None:
    """Return the kind of picture, with its article, by a file's first bytes; None for any other file."""
    if beginning[4:8] == b"ftyp":
        return _media_kind(beginning)
    for offset, magic, kind in PICTURES:
        if beginning[offset : offset + len(magic)] == magic and beginning.startswith(BEGINNINGS.get(kind, b"")):
            return kind
    if _is_bitmap(beginning):
        return "a BMP"
    return "a bare DICOM data set" if is_bare_dicom(beginning) else None


def graphics_kind(beginning: bytes) -> str | None:
    """Return the kind of picture or video that is never decoded, by a file's first bytes, or None."""
    if ANYMAP.match(beginning):
        return "a portable anymap (PBM, PGM, PPM)"
    if TARGA.match(beginning):
        return "a Targa image (TGA)"
    if PAINTBRUSH.match(beginning):
        return "a Paintbrush image (PCX)"
    if beginning.startswith(b"RIFF") and beginning[8:12] in (b"AVI ", b"WAVE"):
        return "a video or sound (RIFF)"
    return next((kind for magic, kind in GRAPHICS if beginning.startswith(magic)), None)


def archive_kind(beginning: bytes) -> str | None:
    """Return the kind of archive or compressed data by a file's first bytes; None for a plain tar and other files."""
    return next((kind for magic, kind in ARCHIVES if beginning.startswith(magic)), None)


def document_kind(beginning: bytes) -> str | None:
    """Return the kind of document, database or web page by a file's first bytes, or None."""
    if MARKUP.match(beginning):
        return "a web page or XML"
    if JSON.match(beginning):
        return "JSON"
    return next((kind for magic, kind in DOCUMENTS if beginning.startswith(magic)), None)


def kind_of(beginning: bytes) -> str | None:
    """Return the kind of a file by its first bytes, of all known kinds, or None."""
    return picture_kind(beginning) or graphics_kind(beginning) or archive_kind(beginning) or document_kind(beginning)


def _media_kind(beginning: bytes) -> str:
    """Return the kind of an ISO media file by its major brand, or for ``mif1`` by its compatible brands."""
    size = min(int.from_bytes(beginning[:4], "big"), len(beginning))
    brand, others = beginning[8:12], {beginning[at : at + 4] for at in range(16, size - 3, 4)}
    if brand in (b"mif1", b"mif2", b"msf1") and others & {b"avif", b"avis"}:
        return "an AVIF"
    known = BRANDS.get(brand) or next((BRANDS[other] for other in BRANDS if other in others), None)
    return known or "a video"


def _is_bitmap(beginning: bytes) -> bool:
    """Return whether this is a BMP with used reserved bytes, or one without a file header (DIB)."""
    start = 14 if beginning.startswith(b"BM") else 0
    if len(beginning) < start + 16:
        return False
    size, *_, planes, bits = struct.unpack_from("<IiiHH", beginning, start)
    if size == BITMAP_CORE:
        planes, bits = struct.unpack_from("<HH", beginning, start + 8)
    return size in BITMAP_HEADERS and planes == 1 and bits in BITMAP_DEPTHS
