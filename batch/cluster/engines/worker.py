"""A worker of any engine: it opens a job's model once, and does units by their names."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from batch.cluster.files.job import OpenJob, model_file, open_job
from batch.cluster.files.names import UnitName
from batch.cluster.unit import UnitResult, Watch, do_unit
from batch.errors import ProcessError, printable
from batch.executors.base import Opened
from batch.executors.opening import open_for
from batch.running.setup import describe_in_short, device_of_masks
from batch.settings import RunSettings
from export.errors import DeviceError


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works. ``device``: see :func:`export.runtime.opening.open_model`. ``timeout``: seconds in which an
    image must be finished. ``threads``: of the CPU; None: all cores. ``batch``: images per model call; None: by the
    device.
    """

    device: str = "auto"
    timeout: float = 120.0
    threads: int | None = None
    batch: int | None = None


class UnitWorker:
    """A worker for the job at this path or URL. ``device``: what it works on, in about six words.

    Raises the errors of :func:`batch.cluster.files.job.open_job` and of opening a model.
    """

    def __init__(self, job: str, options: WorkerOptions) -> None:
        self._job = open_job(job)
        self._kept = tempfile.TemporaryDirectory(prefix="seg-batch-model-", ignore_cleanup_errors=True)
        path = model_file(self._job, Path(self._kept.name))
        self._settings = self._job.job.settings(
            self._job.place, path, options.device, timeout=options.timeout, batch=options.batch
        )
        self._model = open_for(self._settings, threads=options.threads)
        _require_precision(self._job, self._settings, Opened.of(self._model))
        self.device = describe_in_short(Opened.of(self._model))
        self._timeout, self._threads = options.timeout, options.threads
        self._stopped = threading.Event()

    def do(self, unit: str) -> UnitResult:
        """Do a unit; a process in which no image is finished for the time-out ends."""
        name = UnitName.of(unit)
        if name is None:
            return UnitResult(unit, error=f"{unit!r} is not the name of a unit; expected one like u-00017.")
        watch = _EndingWatch(self._timeout, self._stopped)
        try:
            return do_unit(name, self._settings, self._model, self._job, watch, self._threads)
        finally:
            watch.close()

    def stop(self) -> None:
        """Let the unit that another thread does end soon and in good order; it stays to be done."""
        self._stopped.set()

    def close(self) -> None:
        """Remove the copy of the model file."""
        self._kept.cleanup()


class _EndingWatch(Watch):
    """Ends the process if no image is finished for ``seconds``, whatever a decoder does. ``stopped``: ends the unit."""

    def __init__(self, seconds: float, stopped: threading.Event) -> None:
        self._seconds, self._stopped, self._sink = seconds, stopped, os.open(os.devnull, os.O_WRONLY)

    def beat(self) -> None:
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._sink)

    def rest(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def check(self) -> None:
        if self._stopped.is_set():
            raise ProcessError("The unit was stopped before it was done. Run again.")

    def close(self) -> None:
        """Stop watching."""
        self.rest()
        os.close(self._sink)


def _require_precision(job: OpenJob, settings: RunSettings, opened: Opened) -> None:
    """Raise :class:`DeviceError` if masks would be computed in another precision than the job's."""
    device = device_of_masks(settings, opened)
    if device.precision != job.job.model.precision:
        raise DeviceError(
            device.name,
            f"it computes in {device.precision}, and the masks of {printable(job.place.where())} are in "
            f"{job.job.model.precision}",
            "Name another --device, or plan the job with --compute.",
        )
