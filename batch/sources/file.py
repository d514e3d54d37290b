"""Files that are named one by one: taken whatever their suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from batch.sources.image_ref import ImageRef, Origin, SourceReport, file_ref
from batch.sources.source import Opening


@dataclass(frozen=True)
class FileSource:
    """One file."""

    origin: Origin
    path: str

    def items(self, _report: SourceReport) -> Iterator[ImageRef]:
        """Yield the image."""
        yield file_ref(self.path, os.path.basename(self.path), self.origin)

    def names(self) -> Iterator[str]:
        """Yield its path."""
        yield self.path


def open_file(source: str, opening: Opening) -> FileSource | None:
    """Return the source for the file of this name; None if it does not exist."""
    if not os.path.lexists(source):
        return None
    folder = os.path.dirname(named_path(source))
    opening.require_outside(source, folder)
    opening.require_no_output(source, folder)
    return FileSource(Origin(source), named_path(source))


def named_path(source: str) -> str:
    """Return the absolute path of a file, with links in its folders resolved but its own name as given."""
    folder, name = os.path.split(os.path.abspath(source))
    return os.path.join(os.path.realpath(folder), name)
