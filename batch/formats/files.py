"""A folder that files are exported to: files of somebody else are never replaced, and none is ever half written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from batch.errors import OutputError, cannot_write, printable
from batch.formats import MADE_BY
from batch.output_mark import is_marked, mark
from batch.reporting.result_file import LOOKED_AT
from seglab.errors import ImageError
from seglab.files import TEMPORARY, is_running, write_bytes

FIXED_TIME = 946_684_800
"""1 January 2000, UTC: the modification time of files whose order must not be known."""
MARK = MADE_BY.encode("ascii")


class ExportFolder:
    """A folder for the files of an export. ``is_ours``: whether the beginning of a file shows that an export wrote it.

    ``is_timeless``: files get :data:`FIXED_TIME`.
    """

    def __init__(
        self, root: Path, is_ours: Callable[[bytes], bool] = lambda begin: MARK in begin, *, is_timeless: bool = False
    ) -> None:
        self.root, self._is_ours, self._is_timeless = root, is_ours, is_timeless

    def prepare(self, *, keep_from_runs: bool) -> None:
        """Create the folder if needed, and remove the incomplete files of ended processes.

        ``keep_from_runs``: mark it, so that no run takes its images for photographs. Raises :class:`OutputError` if it
        cannot be written; with ``keep_from_runs`` also if it holds files and no mark, as such a mark would hide them.
        """
        try:
            if keep_from_runs and not is_marked(self.root) and self.root.is_dir() and any(self.root.iterdir()):
                raise OutputError(
                    f"{printable(str(self.root))} holds files that no export wrote; expected a new or an empty folder, "
                    "or one of an earlier export. Choose another folder with --to."
                )
            self.root.mkdir(parents=True, exist_ok=True)
            if keep_from_runs:
                mark(self.root)
            self._remove_incomplete()
        except OSError as error:
            raise cannot_write(str(self.root), error) from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically; ``name`` may have folders, with ``/``.

        Raises :class:`ImageError` if a file of somebody else has this name or the name leads out of the folder, and
        :class:`OutputError` if it cannot be written.
        """
        if name.startswith("/") or ".." in name.split("/"):
            raise ImageError("Its name leads out of the folder; expected a name below it. Rename the photograph.")
        path = self.root / name
        try:
            if (reason := self._why_kept(path)) is not None:
                raise ImageError(reason)
            write_bytes(path, data)
            if self._is_timeless:
                os.utime(path, (FIXED_TIME, FIXED_TIME))
        except OSError as error:
            raise cannot_write(str(path), error) from error

    def require(self, name: str) -> None:
        """Raise :class:`OutputError`, before the work, if a file of somebody else has this name."""
        path = self.root / name
        try:
            reason = self._why_kept(path)
        except OSError as error:
            raise cannot_write(str(path), error) from error
        if reason is not None:
            raise OutputError(reason)

    def _why_kept(self, path: Path) -> str | None:
        """Return why a file must stay as it is; None if there is none, or an export wrote it."""
        if not os.path.lexists(path):
            return None
        if path.is_file():
            with path.open("rb") as file:
                if self._is_ours(file.read(LOOKED_AT)):
                    return None
        return (
            f"{printable(str(path))} exists and no export wrote it, or it was changed since; expected no such file. "
            "Move it away, or choose another folder with --to."
        )

    def _remove_incomplete(self) -> None:
        for folder, _, names in os.walk(self.root):
            for name in names:
                found = TEMPORARY.fullmatch(os.path.splitext(name)[0]) if name.startswith(".") else None
                if found and not is_running(int(found["process"])):
                    os.unlink(os.path.join(folder, name))
