"""The protocol of outputs: a folder, an archive that grows, or storage at a URL."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from batch.errors import OutputError, cannot_write, printable
from batch.ledger.checkpoints import sync_folder
from batch.mounts import is_far
from batch.outputs.leftovers import files_of, pictures, remove_leftovers
from seglab.files import has_content, write_bytes
from seglab.images.formats import IMAGE_SUFFIXES

TAKEN = "a file of that name exists, and no run of this output made it"
CLOCKS_DIFFER_SECONDS = 60.0
"""How far a file server's clock may be behind the local one."""
TICK_SECONDS = 0.1
"""How far file times may be behind the clock."""
CHANGED = "it was changed after a run wrote it"

NAME_ERRORS = frozenset(
    {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}
)
"""Errors caused by a mask's own name; any other write error would affect the next mask as well."""
HINTS = {TAKEN: "Move it away, and run again", CHANGED: "Move it away, and run again"}


class MaskFiles(Protocol):
    """Masks by their names (with ``/``), written and read by any thread.

    Failures to write or read raise :class:`OSError`; a missing mask raises :class:`FileNotFoundError`.
    """

    def write(self, mask: str, data: bytes, *, is_fresh: bool = False, made: str = "") -> None:
        """Write a mask, completely or not at all, replacing one of the same name.

        Raises :class:`FileExistsError` for a file of somebody else: any file if the mask ``is_fresh``, else one whose
        SHA-256 differs from that which a run ``made`` there, if it is known.
        """

    def read(self, mask: str) -> bytes:
        """Return the content of a mask's file."""

    def where(self, mask: str) -> str:
        """Return the path or URL of a mask, for messages."""


class Store(MaskFiles, Protocol):
    """The masks of a run."""

    def require_fresh(self) -> None:
        """Raise :class:`OutputError` if the first run might overwrite something."""

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Prepare for writing, and clean up what a killed run left of ``unfinished`` masks."""

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the masks that exist and are not empty."""

    def remove(self, mask: str, made: str = "") -> None:
        """Remove the mask, if it exists and has the SHA-256 that a run ``made``, if that is known."""

    def names(self) -> Iterator[str]:
        """Yield the names of files that look like masks."""

    def sync(self) -> None:
        """Flush what was written to disk, so that it survives a power cut; for any thread. Raises :class:`OSError`."""

    def close(self) -> None:
        """Complete the store after the last write of a run."""


def require_own(path: str, *, is_fresh: bool = False, made: str = "") -> None:
    """Raise :class:`FileExistsError` for a file that a run may not replace, see :meth:`MaskFiles.write`."""
    if is_fresh and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, TAKEN, path)
    if made:
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        if data and hashlib.sha256(data).hexdigest() != made:
            raise FileExistsError(errno.EEXIST, CHANGED, path)


def was_there_before(path: str, started: float) -> bool:
    """Return whether ``path`` exists and is older than a process that ``started`` then (seconds since 1970)."""
    try:
        return os.stat(path).st_mtime < started - (CLOCKS_DIFFER_SECONDS if is_far(path) else TICK_SECONDS)
    except (OSError, ValueError):  # no such file, or not a local path
        return False


def why_not_written(mask: str, where: str, error: OSError) -> str:
    """Return why the ``mask``, which goes ``where``, was not written, if its name is the reason.

    Raises :class:`batch.errors.OutputError` for an error that would affect the next mask as well.
    """
    if error.errno not in NAME_ERRORS:
        raise cannot_write(where, error) from error
    said = error.strerror or str(error)
    is_picture = error.strerror == TAKEN and error.filename not in (None, where)
    subject = f"The picture {error.filename}" if is_picture else f"The mask {mask}"
    return f"{subject} cannot be written: {said}. {HINTS.get(said, 'Rename the image, or change --name')}."


class FolderStore:
    """A folder that mirrors the tree of the source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._above = os.path.join(folder, "")

    def require_fresh(self) -> None:
        """Raise :class:`OutputError` if the folder holds pictures already."""
        found = next(files_of(self.folder, IMAGE_SUFFIXES), None)
        if found is not None:
            raise OutputError(
                f"{printable(str(self.folder))} has no ledger but holds {printable(found)}, which a mask might "
                "overwrite or hide; expected an empty folder, or the output folder of a run. Choose another one, or "
                "move the pictures away."
            )

    def prepare(self, unfinished: Sequence[str]) -> None:
        """Remove temporary files that a killed run left."""
        remove_leftovers(self.folder, unfinished)

    def write(self, mask: str, data: bytes, *, is_fresh: bool = False, made: str = "") -> None:
        """Write the mask under a temporary name and move it into place."""
        path = self._path(mask)
        require_own(path, is_fresh=is_fresh, made=made)
        write_bytes(path, data, self.folder)

    def read(self, mask: str) -> bytes:
        """Return the content of the file."""
        return (self.folder / mask).read_bytes()

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the masks that have a file which is not empty."""
        return {mask for mask in masks if has_content(os.path.join(self.folder, mask))}

    def remove(self, mask: str, made: str = "") -> None:
        """Remove the file, unless somebody else made it."""
        try:
            path = self._path(mask)
            require_own(path, made=made)
            os.unlink(path)
        except OSError:  # it never existed, somebody else made it, or its name is why the image failed
            return

    def _path(self, mask: str) -> str:
        if ".." in mask and ".." in mask.split("/"):  # no run makes such a name: the ledger was edited
            raise OSError(errno.EINVAL, "its name leads out of the output", mask)
        return self._above + mask

    def names(self) -> Iterator[str]:
        """Yield the names of the PNG files."""
        return (name.replace(os.sep, "/") for name in pictures(self.folder))

    def where(self, mask: str) -> str:
        """Return the file's path."""
        return f"{self._above}{mask}"

    def sync(self) -> None:
        """Flush the folder's file system to disk."""
        sync_folder(self.folder)

    def close(self) -> None:
        """Do nothing: every file is complete by itself."""
