"""What is done to one image: decode, infer, write. Each stage takes a task and leaves its work, or a reason, in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from batch.errors import SourceLostError
from batch.outputs.base import MaskFiles, require_own
from batch.outputs.overlays import draw_overlay, overlay_path
from batch.outputs.png import encode_mask
from batch.outputs.probabilities import ProbFiles
from batch.sources.checksum import checksum_of
from batch.steps.large_image_lock import one_at_a_time
from batch.steps.masks import figures_of, mask_of
from batch.steps.postprocess import postprocess
from batch.steps.task import Task, blame
from export.errors import DeviceError
from seglab.errors import SeglabError, TooLargeError
from seglab.images.masks import read_mask
from seglab.images.reader import Photo, read_fitted, read_photo

LARGE_PIXELS = 64_000_000
"""Larger than what cameras make; a decoder may take 14 bytes a pixel, and there is one on each core."""
FAILURES_IN_A_ROW = 3
"""So many single images failing one after another in the provider are no longer the images' fault."""


class Segmenter(Protocol):
    """The part of :class:`export.runtime.model.Model` that the pipeline uses."""

    def prob(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``(N, S, S, 3)`` to ``(N, S, S)``."""

    def prob_and_mask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """``(N, H, W, 3)`` to ``(N, S, S)`` and ``(N, H, W)``."""

    batch: int | None

    def use_batch(self, batch: int) -> None:
        """Take so many images a call from now on."""


@dataclass(frozen=True)
class Decoder:
    """Reads a file and brings its pixels to what the model takes: ``size`` (S), or whole in exact mode.

    Images of more than ``max_pixels`` fail before they are decoded. Those of more than :data:`LARGE_PIXELS` are decoded
    one at a time, over all processes that share the ``lock_folder``.
    """

    size: int
    exact: bool
    max_pixels: int
    lock_folder: Path | None = None
    checksum: bool = False
    any_dicom: bool = False

    def __call__(self, task: Task) -> None:
        """Fill ``pixels`` and ``size``, or ``error``. Raises :class:`SourceLostError` where no image can be had."""
        start = time.perf_counter()
        try:
            data, task.bytes, task.mtime_ns, task.version = task.content.read()
            task.was_read = True
            if self.checksum:
                task.version = checksum_of(data)
            photo = self._decode(data)
            task.size, task.pixels, task.remark = photo.size, photo.pixels, "; ".join(photo.remarks)
        except SourceLostError:
            raise
        except Exception as error:  # whatever a decoder makes of a broken file, it concerns this image only
            task.error = _reason(error)
        task.seconds += time.perf_counter() - start

    def _decode(self, data: bytes) -> Photo:
        try:
            return self._read(data, min(LARGE_PIXELS, self.max_pixels))
        except TooLargeError:
            if self.max_pixels <= LARGE_PIXELS:
                raise
        with one_at_a_time(self.lock_folder):
            return self._read(data, self.max_pixels)

    def _read(self, data: bytes, most: int) -> Photo:
        if self.exact:
            return read_photo(data, max_pixels=most, any_dicom=self.any_dicom)
        return read_fitted(data, self.size, most, any_dicom=self.any_dicom)


class Inference:
    """Runs the model on full batches, or on whole images one by one in exact mode.

    Where memory runs out, half a batch is taken from then on, down to single images; ``notes`` say so.
    """

    def __init__(self, model: Segmenter, *, device: str, exact: bool) -> None:
        self.notes: list[str] = []
        self._model, self._device, self._exact = model, device, exact
        self._has_worked, self._failed_in_a_row = False, 0

    def __call__(self, tasks: Sequence[Task]) -> None:
        """Fill ``prob`` (and ``whole``) of each task, or ``error`` of those that fail alone as well.

        Raises :class:`DeviceError` where it is the device and not the images.
        """
        start = time.perf_counter()
        try:
            self._run_or_halve(tasks)
            self._has_worked, self._failed_in_a_row = True, 0
        except Exception as error:  # a provider may raise anything
            self._one_by_one(tasks, error)
        share = (time.perf_counter() - start) / len(tasks)
        for task in tasks:
            task.seconds += share
            task.pixels = None

    def _run_or_halve(self, tasks: Sequence[Task]) -> None:
        while not self._has_run(tasks):
            batch = (self._model.batch or 1) // 2
            self._model.use_batch(batch)
            self.notes.append(f"{self._device} ran out of memory: {batch} images a call instead of {2 * batch}")

    def _has_run(self, tasks: Sequence[Task]) -> bool:
        """Run tasks; return False where memory ran out and less may do.

        By then the error is gone, and with its traceback all that held on to the memory.
        """
        try:
            self._run(tasks)
        except DeviceError as error:
            if not error.out_of_memory or self._exact or (self._model.batch or 1) == 1:
                raise
            return False
        return True

    def _run(self, tasks: Sequence[Task]) -> None:
        batch = np.stack([_present(task.pixels) for task in tasks])  # (N, S, S, 3)
        if self._exact:
            probs, wholes = self._model.prob_and_mask(batch)
            for task, whole in zip(tasks, wholes, strict=True):
                task.whole = whole
        else:
            probs = self._model.prob(batch)
        for task, prob in zip(tasks, probs, strict=True):
            task.prob = prob

    def _one_by_one(self, tasks: Sequence[Task], error: Exception) -> None:
        for task in tasks:
            try:
                if len(tasks) == 1:
                    raise error
                self._run([task])
                self._has_worked, self._failed_in_a_row = True, 0
            except Exception as reason:  # as above
                self._failed_in_a_row += 1
                task.error = f"The model failed on this image: {_reason(reason)}"
        if all(task.error for task in tasks) and self._is_hopeless(len(tasks)):
            hint = "Try a smaller --batch, or another --device; run again to go on."
            raise DeviceError(self._device, f"it failed while running: {_reason(error)}", hint) from error

    def _is_hopeless(self, together: int) -> bool:
        return together > 1 or not self._has_worked or self._failed_in_a_row >= FAILURES_IN_A_ROW


@dataclass(frozen=True)
class Sink:
    """Makes masks of the images' own sizes, measures and writes them; overlays and probabilities too, where wanted."""

    store: MaskFiles
    threshold: float
    mask_bits: int
    overlays: Path | None = None
    postprocess: Sequence[str] = ()
    probs: ProbFiles | None = None

    def __call__(self, task: Task) -> None:
        """Write the mask and fill ``figures``, or ``error``, or ``fatal``. Raises as :class:`Decoder`."""
        start = time.perf_counter()
        try:
            mask = read_mask(self.store.read(task.mask)) if task.redraw else self._write_mask(task)
            if self.overlays is not None:
                draw_overlay(task.content.read().data, mask, self.overlays, task.mask)
        except OSError as error:
            blame(task, self.store, error)
        except SourceLostError:
            raise
        except Exception as error:  # as in the decoder
            task.error = _reason(error)
        task.prob = task.whole = None
        task.seconds += time.perf_counter() - start

    def _require_own_pictures(self, task: Task) -> None:
        """Raise :class:`FileExistsError` where a picture of a fresh mask would replace somebody else's."""
        if task.is_fresh and self.probs is not None:
            require_own(str(self.probs.where(task.mask)), is_fresh=True)
        if task.is_fresh and self.overlays is not None:
            require_own(str(overlay_path(self.overlays, task.mask)), is_fresh=True)

    def _write_mask(self, task: Task) -> NDArray[np.uint8]:
        self._require_own_pictures(task)
        prob = _present(task.prob)
        mask = mask_of(prob, self.threshold, task.size) if task.whole is None else task.whole
        mask = postprocess(mask, self.postprocess)
        figures = figures_of(mask, prob)
        encoded = encode_mask(mask, self.mask_bits)
        self.store.write(task.mask, encoded, is_fresh=task.is_fresh, made=task.made)
        task.sha256 = hashlib.sha256(encoded).hexdigest()
        if self.probs is not None:
            self.probs.write(task.mask, prob, task.size)
        task.figures = figures
        return mask


@dataclass(frozen=True)
class Workshop:
    """The stages of a pipeline; the model is shown ``batch`` images at a time."""

    decoder: Decoder
    inference: Inference
    sink: Sink
    batch: int


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, SeglabError) else f"{type(error).__name__}: {error}"


def _present(array: NDArray[Any] | None) -> NDArray[Any]:
    if array is None:
        raise RuntimeError("a stage was skipped")
    return array
