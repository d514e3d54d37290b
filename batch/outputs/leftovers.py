"""Temporary files that a killed run left in a folder, and the pictures in a folder."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from batch.naming import SUFFIX
from batch.output_mark import is_marked
from seglab.files import TEMPORARY

WRITTEN = frozenset({".png", ".jpg", ".npy"})
"""Suffixes of files that runs write; incomplete files have names of :data:`seglab.files.TEMPORARY`."""


def remove_leftovers(root: Path, unfinished: Sequence[str], process: int | None = None) -> int:
    """Remove temporary files where a killed run was writing: beside unfinished masks, and in the top folder.

    ``root``: a folder with the tree of the masks. ``process``: only the files of this process; None: of any. Returns
    the number of files removed.
    """
    folders = {"", *(os.path.dirname(mask) for mask in unfinished)}
    return sum(_unlink(path) for folder in folders for path in _temporaries(os.path.join(root, folder), process))


def pictures(out: Path) -> Iterator[str]:
    """Yield the PNG files of an output folder, by their paths below it, see :func:`files_of`."""
    return files_of(out, {SUFFIX})


def files_of(out: Path, suffixes: Collection[str]) -> Iterator[str]:
    """Yield the files below a folder that have these suffixes, by their paths below it.

    Skips hidden files, and sub-folders that have a mark of their own: overlays and probability maps.
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
    except OSError:  # the folder was never created
        return


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # writing a mask there will fail with a message
        return False
    return True
