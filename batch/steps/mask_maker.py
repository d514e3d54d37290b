"""The only path from an image's bytes to its mask: read, predict, write."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from batch.errors import SourceLostError
from batch.figures import Figures, Finish
from batch.naming import overlay_path
from batch.outputs.base import MaskFiles, require_own, why_not_written
from batch.outputs.overlays import draw_overlay
from batch.outputs.png import decode_mask, encode_mask
from batch.outputs.probabilities import ProbFiles
from batch.settings import LABEL_BITS, RunSettings
from batch.sources.checksum import checksum_of
from batch.steps.begun import Begun
from batch.steps.inference import Inference
from batch.steps.masks import figures_of, mask_of
from batch.steps.postprocess import postprocess
from batch.steps.task import Outcome, Span, Task
from batch.steps.work import Work, reason_of
from seglab.errors import TooLargeError
from seglab.images.reader import Photo, read_fitted, read_photo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.runtime.model import Model

LARGE_PIXELS = 64_000_000
"""Larger than images of usual cameras. A decoder may take 14 bytes per pixel, and one runs on each core."""


class MaskMaker:
    """An open model with the settings of a run and the place where masks go.

    ``store``: None if masks are returned for the caller to write. ``begun``: records which images are being worked on.
    :meth:`read` and :meth:`write` may be called by any thread, :meth:`predict` by one.
    """

    def __init__(
        self, model: Model, settings: RunSettings, store: MaskFiles | None, begun: Begun | None = None
    ) -> None:
        self._settings, self._store, self._begun = settings, store, begun or Begun()
        self._size, self._threshold = model.contract.size, model.contract.threshold
        self._classes = model.contract.classes
        self._bits = settings.bits if self._classes == 1 else LABEL_BITS
        self._inference = Inference(model, device=model.device.name, exact=settings.exact)
        self._probs = ProbFiles(settings.probs, settings.probs_format) if settings.probs else None
        self.notes = self._inference.notes

    def read(self, task: Task) -> Work:
        """Return the image's pixels, resized for the model, or the reason why there are none.

        Of an image of more than :data:`LARGE_PIXELS` only the header is read, unless the task is ``solo``. Raises
        :class:`SourceLostError` if no image of its source can be read any more.
        """
        work = Work(task)
        if task.redraw:
            return work
        start = time.perf_counter()
        with self._begun.one(task.row):
            try:
                data, work.bytes, work.mtime_ns, work.version = task.image.read()
                work.was_read = True
                if self._settings.checksum:
                    work.version = checksum_of(data)
                photo = self._decoded(data, solo=task.solo)
                work.size, work.pixels, work.remark = photo.size, photo.pixels, "; ".join(photo.remarks)
            except (SourceLostError, KeyboardInterrupt):
                raise
            except TooLargeError as error:
                work.needs_solo = not task.solo and self._settings.max_pixels > LARGE_PIXELS
                work.error = reason_of(error)
            except BaseException as error:  # any error of a decoder: those written in Rust raise PanicException
                work.error = reason_of(error)
        work.spans.append(_span("decode", start))
        return work

    def _decoded(self, data: bytes, *, solo: bool) -> Photo:
        settings = self._settings
        most = settings.max_pixels if solo else min(LARGE_PIXELS, settings.max_pixels)
        if settings.exact:
            return read_photo(data, max_pixels=most, any_dicom=settings.any_dicom)
        return read_fitted(data, self._size, most, any_dicom=settings.any_dicom)

    def predict(self, works: Sequence[Work]) -> None:
        """Run the model on the works that were read. Raises :class:`export.errors.DeviceError` if that fails."""
        works = [work for work in works if work.pixels is not None]
        if not works:
            return
        start = time.perf_counter()
        with self._begun.together([work.task.row for work in works]):
            self._inference(works)
        works[0].spans.append(_span("infer", start, len(works)))

    def write(self, work: Work) -> Outcome:
        """Write the mask, overlay and probability map, and return the image's outcome.

        Raises :class:`batch.errors.OutputError` for an error that would affect the next mask as well, and as
        :meth:`read`.
        """
        task = work.task
        if work.needs_solo:
            return Outcome(task.row, None, spans=tuple(work.spans))
        made = _Made()
        if work.error is None:
            start = time.perf_counter()
            with self._begun.one(task.row):
                self._make(work, made)
            work.spans.append(_span("write", start))
        work.prob = work.whole = None
        return Outcome(task.row, self._finish(work, made), made.mask, tuple(work.spans))

    def _make(self, work: Work, made: _Made) -> None:
        try:
            mask = self._drawn(work.task) if work.task.redraw else self._write_mask(work, made)
            if self._settings.overlays is not None:
                place = (self._settings.overlays, work.task.mask)
                draw_overlay(work.task.image.read().data, mask, *place, are_labels=self._classes > 1)
        except OSError as error:
            work.error = self._why_not_written(work.task, error)
        except (SourceLostError, KeyboardInterrupt):
            raise
        except BaseException as error:  # as in reading
            work.error = reason_of(error)

    def _finish(self, work: Work, made: _Made) -> Finish:
        seconds = sum(end - start for _, _, start, end, _ in work.spans)
        figures, sha256 = (made.figures, made.sha256) if work.error is None else (None, "")
        state = (work.task.row, work.bytes, work.mtime_ns, seconds)
        return Finish(*state, figures, work.error, work.version, sha256, work.was_read, work.remark)

    def _drawn(self, task: Task) -> NDArray[np.uint8]:
        """Return the mask that exists already."""
        if task.drawn is not None:
            return decode_mask(task.drawn, self._classes)
        if self._store is None:
            raise FileNotFoundError(2, "it is written by somebody else", task.mask)
        return decode_mask(self._store.read(task.mask), self._classes)

    def _write_mask(self, work: Work, made: _Made) -> NDArray[np.uint8]:
        task, prob = work.task, work.prob
        self._require_own_pictures(task)
        if prob is None:
            raise RuntimeError("a stage was skipped")
        mask = mask_of(prob, self._threshold, work.size) if work.whole is None else work.whole
        mask = postprocess(mask, self._settings.postprocess)
        figures = figures_of(mask, prob, self._threshold, work.suitable)
        encoded = encode_mask(mask, self._bits)
        if self._store is None:
            made.mask = encoded
        else:
            self._store.write(task.mask, encoded, is_fresh=task.is_fresh, made=task.made)
        if self._probs is not None:
            self._probs.write(task.mask, prob, work.size)
        made.figures, made.sha256 = figures, hashlib.sha256(encoded).hexdigest()
        return mask

    def _require_own_pictures(self, task: Task) -> None:
        """Raise :class:`FileExistsError` if a picture of a fresh mask would replace somebody else's file."""
        if task.is_fresh and self._probs is not None:
            require_own(str(self._probs.where(task.mask)), is_fresh=True)
        if task.is_fresh and self._settings.overlays is not None:
            require_own(str(overlay_path(self._settings.overlays, task.mask)), is_fresh=True)

    def _why_not_written(self, task: Task, error: OSError) -> str:
        """Return why a mask of this name cannot be written. Raises as :meth:`write`."""
        return why_not_written(task.mask, task.mask if self._store is None else self._store.where(task.mask), error)


class _Made:
    """The results of one image."""

    figures: Figures | None = None
    sha256 = ""
    mask: bytes | None = None


def _span(stage: str, start: float, images: int = 1) -> Span:
    return stage, threading.get_native_id(), start, time.perf_counter(), images
