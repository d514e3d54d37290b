"""Images are looked for ahead of the work, in a thread: a slow pipe or a hung network folder delays nobody."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from batch.sources.image_ref import ImageRef
from batch.steps.task import Span

MOST_AHEAD = 256
"""Images that are found and not taken."""
MOST_HELD_BYTES = 256 * 2**20
"""Where images come out of a stream, no more are taken out of it while those under way hold so much."""
LOOK_SECONDS = 0.001
CLOSE_SECONDS = 1.0
"""So long is a walk waited for that was told to end; one that waits for its source ends with the program."""


class ReadAhead:
    """The images of a walk, as they are found.

    Images that hold bytes count until they are released; one that holds more than all together may comes alone.
    """

    def __init__(self, images: Iterable[ImageRef]) -> None:
        self._images = images
        self._found: deque[ImageRef] = deque()
        self._changed = threading.Condition()
        self._held = 0
        self._waits = self._ended = self._closed = False
        self._error: BaseException | None = None
        self._walked = self._told = (0.0, 0, 0.0)  # busy seconds, images, time of the last; one, for two threads look
        self._thread = threading.Thread(target=self._walk, name="walk", daemon=True)
        self._thread.start()

    def take(self, most: int) -> list[ImageRef] | None:
        """Return what was found, so many at most; nothing where there is nothing now, None at the end.

        Raises what the walk raised, after all that it found.
        """
        ended = self._ended  # looked at first: what is found before the end comes before it
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
        """Return what the walk did since this was asked for: a span as long as it was busy, which ends with the last
        image.
        """
        (busy_before, count_before, _), (busy, count, at) = self._told, self._walked
        self._told = (busy, count, at)
        return "walk", self._thread.native_id or 0, at - (busy - busy_before), at, count - count_before

    def release(self, held: int) -> None:
        """Say that an image which held so many bytes is done."""
        if held:
            with self._changed:
                self._held -= held
                self._changed.notify_all()

    def are_few(self, most: int, seconds: float) -> bool:
        """Are there so many images at most? Waits so long for the answer."""
        deadline = time.monotonic() + seconds
        while not self._ended and len(self._found) <= most and time.monotonic() < deadline:
            self._thread.join(LOOK_SECONDS)
        return self._ended and len(self._found) <= most

    def close(self) -> None:
        """Let the walk end."""
        self._closed = True
        self._wake()
        self._thread.join(CLOSE_SECONDS)

    @property
    def all_found(self) -> int | None:
        """How many images the walk found; None until it is at its end."""
        return self._walked[1] if self._ended else None

    @property
    def is_stuck(self) -> bool:
        """Does the walk still wait for its source, though it was closed?"""
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
        except BaseException as error:  # it is the run's, not this thread's
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
