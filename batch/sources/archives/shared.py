"""A remote zip, shared by all readers in a process: each process opens it once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import IO

from batch.sources.archives.member import Opener

MOST_OPEN = 64
"""How many zips a process keeps open for members that were sent to it."""


class SharedFile:
    """A zip behind an ``opener``, opened at the first read and used by one thread at a time.

    Can be pickled if the opener can; each process that receives it opens it once, however many members it is sent.
    ``name``: identifies it; None: a new random name.
    """

    def __init__(self, opener: Opener, name: str | None = None) -> None:
        self._opener, self._name = opener, name or os.urandom(16).hex()
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def __reduce__(self) -> tuple[Callable[[Opener, str], SharedFile], tuple[Opener, str]]:
        return _sent, (self._opener, self._name)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Yield the open file to this thread. Raises the opener's errors; the next call tries again."""
        with self._lock:
            if self._file is None:
                self._file = self._opener()
            yield self._file


_known: OrderedDict[str, SharedFile] = OrderedDict()
_knowing = threading.Lock()


def _sent(opener: Opener, name: str) -> SharedFile:
    """Return this process's instance for ``name``; the last :data:`MOST_OPEN` are kept."""
    with _knowing:
        found = _known.setdefault(name, SharedFile(opener, name))
        _known.move_to_end(name)
        if len(_known) > MOST_OPEN:
            _known.popitem(last=False)
    return found
