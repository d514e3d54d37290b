"""Tell a folder that a run writes to from a folder of photographs: by a mark in it, or by a ledger.

Masks, overlays and probability maps are images too. A later run that names the folder above them must not take them
for photographs.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path

from seglab.files import write_text

MARK_NAME = ".seg-batch"
MARK_TEXT = """\
seg-batch wrote the images in this folder and its sub-folders. It never reads them as photographs.
output: {owner}
"""
OWNER = re.compile(r"^output: (\w+)$", re.MULTILINE)
NOBODY = "unknown"
"""Owner of a marked folder that belongs to no output."""
LEDGER_NAME = "ledger.sqlite"
LEDGER_SUFFIX = ".ledger"
"""Suffix of the folder that holds the ledger of an archive of masks."""
APPLICATION_ID = 0x5E61AB01
APPLICATION_ID_AT = 68
"""From SQLite's file format, section 1.3: four bytes, big-endian."""


def mark(folder: Path, owner: str = NOBODY) -> None:
    """Mark a folder as one that the output ``owner`` writes to; the folder is created if needed.

    Raises :class:`OSError`.
    """
    if owner_of(folder) != owner:
        write_text(folder / MARK_NAME, MARK_TEXT.format(owner=owner))


def owner_of(folder: Path) -> str | None:
    """Return the output that the mark of a folder names; None if the folder is not marked."""
    try:
        found = OWNER.search((folder / MARK_NAME).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return found[1] if found else ""


def is_marked(folder: str | Path) -> bool:
    """Return whether the folder has a mark, so that a run writes to it."""
    return os.path.isfile(os.path.join(folder, MARK_NAME))


def is_output(folder: str | Path) -> bool:
    """Return whether a run writes to this folder: it is marked, or holds a ledger with its masks beside it."""
    return is_marked(folder) or _has_masks_beside(os.path.join(folder, LEDGER_NAME))


def is_output_archive(path: str | Path) -> bool:
    """Return whether a run writes masks to this archive (or its ``.part``), judged by the ledger folder beside it."""
    ledger = os.path.join(os.fspath(path).removesuffix(".part") + LEDGER_SUFFIX, LEDGER_NAME)
    return _is_ledger(ledger)


def _has_masks_beside(ledger: str) -> bool:
    if not _is_ledger(ledger):
        return False
    # Without a -wal file the database file is complete, and "immutable" creates no files beside it.
    mode = "mode=ro" if os.path.exists(f"{ledger}-wal") else "immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(ledger).absolute().as_uri()}?{mode}", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM meta WHERE key = 'masks'").fetchone() is None
    except sqlite3.Error:  # in use or damaged, but a ledger
        return True


def _is_ledger(path: str) -> bool:
    if not os.path.isfile(path):  # opening a pipe would block
        return False
    try:
        with open(path, "rb") as file:
            header = file.read(100)
    except OSError:
        return False
    return int.from_bytes(header[APPLICATION_ID_AT : APPLICATION_ID_AT + 4], "big") == APPLICATION_ID
