"""Decide what a file without an image's suffix is: not a photograph, or one (or a container of some) that is left out.

The name decides first. If it tells nothing (``IM000001``, ``photo.jpg.1``), the first bytes decide. Files that are left
out are counted by reason, each with what to do.
"""

from __future__ import annotations

import os
import re
import stat

from seglab.images.kinds import READ_PICTURES, archive_kind, picture_kind

READ_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lzma", ".lz4", ".lz", ".z")
"""Suffixes of one compressed file, or of a compressed tar."""
OTHER_ARCHIVES = (
    ".7z", ".rar", ".zipx", ".iso", ".dmg", ".cab", ".arj", ".lzh", ".lha", ".ace", ".sit", ".sitx", ".cpio", ".wim",
    ".tzst", ".tbz", ".tb2", ".tlz", ".taz",
)  # fmt: skip
PARTS_OF_ARCHIVES = re.compile(
    r".*(\.z\d\d|\.r\d\d|\.(zip|7z|rar|tgz|tar|tar\.(gz|bz2|xz|zst))\.(\d{2,}|part\w+|[a-z]{2}))", re.DOTALL
)
"""Names that 7-Zip, WinZip, WinRAR and ``split`` give to parts of archives."""
OTHER_PHOTOGRAPHS = (
    ".heics", ".heifs", ".avifs", ".jxl", ".jxr", ".wdp", ".hdp", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng",
    ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srw",
    ".x3f", ".psd", ".psb", ".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".tga", ".pcx", ".ppm", ".pnm", ".pgm",
)  # fmt: skip
UNFINISHED = (".crdownload", ".part", ".partial", ".filepart", ".download", ".opdownload", ".!ut", ".!qb")
"""Suffixes that browsers and copy programs give to unfinished files."""
MAYBE_UNFINISHED = (".tmp", ".temp")
NO_PHOTOGRAPHS = frozenset(
    {
        ".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".md", ".rst", ".rtf", ".tex",
        ".html", ".htm", ".css", ".js", ".ts", ".log", ".ini", ".cfg", ".conf", ".doc", ".docx", ".odt", ".xls",
        ".xlsx", ".ods", ".ppt", ".pptx", ".odp", ".pdf", ".ps", ".eps", ".svg", ".svgz", ".emz", ".ai", ".epub",
        ".docm", ".dotx", ".xlsm", ".xlsb", ".vsdx", ".odg", ".pages", ".numbers", ".kmz", ".cbz", ".eml", ".msg",
        ".pst", ".vcf", ".ics", ".url", ".lnk", ".py", ".pyc", ".ipynb", ".r", ".rdata", ".rds", ".m", ".mat",
        ".c", ".h", ".cpp", ".java", ".class", ".jar", ".whl", ".sh", ".bat", ".cmd", ".ps1", ".exe", ".dll",
        ".so", ".msi", ".deb", ".rpm", ".apk", ".npy", ".npz", ".pkl", ".pt", ".pth", ".onnx", ".h5", ".hdf5",
        ".nii", ".parquet", ".feather", ".arrow", ".sql", ".db", ".sqlite", ".sqlite3", ".sqlite-wal",
        ".sqlite-shm", ".sqlite-journal", ".db-wal", ".db-shm", ".mdb", ".accdb", ".lock", ".pid", ".md5", ".sha1",
        ".sha256", ".sha512", ".sig", ".asc", ".pem", ".key", ".crt", ".torrent", ".aria2", ".xmp", ".aae", ".thm",
        ".ctg", ".ico", ".icns", ".cur", ".ttf", ".otf", ".woff", ".mp3", ".wav", ".m4a", ".mp4", ".m4v", ".mov",
        ".avi", ".mkv", ".wmv", ".mts", ".m2ts", ".mpg", ".mpeg", ".webm", ".3gp",
    }
)  # fmt: skip
"""Suffixes of files that are never opened to find out what they are."""
NO_PHOTOGRAPHS_BY_NAME = frozenset({"dicomdir", "lockfile", "readme", "license", "makefile"})
SYSTEM_FOLDERS = frozenset(
    {
        "__macosx", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information",
        "lost+found",
    }
)  # fmt: skip
"""Folders of macOS, Synology, QNAP, Windows and Linux for copies, thumbnails and deleted files."""

FIRST_BYTES = 512
OTHER_PICTURES = {
    "a JPEG XL": ".jxl", "a JPEG XR": ".jxr", "a Photoshop file": ".psd", "a raw file of a camera": "raw",
}  # fmt: skip
"""Kinds of :func:`seglab.images.kinds.picture_kind` that are left out, and their suffixes."""
NAMELESS_READ = frozenset({"a zip", "gzip data", "bzip2 data", "xz data"})
"""Kinds of :func:`seglab.images.kinds.archive_kind` that can be read if they are named as sources."""

ARCHIVES = "archives in a folder; name them as sources"
INNER_ARCHIVES = "archives inside an archive; unpack the outer one, and name them as sources"
UNREAD_ARCHIVES = "archives in a format that is not supported; unpack them"
SPLIT_ARCHIVES = "parts of archives; join and unpack them"
NAMELESS_ARCHIVES = "archives without a suffix; rename them to .zip or .tar, and name them as sources"
COMPRESSED_PHOTOGRAPHS = "compressed files that may be photographs; unpack them"
DOWNLOADS = "unfinished downloads or copies; finish them or remove them"
CLOSED = "files without a known suffix that cannot be read; check their permissions"


def is_hidden(name: str) -> bool:
    """Return whether files and folders of this name are skipped: hidden, or made by an operating system for itself."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_below_hidden(path: str) -> bool:
    """Return whether a file is hidden or in a hidden folder. ``path``: below its source, with ``/``."""
    return any(is_hidden(part) for part in path.split("/") if part not in (".", ".."))


def reason_to_leave_out(name: str, *, in_archive: bool = False) -> str | None:
    """Return why a file of this name is left out though it is or may hold photographs, in the form that
    :meth:`~batch.sources.image_ref.SourceReport.leave_out` takes; None for any other file.
    """
    lower = name.lower()
    if lower.endswith(READ_ARCHIVES):
        return INNER_ARCHIVES if in_archive else ARCHIVES
    if lower.endswith(OTHER_ARCHIVES):
        return UNREAD_ARCHIVES
    if lower.endswith(OTHER_PHOTOGRAPHS):
        return _not_read(os.path.splitext(lower)[1])
    if lower.endswith((*UNFINISHED, *COMPRESSED)):
        return _reason_by_inner_name(lower)
    return SPLIT_ARCHIVES if PARTS_OF_ARCHIVES.fullmatch(lower) and not is_no_photograph(lower) else None


def is_other_photograph(name: str) -> bool:
    """Return whether the name is that of a photograph in an unsupported format."""
    return name.lower().endswith(OTHER_PHOTOGRAPHS)


def is_no_photograph(name: str) -> bool:
    """Return whether the name rules out a photograph, as ``table.csv``, ``table.csv.gz`` and ``paper.pdf.part`` do."""
    lower = name.lower()
    stem, suffix = os.path.splitext(lower)
    if suffix in COMPRESSED or suffix in UNFINISHED:
        suffix = os.path.splitext(stem)[1]
    return suffix in NO_PHOTOGRAPHS or lower in NO_PHOTOGRAPHS_BY_NAME


def _reason_by_inner_name(lower: str) -> str | None:
    """Return the reason for ``photo.jpg.part`` or ``photo.bmp.gz``; None for ``table.csv.gz``."""
    inner, suffix = os.path.splitext(lower)
    if is_no_photograph(lower):
        return None
    if suffix in UNFINISHED:
        return DOWNLOADS
    return UNREAD_ARCHIVES if inner.endswith(".tar") else COMPRESSED_PHOTOGRAPHS


def _not_read(suffix: str) -> str:
    return f"{suffix} photographs, a format that is not supported; save them as JPEG or PNG"


def recognised(path: str) -> tuple[bool, str | None]:
    """Read the first bytes of a file whose name tells nothing. Return whether it is an image that can be read, and, if
    not, why it is left out (None if it is not a photograph). Does not wait for pipes.
    """
    try:
        beginning = _first_bytes(path)
    except FileNotFoundError:  # a broken link, or deleted meanwhile
        return False, None
    except OSError:
        return False, CLOSED
    is_image = _is_image(beginning)
    if path.lower().endswith(MAYBE_UNFINISHED):
        return False, DOWNLOADS if is_image or _reason_by_content(beginning) else None
    return is_image, None if is_image else _reason_by_content(beginning)


def recognised_bytes(name: str, beginning: bytes) -> tuple[bool, str | None]:
    """Return the same as :func:`recognised` for the first bytes (:data:`FIRST_BYTES`) of an archive member."""
    is_image = _is_image(beginning)
    reason = None if is_image else _reason_by_content(beginning)
    if name.lower().endswith(MAYBE_UNFINISHED):
        return False, DOWNLOADS if is_image or reason else None
    return is_image, INNER_ARCHIVES if reason == NAMELESS_ARCHIVES else reason


def is_nameless(name: str) -> bool:
    """Return whether the name does not tell what the file is, so that its first bytes must be read."""
    return not is_no_photograph(name) and reason_to_leave_out(name) is None


def _first_bytes(path: str) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):
        return b""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        return os.read(handle, FIRST_BYTES)
    finally:
        os.close(handle)


def _is_image(beginning: bytes) -> bool:
    return picture_kind(beginning) in READ_PICTURES


def _reason_by_content(beginning: bytes) -> str | None:
    if (suffix := OTHER_PICTURES.get(picture_kind(beginning) or "")) is not None:
        return _not_read(suffix)
    kind = archive_kind(beginning)
    if kind in NAMELESS_READ or beginning[257:262] == b"ustar":
        return NAMELESS_ARCHIVES
    return None if kind is None else UNREAD_ARCHIVES
