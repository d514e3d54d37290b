"""Open the model of a run with a batch for the cores and the device, and choose its threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import cv2

from batch.cores import cores
from batch.executors.batches import AHEAD, batch_for
from batch.executors.placement import is_gpu
from batch.mounts import is_far
from batch.settings import RunSettings
from batch.steps.stream import Inline
from export.runtime.bundled import bundled_models
from export.runtime.model import Model
from export.runtime.opening import open_model

MOST_THREADS = 32
FAR_THREADS = 16
"""Reading and writing threads for network storage, where they mostly wait."""


def open_for(settings: RunSettings, *, threads: int | None = None) -> Model:
    """Open the model that the settings name. ``threads``: CPU threads that it may use.

    Raises ContractError and DeviceError.
    """
    path = settings.model or bundled_models(settings.compute, exact=settings.exact)
    batch = None if settings.exact else batch_for(settings, threads)
    return open_model(path, settings.device, batch=batch, compute=settings.compute, shared=True, threads=threads)


class Layout(NamedTuple):
    """Executors for reading and writing, and how many groups are read ahead, see :func:`batch.steps.stream.stream`."""

    readers: Executor
    writers: Executor
    ahead: int


@contextmanager
def layout_for(settings: RunSettings, device: str, threads: int | None = None) -> Iterator[Layout]:
    """Yield executors for reading and writing; without threads in a process with one core, where they would only take
    turns. ``threads``: that this process may use at a time; None: as many as there are cores.
    """
    own = threads or cores()
    from_far, to_far = any(map(is_far, settings.source_names)), is_far(str(settings.out))
    if own == 1 and settings.workers is None and not (from_far or to_far or is_gpu(device)):
        with _one_cv_thread():
            yield Layout(Inline(), Inline(), 0)
        return
    readers, writers = (
        ThreadPoolExecutor(settings.workers or _threads(own, far=far), f"batch-{what}")
        for far, what in ((from_far, "read"), (to_far, "write"))
    )
    try:
        with _one_cv_thread():
            yield Layout(readers, writers, AHEAD)
    finally:
        for pool in (readers, writers):
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_cv_thread() -> Iterator[None]:
    """Limit OpenCV to one thread: images are already processed in parallel."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _threads(own: int, *, far: bool) -> int:
    return max(FAR_THREADS if far else 1, min(own, MOST_THREADS))
