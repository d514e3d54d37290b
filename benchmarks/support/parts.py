"""The parts of a run, each measured alone, and a run measured whole."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from batch.cores import cores
from batch.outputs.base import FolderStore
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.sources.collect import Sources
from batch.steps.mask_maker import MaskMaker
from batch.steps.task import Task
from export.runtime.model import Model
from export.runtime.probes.verify import probe_images
from seglab.images.formats import IMAGE_SUFFIXES

INFER_RUNS = 9
HOST_IMAGES = 64


def tasks_of(sources: Sequence[Path]) -> list[Task]:
    """Return a task for each image of the sources; the names of masks are numbers from 1."""
    items = Sources([str(source) for source in sources], IMAGE_SUFFIXES)
    return [Task(row, item.path, f"{row}.png", item.content) for row, item in enumerate(items, 1)]


def infer_seconds(model: Model, batch: int) -> float:
    """Return the seconds per image of the model alone, as it was opened; the median of several runs."""
    pixels = probe_images(model.contract.size, model.contract.size, batch)
    return statistics.median(timed(lambda: model.prob(pixels)) for _ in range(INFER_RUNS)) / batch


def host_seconds(model: Model, sources: Sequence[Path], out: Path) -> float:
    """Return the seconds for reading and writing an image in one thread, with a grey map in place of the network's."""
    maker = MaskMaker(model, RunSettings(tuple(map(str, sources)), out), FolderStore(out))
    out.mkdir(parents=True, exist_ok=True)
    tasks = tasks_of(sources)[:HOST_IMAGES]
    start = time.perf_counter()
    for task in tasks:
        work = maker.read(task)
        if work.pixels is not None:
            work.prob = work.pixels[..., 0].astype(np.float32) / np.float32(255)
        maker.write(work)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds / len(tasks)


def possible_rate(infer: Sequence[float], host: Sequence[float]) -> float:
    """Return the images per second that the parts allow: inference on all cores, less the time that the host takes."""
    return 1 / (statistics.median(infer) + statistics.median(host) / cores())


def run_rate(settings: RunSettings) -> float:
    """Return the images per second of a run with an open model. Raises RuntimeError for a failed image."""
    runner = Runner(settings)
    failed = [result for result in runner if result.error]
    if failed:
        raise RuntimeError(failed[0].error)
    return runner.report.rate


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that calling ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
