"""Masks for images that come one by one: the workers of a run, fed by requests.

Images are decoded in worker processes, so one that crashes or hangs its decoder costs only itself. While a worker is
idle, an image is begun at once; while all are busy, images gather and share a batch.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from batch.executors.base import Opened
from batch.executors.placement import share_out
from batch.executors.workers import Workers
from batch.figures import Figures
from batch.settings import RunSettings
from batch.sources.bytes import HeldBytes
from batch.steps.task import Outcome, Span, Task
from seglab.errors import ConfigError, SeglabError

GROUP = 32
"""Images handed to the workers at a time."""
RING = b"\0"
NO_MASK = "It was not finished: the service was stopped. Send it again."


class BusyError(Exception):
    """As many images wait as are allowed."""


class TooManyError(Exception):
    """More images at once than are ever allowed to wait."""


class StoppedError(SeglabError):
    """The service takes no images any more."""


@dataclass(frozen=True)
class Answer:
    """What became of an image: its mask as a PNG file and the figures, or an ``error``; ``remark``: see
    :class:`batch.figures.Finish`. ``was_tried``: False if nothing was found out about the image.
    """

    mask: bytes | None
    figures: Figures | None
    error: str | None
    remark: str = ""
    was_tried: bool = True


class Engine:
    """Worker processes with a model. :meth:`submit` may be called from any thread.

    ``most``: images that may wait or be worked on. ``on_batch``: called with the number of images of each batch. If the
    workers fail, ``failure`` says why; ``ended`` is set when no image is taken any more.
    """

    def __init__(self, settings: RunSettings, most: int, on_batch: Callable[[int], object] = lambda _: None) -> None:
        if sys.platform == "win32":
            raise ConfigError("seg-batch serve does not run on Windows; expected Linux or macOS. Use WSL.")
        self._most, self._on_batch = most, on_batch
        self._bell, theirs = socket.socketpair()
        self._bell.setblocking(False)
        self._theirs = theirs
        self._executor = Workers(settings, share_out(settings, few=False), None, bell=theirs)
        self._new: deque[Task] = deque()
        self._answers: dict[int, Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._closing = self._abandoned = False
        self.failure: SeglabError | None = None
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def open(self) -> Opened:
        """Wait until the model is open, and begin. Raises the errors of opening."""
        try:
            opened = self._executor.open()
        except BaseException:
            self._executor.close()
            raise
        self._thread.start()
        return opened

    @property
    def waiting(self) -> int:
        """Return how many images wait or are worked on."""
        return len(self._answers)

    @property
    def is_ready(self) -> bool:
        """Return whether images are taken."""
        return self._thread.is_alive() and not self._closing and self.failure is None

    def submit(self, images: Sequence[bytes]) -> list[Future[Answer]]:
        """Take images, the bytes of their files; all or none.

        Raises :class:`BusyError`, :class:`TooManyError` and :class:`StoppedError`.
        """
        if len(images) > self._most:
            raise TooManyError
        with self._lock:
            if not self.is_ready:
                raise StoppedError(str(self.failure) if self.failure else "The service is being stopped.")
            if len(self._answers) + len(images) > self._most:
                raise BusyError
            answers: dict[int, Future[Answer]] = {next(self._numbers): Future() for _ in images}
            for answer in answers.values():
                answer.set_running_or_notify_cancel()  # who waits for it cannot cancel it
            self._answers |= answers
            self._new += [
                Task(number, "upload", "mask.png", HeldBytes(data, 0), is_fresh=True)
                for number, data in zip(answers, images, strict=True)
            ]
        self._ring()
        return list(answers.values())

    def give_up(self, answers: Sequence[Future[Answer]]) -> None:
        """Leave out those of these images that were not begun; the others are finished, though nobody waits."""
        unwanted = {answer for answer in answers if not answer.done()}
        if not unwanted:
            return
        with self._lock:
            rows = [task.row for task in self._new if self._answers.get(task.row) in unwanted]
            left = [self._answers.pop(row) for row in rows]
            self._new = deque(task for task in self._new if task.row in self._answers)
        for answer in left:
            answer.set_result(Answer(None, None, NO_MASK, was_tried=False))

    def close(self) -> None:
        """Finish the images that were taken, and end the workers."""
        with self._lock:
            self._closing = True
        self._ring()
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._executor.close()

    def abandon(self) -> None:
        """End the workers at once; images that are not finished get no mask. :meth:`close` waits for it."""
        self._closing = self._abandoned = True
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # it rings already, or all is over
            self._bell.send(RING)

    def _run(self) -> None:
        try:
            for turn in self._executor.run(self._groups()):
                if self._abandoned:
                    break
                for outcome in turn.outcomes:
                    self._settle(outcome)
        except SeglabError as error:
            self.failure = error
        except BaseException as error:  # nobody would see it in this thread
            self.failure = SeglabError(f"The service failed: {error!r}. Start it again.")
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._closing = True
            left, self._answers = list(self._answers.values()), {}
        for answer in left:
            answer.set_result(Answer(None, None, str(self.failure) if self.failure else NO_MASK, was_tried=False))
        self._executor.close()
        self._bell.close()
        self._theirs.close()
        self.ended.set()

    def _groups(self) -> Iterator[list[Task] | None]:
        while True:
            with self._lock:
                tasks = [self._new.popleft() for _ in range(min(GROUP, len(self._new)))]
            if not tasks and self._closing:
                return
            yield tasks or None

    def _settle(self, outcome: Outcome) -> None:
        finish = outcome.finish
        with self._lock:
            answer = self._answers.pop(outcome.row, None)
        if answer is None or finish is None:
            return
        for size in _batches(outcome.spans):
            self._on_batch(size)
        answer.set_result(Answer(outcome.mask, finish.figures, finish.error, finish.remark))


def _batches(spans: tuple[Span, ...]) -> list[int]:
    """Return the sizes of batches; each is noted at the first of its images."""
    return [images for stage, _, _, _, images in spans if stage == "infer"]
