"""Names that occur several times in an archive: unpacking would keep the last file of each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def last_places(walk: Callable[[], Iterator[tuple[Key, int]]]) -> dict[Key, int]:
    """Return the last place of each name that occurs several times.

    ``walk``: begins a walk over (name, place). Needs 8 bytes of memory per name, and a second walk if names repeat. The
    result may also hold a name that occurs once, if its hash equals another's.
    """
    import numpy as np  # what is loaded before the processes start is light

    hashes = np.sort(np.array(array("q", (hash(name) for name, _ in walk())), np.int64))
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    return {name: place for name, place in walk() if hash(name) in twice} if twice else {}
