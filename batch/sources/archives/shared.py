"""A zip that is no file of this machine, for every process that reads its members: each opens it once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import IO

from batch.sources.archives.member import Opener

MOST_OPEN = 64
"""Zips that a process which was sent members keeps open after these are done."""


class SharedFile:
    """A zip behind an ``opener``, opened when it is first read, for one thread at a time.

    May be sent to other processes if the opener may: each of them opens it once, whatever it is sent. ``name``: tells
    it from all others; None: a new one.
    """

    def __init__(self, opener: Opener, name: str | None = None) -> None:
        self._opener, self._name = opener, name or os.urandom(16).hex()
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def __reduce__(self) -> tuple[Callable[[Opener, str], SharedFile], tuple[Opener, str]]:
        return _sent, (self._opener, self._name)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Give the open file to this thread. Raises what the opener raises; the next one tries again."""
        with self._lock:
            if self._file is None:
                self._file = self._opener()
            yield self._file


_known: OrderedDict[str, SharedFile] = OrderedDict()
_knowing = threading.Lock()


def _sent(opener: Opener, name: str) -> SharedFile:
    """Return the one of this name in this process; the last :data:`MOST_OPEN` are kept."""
    with _knowing:
        found = _known.setdefault(name, SharedFile(opener, name))
        _known.move_to_end(name)
        if len(_known) > MOST_OPEN:
            _known.popitem(last=False)
    return found
