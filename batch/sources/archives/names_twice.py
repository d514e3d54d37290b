"""Names that an archive holds several times: unpacking would leave the last of each."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def last_places(walk: Callable[[], Iterator[tuple[Key, int]]]) -> dict[Key, int]:
    """Return the last place of each name that comes several times.

    ``walk``: begins a walk over (name, place). It takes 8 bytes for each name, and a second walk where names repeat. A
    name may be in the result though it comes once: where its hash is another's.
    """
    import numpy as np  # what is loaded before the processes start is light

    hashes = np.sort(np.array(array("q", (hash(name) for name, _ in walk())), np.int64))
    twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    return {name: place for name, place in walk() if hash(name) in twice} if twice else {}
