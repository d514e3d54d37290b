"""What comes by standard input: a tar, or a list of files."""

from __future__ import annotations

import sys

from batch.sources.archive import StreamSource, looks_like_tar
from batch.sources.file_list import ListSource
from batch.sources.source import Opening, Source

STDIN = "-"
PEEK = 512


def open_stdin(source: str, opening: Opening) -> Source | None:
    """Return the tar or the list, by how it begins."""
    if source != STDIN:
        return None
    stream = sys.stdin.buffer
    beginning = stream.peek(PEEK) if hasattr(stream, "peek") else b""
    return StreamSource(stream, opening.suffixes) if looks_like_tar(beginning) else ListSource(STDIN, stream)
