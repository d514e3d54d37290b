"""What ``seg-batch run`` does with an image, in a plain loop over files: what an engine would cost that costs nothing.

``python -m benchmarks.support.plain_loop MODEL IMAGES OUT --count N --part K --parts M`` takes every M-th of N images,
on the K-th core.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import cv2

from batch.executors.batches import ONE_CORE_BATCH
from batch.executors.placement import CAN_BIND
from batch.outputs.base import FolderStore
from batch.settings import RunSettings
from batch.steps.mask_maker import MaskMaker
from benchmarks.support.parts import tasks_of
from export.runtime.opening import open_model

FILE = click.Path(path_type=Path)


def plain_loops(model: Path, images: Path, out: Path, parts: int, count: int) -> None:
    """Run so many loops at once, each in a process on a core of its own, over ``count`` images together."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.support.plain_loop",
        str(model),
        str(images),
        str(out),
        "--count",
        str(count),
    ]
    numbers = [["--part", str(part), "--parts", str(parts)] for part in range(parts)]
    processes = [subprocess.Popen([*command, *number]) for number in numbers]
    ended = [process.wait() for process in processes]
    if any(ended):
        raise RuntimeError("a loop failed")


@click.command()
@click.argument("path", type=FILE)
@click.argument("images", type=FILE)
@click.argument("out", type=FILE)
@click.option("--count", type=int, required=True)
@click.option("--part", type=int, default=0)
@click.option("--parts", type=int, default=1)
def main(path: Path, images: Path, out: Path, count: int, part: int, parts: int) -> None:
    """Read, predict, write; images of one batch after the other."""
    if CAN_BIND:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[part]})
    cv2.setNumThreads(1)  # as in a worker
    model = open_model(path, "cpu", batch=ONE_CORE_BATCH, threads=1)
    out.mkdir(parents=True, exist_ok=True)
    maker = MaskMaker(model, RunSettings((str(images),), out), FolderStore(out))
    tasks = tasks_of([images])[:count][part::parts]
    for start in range(0, len(tasks), ONE_CORE_BATCH):
        works = [maker.read(task) for task in tasks[start : start + ONE_CORE_BATCH]]
        maker.predict(works)
        for work in works:
            outcome = maker.write(work)
            if outcome.finish is None or outcome.finish.error:
                raise click.ClickException(f"{work.task.path} failed: {work.error}")


if __name__ == "__main__":
    main()
