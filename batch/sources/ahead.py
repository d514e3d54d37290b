"""Map a function over a long sequence in threads: results in order, few entries in flight at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from batch.cores import cores

PER_THREAD = 4
"""Entries in flight per thread."""

Entry = TypeVar("Entry")
Found = TypeVar("Found")


def map_ahead(
    function: Callable[[Entry], Found], entries: Iterable[Entry], threads: int | None = None
) -> Iterator[tuple[Entry, Found]]:
    """Yield (entry, function(entry)) in the order of ``entries``; exceptions of the function are raised here.

    ``threads``: None means one per core.
    """
    threads = threads or cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Entry, Future[Found]]] = deque()
        for entry in entries:
            waiting.append((entry, pool.submit(function, entry)))
            if len(waiting) > PER_THREAD * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
