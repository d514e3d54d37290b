"""Which ids validate and which train: a property of the id, so that data sets that share lesions agree.

The validation fifth is fixed by a hash of the id. ISIC holds a few pictures under two ids; such ids stand and fall
together: where one of them is held out, none of them trains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from seglab.errors import DataError
from seglab.pixels import IMAGE_SUFFIXES

SAME_PICTURE = (
    ("ISIC_0012152", "ISIC_0015979"),
    ("ISIC_0012216", "ISIC_0016001"),
    ("ISIC_0012290", "ISIC_0013594"),
    ("ISIC_0000279", "ISIC_0000280"),
    ("ISIC_0000477", "ISIC_0000512"),
    ("ISIC_0012127", "ISIC_0012970"),
)
"""ISIC pictures known to be there under two ids (found by comparing the pixels)."""

_TWINS = {a: b for pair in SAME_PICTURE for a, b in (pair, pair[::-1])}


class HasId(Protocol):
    """Anything with an image id."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)


def validates(id: str) -> bool:
    """Return whether ``id`` belongs to the fixed validation fifth: ``sha256(id) mod 5 == 0``."""
    return int(hashlib.sha256(id.encode()).hexdigest(), 16) % 5 == 0


def split(pairs: Sequence[T], exclude: Iterable[str] = ()) -> tuple[list[T], list[T]]:
    """Return (training, validation) of ``pairs``; ids in ``exclude`` and their twins are in neither.

    Raises :class:`DataError` where either side would be empty.
    """
    excluded = set(exclude)
    kept = [pair for pair in pairs if not _concerns(pair.id, excluded.__contains__)]
    validation = [pair for pair in kept if validates(pair.id)]
    training = [pair for pair in kept if not _concerns(pair.id, validates)]
    if not training or not validation:
        raise DataError(
            f"{len(pairs)} pairs, {len(excluded)} ids excluded, leave {len(training)} for training and "
            f"{len(validation)} for validation; expected some of each. Add data, or exclude less."
        )
    return training, validation


def read_ids(source: Path) -> set[str]:
    """Return ids to exclude: the lines of a text file, or the names of the images below a folder."""
    if source.is_dir():
        files = (path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        return {path.stem for path in files}
    try:
        return {line.strip() for line in source.read_text().splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{source} cannot be read ({error}); expected a folder of images, or a text file with an id a line."
        ) from error


def _concerns(id: str, test: Callable[[str], bool]) -> bool:
    return test(id) or (id in _TWINS and test(_TWINS[id]))
