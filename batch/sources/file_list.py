"""Lists of files: a path a line, or with a zero byte after each (``find -print0``); as a file, or by standard input."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from batch.sources.image_ref import ImageRef, Origin, SourceReport, below, file_ref

CHUNK = 1 << 16


@dataclass(frozen=True)
class ListSource:
    """The files of a list, in its order. What the list names and is not there is an item that will fail.

    ``source``: path of the list; ``stream``: where it is read from instead. Relative paths start from the working
    folder; masks mirror the paths as they are written.
    """

    source: str
    stream: IO[bytes] | None = None

    @property
    def origin(self) -> Origin:
        """The list; its files are named one by one."""
        return Origin(self.source)

    def items(self, _report: SourceReport) -> Iterator[ImageRef]:
        """Yield the files, looked at."""
        for name in self._lines():
            yield file_ref(os.path.abspath(name), below(name), self.origin)

    def names(self) -> Iterator[str] | None:
        """Yield the paths; None for what can be read only once."""
        return None if self.stream is not None else self._lines()

    def _lines(self) -> Iterator[str]:
        if self.stream is not None:
            yield from _split(self.stream)
            return
        with open(self.source, "rb") as file:
            yield from _split(file)


def _split(file: IO[bytes]) -> Iterator[str]:
    """Yield the entries of a list; zero bytes separate them if there is one in the first block."""
    block = file.read1(CHUNK) if hasattr(file, "read1") else file.read(CHUNK)
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *entries, rest = (rest + block).split(end)
        yield from filter(None, map(_decoded, entries))
        block = file.read(CHUNK)
    yield from filter(None, [_decoded(rest)])


def _decoded(entry: bytes) -> str:
    return os.fsdecode(entry.removesuffix(b"\r"))
