"""What a killed run may have left in the output folder, and what must not be there at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from batch.errors import OutputError, shown
from batch.naming import SUFFIX
from batch.schema import ledger_path

TEMPORARY = re.compile(r"\..*\.\d+-\d+\.tmp\.(png|jpg)", re.DOTALL)
"""Names that :func:`seglab.files.replacing` gives to what is not complete."""


def remove_leftovers(roots: Iterable[Path | None], unfinished: Sequence[str]) -> int:
    """Remove temporary files where a killed run was writing: beside unfinished masks, and at the top.

    ``roots``: the folders of masks and overlays, which have the same tree. Returns how many there were.
    """
    folders = {"", *(os.path.dirname(mask) for mask in unfinished)}
    removed = 0
    for root in roots:
        for folder in folders if root is not None else ():
            removed += sum(_unlink(path) for path in _temporaries(os.path.join(root or "", folder)))
    return removed


def require_fresh(out: Path) -> None:
    """Raise :class:`OutputError` for a folder without a ledger that holds PNG files: a run might overwrite them."""
    if ledger_path(out).exists():
        return
    found = next(pictures(out), None)
    if found is not None:
        raise OutputError(
            f"{shown(str(out))} has no ledger but holds {shown(found)}, which a mask might overwrite; expected an "
            "empty folder, or the output folder of a run. Choose another one, or move the PNG files away."
        )


def pictures(out: Path) -> Iterator[str]:
    """Yield the PNG files of an output folder, by their paths below it; hidden ones are passed over."""
    for folder, folders, names in os.walk(out):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(SUFFIX) and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name), out)


def _temporaries(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and TEMPORARY.fullmatch(entry.name):
                    yield entry.path
    except OSError:  # the folder was never made
        return


def _unlink(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:  # it will fail again, with a message, when a mask is written there
        return False
    return True
