"""The protocol of a source, and the settings for opening one."""

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
    """One source."""

    @property
    def origin(self) -> Origin:
        """Return the source as the ledger knows it."""

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield its images, and note in ``report`` what was skipped."""

    def names(self) -> Iterator[str] | None:
        """Yield the paths of its images, for counting; None if that would take as long as reading them."""


@dataclass(frozen=True)
class Opening:
    """Settings for opening sources.

    ``suffixes``: of images. ``excluded``: resolved folders where masks go. ``zip_encoding``: of names in zips that are
    not marked as UTF-8; None: guessed.
    """

    suffixes: frozenset[str]
    excluded: Sequence[Path] = ()
    zip_encoding: str | None = None

    @functools.cached_property
    def outputs(self) -> OutputFolders:
        """Return the folders that this run and other runs write to."""
        return OutputFolders(self.excluded)

    def require_outside(self, source: str, folder: str) -> None:
        """Raise :class:`SourceError` if ``folder`` lies in an output folder.

        Masks among their images would be taken for images by the next run, or overwrite them.
        """
        path = Path(folder)
        for excluded in self.excluded:
            if path == excluded or excluded in path.parents:
                raise SourceError(
                    f"{printable(source)} lies in the output folder {printable(str(excluded))}; expected masks and "
                    "images in different folders. Choose another output folder."
                )

    def require_no_output(self, source: str, folder: str) -> None:
        """Raise :class:`SourceError` if ``folder`` (resolved) lies in the output of another run."""
        output = self.outputs.above(folder)
        if output is not None:
            raise SourceError(
                f"{printable(source)} lies in {printable(output)}, where seg-batch writes masks or overlays; expected "
                "photographs. Name another source, or move the photographs out of there."
            )

    def require_no_output_archive(self, source: str, path: str) -> None:
        """Raise :class:`SourceError` if the archive at ``path`` holds masks of a run."""
        if is_output_archive(path) or Path(path) in self.excluded:
            raise SourceError(
                f"{printable(source)} holds masks that seg-batch wrote; expected photographs. Name another source."
            )


@dataclass(frozen=True)
class Kind:
    """A kind of source.

    ``open``: returns the source of a name, or None if the name is of another kind; raises :class:`SourceError` at once
    if it is of this kind and cannot be read.
    """

    open: Callable[[str, Opening], Source | None]
