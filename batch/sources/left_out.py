"""Which files are left out though they are, or may hold, photographs: they are counted apart, with what to do."""

from __future__ import annotations

import os

READ_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OTHER_ARCHIVES = (".7z", ".rar", ".tar.zst", ".tzst", ".tar.lz4", ".tar.lz", ".tar.lzma", ".zst", ".gz", ".bz2", ".xz")
OTHER_PHOTOGRAPHS = (
    ".heic", ".heif", ".avif", ".gif", ".jp2", ".j2k", ".jpx", ".jxl", ".jxr",
    ".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw",
    ".psd", ".svs", ".ndpi", ".mrxs", ".tga", ".ppm", ".pnm", ".pgm",
)  # fmt: skip


def reason_to_leave_out(name: str, *, in_archive: bool = False) -> str | None:
    """Return why a file of this name is left out though it is or may hold photographs, as
    :meth:`~batch.sources.image_ref.SourceReport.leave_out` takes it; None for any other file.
    """
    lower = name.lower()
    if lower.endswith(READ_ARCHIVES):
        return (
            "archives inside an archive; unpack the outer one, and name them as sources"
            if in_archive
            else "archives in a folder; name them as sources"
        )
    if lower.endswith(OTHER_ARCHIVES):
        return "archives of a kind that is not read; unpack them"
    if lower.endswith(OTHER_PHOTOGRAPHS):
        suffix = os.path.splitext(lower)[1]
        return f"{suffix} photographs, a format that is not read; save them as JPEG or PNG"
    return None
