"""Marks of attempts: a unit on which processes end is worked on with more and more care, and not for ever.

The mark of an attempt exists while it lasts. It is left only by a process that was killed or crashed.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from batch.cluster.files.names import ATTEMPTS, Attempt
from batch.cluster.files.place import Place
from batch.errors import OutputError

APART_FROM, ONE_BY_ONE_FROM = 2, 4
"""With this many marks of other attempts, a unit is worked on in this way."""
GIVEN_UP_FROM = 2
"""An image that this many marks name has failed."""


class Care(Enum):
    """How a unit is worked on."""

    TOGETHER = "in this process"
    APART = "in processes of their own, which find the image that ends one"
    ONE_BY_ONE = "the same, one at a time, each noted before it begins"


@dataclass(frozen=True)
class Begun:
    """An attempt that is marked. ``given_up``: numbers of the images that earlier attempts ended on."""

    place: Place
    attempt: Attempt
    care: Care
    given_up: frozenset[int] = frozenset()

    def note(self, row: int) -> None:
        """Note the image that is worked on next."""
        self.place.write(self.attempt.mark, str(row).encode())


@contextlib.contextmanager
def marked(place: Place, attempt: Attempt) -> Iterator[Begun]:
    """Mark an attempt while it lasts, and yield it with the care that the marks of others ask for."""
    place.write(attempt.mark, b"")
    try:
        folder = f"{ATTEMPTS}/{attempt.unit}"
        others = [name for name in place.names(folder) if name != attempt.id and not name.startswith(".")]
        care = _care(len(others))
        given_up = _given_up(place, folder, others) if care is Care.ONE_BY_ONE else frozenset()
        yield Begun(place, attempt, care, given_up)
    finally:
        with contextlib.suppress(OutputError):  # a mark too many only makes the next attempt more careful
            place.remove(attempt.mark)


def _care(others: int) -> Care:
    if others >= ONE_BY_ONE_FROM:
        return Care.ONE_BY_ONE
    return Care.APART if others >= APART_FROM else Care.TOGETHER


def _given_up(place: Place, folder: str, marks: list[str]) -> frozenset[int]:
    noted: Counter[int] = Counter()
    for mark in marks:
        with contextlib.suppress(FileNotFoundError, ValueError):  # it ended meanwhile, or notes no image
            noted[int(place.read(f"{folder}/{mark}"))] += 1
    return frozenset(row for row, count in noted.items() if count >= GIVEN_UP_FROM)
