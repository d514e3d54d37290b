"""What a source is, and what is known when one is opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from batch.errors import SourceError, printable
from batch.output_mark import is_output_archive
from batch.sources.image_ref import ImageRef, Origin, SourceReport
from batch.sources.output_folders import OutputFolders


class Source(Protocol):
    """One source, as it was named."""

    @property
    def origin(self) -> Origin:
        """What the ledger knows it by."""

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield its images, and note what was passed over."""

    def names(self) -> Iterator[str] | None:
        """Yield their paths, for counting; None where that would take as long as reading them."""


@dataclass(frozen=True)
class Opening:
    """What an opener goes by.

    ``suffixes``: of images. ``excluded``: folders, resolved, where masks go. ``zip_encoding``: of names in zips that
    are not marked as UTF-8; None: found out.
    """

    suffixes: frozenset[str]
    excluded: Sequence[Path] = ()
    zip_encoding: str | None = None

    @functools.cached_property
    def outputs(self) -> OutputFolders:
        """The folders that this run and others write to."""
        return OutputFolders(self.excluded)

    def require_outside(self, source: str, folder: str) -> None:
        """Masks that land among their images would be taken for images next time, or overwrite them.

        Raises :class:`SourceError`.
        """
        path = Path(folder)
        for excluded in self.excluded:
            if path == excluded or excluded in path.parents:
                raise SourceError(
                    f"{printable(source)} lies in the output folder {printable(str(excluded))}; expected masks and "
                    "images in different folders. Choose another output folder."
                )

    def require_no_output(self, source: str, folder: str) -> None:
        """What other runs wrote is no photograph. ``folder``: without links. Raises :class:`SourceError`."""
        output = self.outputs.above(folder)
        if output is not None:
            raise SourceError(
                f"{printable(source)} lies in {printable(output)}, where seg-batch writes pictures; expected "
                "photographs, not masks or overlays. Name another source; photographs have to be moved out of there."
            )

    def require_no_output_archive(self, source: str, path: str) -> None:
        """The same for an archive at ``path``. Raises :class:`SourceError`."""
        if is_output_archive(path) or Path(path) in self.excluded:
            raise SourceError(
                f"{printable(source)} holds masks that seg-batch wrote; expected photographs. Name another source."
            )


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    ``open``: returns the source that a name means, or None where it is of another kind; raises :class:`SourceError` at
    once for one that is of its kind and cannot be read.
    """

    open: Callable[[str, Opening], Source | None]
