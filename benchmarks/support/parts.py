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
from batch.settings import DEFAULT_MASK_BITS, RunSettings
from batch.sources.collect import Sources
from batch.steps.stages import Decoder, Sink
from batch.steps.task import Task
from export.runtime.model import Model
from export.runtime.probes import probe_images
from seglab.images.formats import IMAGE_SUFFIXES, MAX_PIXELS

INFER_RUNS = 9
HOST_IMAGES = 64


def tasks_of(sources: Sequence[Path]) -> list[Task]:
    """Return a task for each image of the sources; masks are called by numbers."""
    items = Sources([str(source) for source in sources], IMAGE_SUFFIXES)
    return [
        Task(row, item.path, f"{row}.png", item.bytes, item.mtime_ns, item.content) for row, item in enumerate(items)
    ]


def infer_seconds(model: Model, batch: int) -> float:
    """Return the seconds an image of the model alone, with all that it was opened with; the median of several runs."""
    pixels = probe_images(model.contract.size, model.contract.size, batch)
    return statistics.median(timed(lambda: model.prob(pixels)) for _ in range(INFER_RUNS)) / batch


def host_seconds(sources: Sequence[Path], size: int, out: Path) -> float:
    """Return the seconds of decoding and writing an image, in one thread; a grey map is taken for the network's."""
    out.mkdir(parents=True, exist_ok=True)
    decoder, sink = Decoder(size, False, MAX_PIXELS), Sink(FolderStore(out), 0.5, DEFAULT_MASK_BITS)
    tasks = tasks_of(sources)[:HOST_IMAGES]
    start = time.perf_counter()
    for task in tasks:
        decoder(task)
        if task.pixels is not None:
            task.prob = task.pixels[..., 0].astype(np.float32) / np.float32(255)
        sink(task)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds / len(tasks)


def possible_rate(infer: Sequence[float], host: Sequence[float]) -> float:
    """Return the images a second that the parts allow: inference alone, with all cores less what the host takes."""
    return 1 / (statistics.median(infer) + statistics.median(host) / cores())


def run_rate(settings: RunSettings) -> float:
    """Return the images a second of a run, from the open model to its end. Raises RuntimeError for a failed image."""
    runner = Runner(settings)
    failed = [result for result in runner if result.error]
    if failed:
        raise RuntimeError(failed[0].error)
    return runner.report.rate


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
