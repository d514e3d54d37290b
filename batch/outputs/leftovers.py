"""What a killed run may have left in a folder, and what pictures a folder holds."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from batch.naming import SUFFIX
from batch.output_mark import is_marked
from seglab.files import TEMPORARY

WRITTEN = frozenset({".png", ".jpg", ".npy"})
"""Suffixes of what runs write; what is not complete has a name of :data:`seglab.files.TEMPORARY`."""


def remove_leftovers(root: Path, unfinished: Sequence[str], process: int | None = None) -> int:
    """Remove temporary files where a killed run was writing: beside unfinished masks, and at the top.

    ``root``: a folder with the tree of the masks. ``process``: of which the files are; None: of any. Returns how many
    there were.
    """
    folders = {"", *(os.path.dirname(mask) for mask in unfinished)}
    return sum(_unlink(path) for folder in folders for path in _temporaries(os.path.join(root, folder), process))


def pictures(out: Path) -> Iterator[str]:
    """Yield the PNG files of an output folder, by their paths below it: see :func:`files_of`."""
    return files_of(out, {SUFFIX})


def files_of(out: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the files below a folder that have these suffixes.

    Hidden ones are passed over, and folders below it that have a mark of their own: overlays, maps.
    """
    for folder, folders, names in os.walk(out):
        folders[:] = [name for name in folders if not (name.startswith(".") or is_marked(os.path.join(folder, name)))]
        for name in names:
            if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), out)


def _temporaries(folder: str, process: int | None) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                found = TEMPORARY.fullmatch(stem) if suffix in WRITTEN else None
                if found and process in (None, int(found["process"])):
                    yield entry.path
    except OSError:  # the folder was never made
        return


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # it will fail again, with a message, when a mask is written there
        return False
    return True
