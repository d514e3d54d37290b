"""A source on standard input or in a pipe: a tar or a list of files. Anything else is refused with the reason."""

from __future__ import annotations

import dataclasses
import tarfile

from batch.errors import SourceError
from batch.sources.archives.archive import STDIN_ORIGIN, StreamSource, looks_like_tar
from batch.sources.image_ref import Origin
from batch.sources.lists.file_list import ListSource, require_list
from batch.sources.lists.stream import BEGINNING, STDIN_PATHS, open_stream, spoken, with_beginning
from batch.sources.source import Opening, Source
from seglab.images.kinds import archive_kind, picture_kind


def open_stdin(source: str, opening: Opening) -> Source | None:
    """Return the tar or list on standard input or in a pipe, recognised by its beginning; else None."""
    opened = open_stream(source)
    if opened is None:
        return None
    stream, beginning = with_beginning(opened, source)
    if looks_like_tar(beginning) or _is_old_tar(beginning):
        origin = STDIN_ORIGIN if source in STDIN_PATHS else Origin(source, source)
        return dataclasses.replace(StreamSource(stream, opening.suffixes), origin=origin)
    _require_no_image_or_archive(source, beginning)
    require_list(source, beginning)
    return ListSource(source, opening, stream, beginning)


def _is_old_tar(beginning: bytes) -> bool:
    """Return whether a tar without magic (v7), or without members, begins like this."""
    if len(beginning) < BEGINNING:
        return False
    try:
        tarfile.TarInfo.frombuf(beginning, "utf-8", "surrogateescape")
    except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
        return False
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True  # zeros only: the end mark of a tar
    except tarfile.HeaderError:
        return False
    return True


def _require_no_image_or_archive(source: str, beginning: bytes) -> None:
    what = spoken(source)
    if (kind := archive_kind(beginning)) is not None:
        if kind.endswith(("zip", "parts")):
            advice = "The directory of a zip is at its end, so it cannot be piped. Name the file as a source."
        elif kind == "zstd data":
            advice = "Decompress it in the pipe: zstd -dc photos.tar.zst | seg-batch run -"
        else:
            advice = "Unpack it and name the folder as a source, or pipe in the tar inside it."
        raise SourceError(f"{what} is {kind}; expected a tar (plain, gzip, bzip2 or xz) or a list of files. {advice}")
    if (kind := picture_kind(beginning)) is not None:
        raise SourceError(
            f"{what} is {kind}; expected a tar or a list of files. Write the image to a file and name that as a source."
        )
