"""Which folders runs write to: the folders of this run, and those of other runs by their marks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from batch.output_mark import is_output

MOST_KNOWN = 100_000


class OutputFolders:
    """``excluded``: resolved folders that this run writes to. Each folder is checked once."""

    def __init__(self, excluded: Iterable[Path] = ()) -> None:
        self._excluded = {str(path) for path in excluded}
        self._known: dict[str, str | None] = {}

    def above(self, folder: str) -> str | None:
        """Return this folder (resolved) or the nearest one above it that a run writes to; None if there is none."""
        if folder not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            parent = os.path.dirname(folder)
            if folder in self._excluded or is_output(folder):
                self._known[folder] = folder
            else:
                self._known[folder] = None if parent == folder else self.above(parent)
        return self._known[folder]
