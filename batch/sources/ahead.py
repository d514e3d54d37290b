"""Work on a long sequence in threads: results in its order, and only a few entries under way at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from batch.cores import cores

PER_THREAD = 4
"""Entries under way for each core."""

Entry = TypeVar("Entry")
Found = TypeVar("Found")


def map_ahead(
    function: Callable[[Entry], Found], entries: Iterable[Entry], threads: int | None = None
) -> Iterator[tuple[Entry, Found]]:
    """Yield (entry, function(entry)) in the order of entries; what the function raises is raised here.

    ``threads``: None means one a core.
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
