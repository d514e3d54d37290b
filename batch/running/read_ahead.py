"""Find images ahead of the work, in a thread, so that a slow pipe or a hung network folder delays nobody."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from batch.sources.image_ref import ImageRef
from batch.steps.task import Span

MOST_AHEAD = 256
"""The most images that are found and not yet taken."""
MOST_HELD_BYTES = 256 * 2**20
"""If images come from a stream, no more are read from it while those in work hold this much."""
LOOK_SECONDS = 0.001
CLOSE_SECONDS = 1.0
"""How long to wait for a walk that was told to end; one that blocks on its source ends with the program."""


class ReadAhead:
    """The images of a walk, in the order they are found.

    Images that hold bytes count until they are released; an image larger than the whole limit may come alone.
    """

    def __init__(self, images: Iterable[ImageRef]) -> None:
        self._images = images
        self._found: deque[ImageRef] = deque()
        self._changed = threading.Condition()
        self._held = 0
        self._waits = self._ended = self._closed = False
        self._error: BaseException | None = None
        self._walked = self._told = (0.0, 0, 0.0)  # busy seconds, images, time of the last; one tuple, read atomically
        self._thread = threading.Thread(target=self._walk, name="walk", daemon=True)
        self._thread.start()

    def take(self, most: int) -> list[ImageRef] | None:
        """Return at most ``most`` images; an empty list if there are none now, None at the end.

        Raises the walk's error, after all images that it found.
        """
        ended = self._ended  # read first: images found before the end must be returned before it
        taken = [self._found.popleft() for _ in range(min(most, len(self._found)))]
        if taken:
            if self._waits and len(self._found) <= MOST_AHEAD // 2:
                self._wake()
            return taken
        if not ended:
            return []
        if self._error is not None:
            raise self._error
        return None

    def span(self) -> Span:
        """Return what the walk did since the last call, as a span that is as long as it was busy and ends with the
        last image.
        """
        (busy_before, count_before, _), (busy, count, at) = self._told, self._walked
        self._told = (busy, count, at)
        return "walk", self._thread.native_id or 0, at - (busy - busy_before), at, count - count_before

    def release(self, held: int) -> None:
        """Report that an image which held this many bytes is done."""
        if held:
            with self._changed:
                self._held -= held
                self._changed.notify_all()

    def are_few(self, most: int, seconds: float) -> bool:
        """Return whether there are at most ``most`` images; waits up to ``seconds`` for the answer."""
        deadline = time.monotonic() + seconds
        while not self._ended and len(self._found) <= most and time.monotonic() < deadline:
            self._thread.join(LOOK_SECONDS)
        return self._ended and len(self._found) <= most

    def close(self) -> None:
        """Tell the walk to end, and wait briefly for it."""
        self._closed = True
        self._wake()
        self._thread.join(CLOSE_SECONDS)

    @property
    def all_found(self) -> int | None:
        """Return how many images the walk found; None until it has ended."""
        return self._walked[1] if self._ended else None

    @property
    def is_stuck(self) -> bool:
        """Return whether the walk still waits for its source although it was closed."""
        return self._closed and self._thread.is_alive()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _walk(self) -> None:
        try:
            start = time.perf_counter()
            for image in self._images:
                busy, count, at = *self._walked[:2], time.perf_counter()
                self._walked = (busy + at - start, count + 1, at)
                held = image.content.held
                if not (len(self._found) < MOST_AHEAD and not held):
                    self._wait_for_room(held)
                if self._closed:
                    return
                self._found.append(image)
                start = time.perf_counter()
        except BaseException as error:  # raised in the run's thread, by take()
            self._error = error
        finally:
            self._ended = True

    def _wait_for_room(self, held: int) -> None:
        with self._changed:
            self._waits = True
            self._changed.wait_for(lambda: self._closed or self._has_room(held))
            self._waits = False
            self._held += held

    def _has_room(self, held: int) -> bool:
        return len(self._found) < MOST_AHEAD and (not held or not self._held or self._held + held <= MOST_HELD_BYTES)
