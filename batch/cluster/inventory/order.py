"""Sort the objects of a bucket as a walk would find them, however many there are.

An inventory has no order, and the order decides which of two images with the same stem gets the plain name.
"""

from __future__ import annotations

import heapq
import itertools
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from batch.cluster.inventory.rows import Listed
from batch.errors import OutputError, printable

HELD = 500_000
"""Objects that are sorted in memory; more are sorted in pieces, on disk, and merged."""
TOGETHER = 1000
FILE, FOLDER = "\0", "\1"


def in_walk_order(objects: Iterable[Listed], held: int = HELD) -> Iterator[Listed]:
    """Yield the objects in the order of a walk: the files of a folder, then its folders, each by their names.

    Raises :class:`OutputError` if the folder for temporary files has no room for them.
    """
    objects = iter(objects)
    piece = _sorted_piece(objects, held)
    if len(piece) < held:
        yield from piece
        return
    with tempfile.TemporaryDirectory(prefix="seg-batch-sort-", ignore_cleanup_errors=True) as scratch:
        pieces = list[Path]()
        while piece:
            pieces.append(_put_down(piece, Path(scratch, str(len(pieces)))))
            piece = _sorted_piece(objects, held)
        yield from heapq.merge(*map(_taken_up, pieces), key=_order)


def _order(listed: Listed) -> str:
    folder, slash, name = listed.key.rpartition("/")
    return f"{FOLDER}{folder.replace('/', FOLDER)}{FILE}{name}" if slash else f"{FILE}{name}"


def _sorted_piece(objects: Iterator[Listed], held: int) -> list[Listed]:
    return sorted(itertools.islice(objects, held), key=_order)


def _put_down(piece: list[Listed], path: Path) -> Path:
    try:
        with path.open("wb") as file:
            for start in range(0, len(piece), TOGETHER):
                pickle.dump([tuple(listed) for listed in piece[start : start + TOGETHER]], file)
    except OSError as error:
        raise OutputError(
            f"The inventory cannot be sorted in {printable(tempfile.gettempdir())}: {error.strerror or error}. "
            "Expected room for about 200 bytes an object. Free some, or name another folder by TMPDIR; then plan again."
        ) from error
    return path


def _taken_up(path: Path) -> Iterator[Listed]:
    with path.open("rb") as file:
        while file.peek(1):
            yield from map(Listed._make, pickle.load(file))
