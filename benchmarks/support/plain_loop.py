"""The stages of ``seg-batch run`` in a plain loop over files: what an engine would cost that costs nothing.

``python -m benchmarks.support.plain_loop MODEL IMAGES OUT --count N --part K --parts M`` takes every M-th of N images,
on the K-th core.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from batch.executors.factory import ONE_CORE_BATCH
from batch.executors.placement import CAN_BIND
from batch.outputs.base import FolderStore
from batch.steps.stages import Decoder, Inference, Sink
from benchmarks.support.parts import tasks_of
from export.runtime.opening import open_model
from seglab.images.formats import MAX_PIXELS

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
    """Decode, infer, write; images of one batch after the other."""
    if CAN_BIND:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[part]})
    model = open_model(path, "cpu", batch=ONE_CORE_BATCH, threads=1)
    out.mkdir(parents=True, exist_ok=True)
    decoder, sink = Decoder(model.contract.size, False, MAX_PIXELS), Sink(FolderStore(out), 0.5, 1)
    inference = Inference(model, device="cpu", exact=False)
    tasks = tasks_of([images])[:count][part::parts]
    for start in range(0, len(tasks), ONE_CORE_BATCH):
        group = tasks[start : start + ONE_CORE_BATCH]
        for task in group:
            decoder(task)
        inference(group)
        for task in group:
            sink(task)


if __name__ == "__main__":
    main()
