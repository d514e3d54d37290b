"""Files that are named one by one: taken whatever their suffix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from batch.errors import SourceError, printable
from batch.sources.image_ref import ImageRef, Origin, SourceReport, file_ref
from batch.sources.source import Opening


@dataclass(frozen=True)
class FileSource:
    """One file."""

    origin: Origin
    path: str

    def items(self, _report: SourceReport) -> Iterator[ImageRef]:
        """Yield it."""
        yield file_ref(self.path, os.path.basename(self.path), self.origin)

    def names(self) -> Iterator[str]:
        """Yield its path."""
        yield self.path


def open_file(source: str, opening: Opening) -> FileSource | None:
    """Return the file of this name."""
    if not os.path.lexists(source):
        return None
    path = named_path(source)
    opening.require_outside(source, os.path.dirname(path))
    if (output := opening.outputs.above(os.path.dirname(path))) is not None:
        raise SourceError(
            f"{printable(source)} lies in {printable(output)}, a folder that a run writes pictures to; expected a "
            "photograph. Copy it elsewhere if it is one."
        )
    return FileSource(Origin(source), path)


def named_path(source: str) -> str:
    """Return the path of a file with the links of its folders resolved, but under the name it was given."""
    folder, name = os.path.split(os.path.abspath(source))
    return os.path.join(os.path.realpath(folder), name)
