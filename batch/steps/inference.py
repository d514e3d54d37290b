"""Run the model on batches, with fallbacks if memory runs out or a single image makes it fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from batch.steps.work import Work, reason_of
from export.errors import DeviceError
from export.runtime.session import Seen
from seglab.words import counted

FAILURES_IN_A_ROW = 3
"""After this many single images fail in a row, the provider is to blame, not the images."""


class Segmenter(Protocol):
    """The part of :class:`export.runtime.model.Model` that is used here."""

    def seen(self, batch: NDArray[np.uint8]) -> Seen:
        """Map ``(N, S, S, 3)`` to ``(N, S, S)``, or ``(N, C, S, S)`` for several classes, and scores if it has any."""

    def seen_whole(self, images: NDArray[np.uint8]) -> Seen:
        """Map ``(N, H, W, 3)`` to what :meth:`seen` returns, and masks ``(N, H, W)``."""

    batch: int | None

    def use_batch(self, batch: int) -> None:
        """Set the number of images per call."""


class Inference:
    """Runs the model on batches, or on whole images one by one in exact mode.

    If memory runs out, the batch is halved from then on, down to single images; ``notes`` say so.
    """

    def __init__(self, model: Segmenter, *, device: str, exact: bool) -> None:
        self.notes: list[str] = []
        self._model, self._device, self._exact = model, device, exact
        self._has_worked, self._failed_in_a_row = False, 0

    def __call__(self, works: Sequence[Work]) -> None:
        """Set ``prob`` (and ``whole``, ``suitable``) of each work, or ``error`` if the model fails on it alone.

        Raises :class:`DeviceError` if the device fails, not the images.
        """
        try:
            self._run_or_halve(works)
            self._has_worked, self._failed_in_a_row = True, 0
        except Exception as error:  # a provider may raise anything
            self._one_by_one(works, error)
        for work in works:
            work.pixels = None

    def _run_or_halve(self, works: Sequence[Work]) -> None:
        while not self._has_run(works):
            batch = (self._model.batch or 1) // 2
            self._model.use_batch(batch)
            self.notes.append(
                f"{self._device} ran out of memory: {counted(batch, 'image')} per call instead of {2 * batch}"
            )

    def _has_run(self, works: Sequence[Work]) -> bool:
        """Run the model; return False if memory ran out and a smaller batch may work.

        By the time it returns, the error and its traceback are released, and the memory they held.
        """
        try:
            self._run(works)
        except DeviceError as error:
            if not error.out_of_memory or self._exact or (self._model.batch or 1) == 1:
                raise
            return False
        return True

    def _run(self, works: Sequence[Work]) -> None:
        batch = np.stack([work.pixels for work in works if work.pixels is not None])  # (N, S, S, 3)
        seen = self._model.seen_whole(batch) if self._exact else self._model.seen(batch)
        for at, (work, prob) in enumerate(zip(works, seen.prob, strict=True)):
            work.prob = prob
            work.whole = None if seen.mask is None else seen.mask[at]
            work.suitable = None if seen.suitable is None else float(seen.suitable[at])

    def _one_by_one(self, works: Sequence[Work], error: Exception) -> None:
        for work in works:
            try:
                if len(works) == 1:
                    raise error
                self._run([work])
                self._has_worked, self._failed_in_a_row = True, 0
            except Exception as reason:  # as above
                self._failed_in_a_row += 1
                work.error = f"The model failed on this image: {reason_of(reason)}"
        if all(work.error for work in works) and self._is_hopeless(len(works)):
            hint = "Try a smaller --batch, or another --device; run again to continue."
            raise DeviceError(self._device, f"it failed while running: {reason_of(error)}", hint) from error

    def _is_hopeless(self, together: int) -> bool:
        return together > 1 or not self._has_worked or self._failed_in_a_row >= FAILURES_IN_A_ROW
