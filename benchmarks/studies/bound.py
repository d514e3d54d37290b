"""The model alone on all cores, as ``seg-batch`` runs it, beside OpenVINO's own ``benchmark_app``.

``python -m benchmarks.studies.bound MODEL... --name cpu`` takes each model cut to ``prob`` at S x S, in each device and
arithmetic that there is. Ours: a process pinned to each core, fixed batches of 1 to 8. ``benchmark_app``: its hint for
throughput, batches of 2 and 4, its own streams and threads. They take turns in every round; medians and ratios of the
rounds go to ``benchmarks/results/NAME-bound.json``. Both read no images and write no masks.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from batch.cores import cores
from benchmarks.support.places import RESULTS, machine
from export.contract import read_contract
from export.errors import DeviceError
from export.runtime.engines.openvino import HINTS, cut_to_prob, load
from export.runtime.opening import open_model
from export.runtime.probes.verify import probe_images
from seglab.files import write_text

BATCHES, APP_BATCHES = (1, 2, 4, 8), (2, 4)
FLOAT = ("fp32", "bf16")
"""Precisions of float layers; an int8 model uses the first."""
FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class Way:
    """A model on a device in one arithmetic."""

    path: Path
    device: str
    compute: str


@click.command()
@click.argument("paths", metavar="MODEL...", type=FILE, nargs=-1, required=True)
@click.option("--name", required=True, help="Name of the machine, for the name of the result.")
@click.option("--device", "devices", multiple=True, default=("cpu", "openvino"), show_default=True)
@click.option("--seconds", default=4.0, show_default=True, help="Length of each measurement.")
@click.option("--rounds", default=5, show_default=True, help="Medians count.")
def main(paths: Sequence[Path], name: str, devices: Sequence[str], seconds: float, rounds: int) -> None:
    """Measure, print, write the figures."""
    rows = [row for path in paths for row in _measured(path, devices, seconds, rounds)]
    figures = {"machine": machine(), "openvino": load().__version__, "rounds": rounds, "rows": rows}
    write_text(RESULTS / f"{name}-bound.json", json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures, indent=2))


def _measured(path: Path, devices: Sequence[str], seconds: float, rounds: int) -> list[dict[str, Any]]:
    ways = [way for device in devices for compute in FLOAT if _is_there(way := Way(path, device, compute))]
    rates: dict[tuple[Way, int, bool], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cut = _written(path, Path(folder))
        for _ in range(rounds):
            for way in ways:
                for batch in BATCHES:
                    rates.setdefault((way, batch, False), []).append(our_rate(way, batch, seconds))
                for batch in APP_BATCHES if way.device == "openvino" else ():
                    rates.setdefault((way, batch, True), []).append(app_rate(cut, way.compute, batch, seconds))
                click.echo(f"{path.stem} {way.device} {way.compute}", err=True)
    return [_row(way, rates) for way in ways]


def _row(way: Way, rates: dict[tuple[Way, int, bool], list[float]]) -> dict[str, Any]:
    ours = {batch: rates[way, batch, False] for batch in BATCHES}
    row: dict[str, Any] = {
        "model": way.path.stem,
        "precision": read_contract(way.path).precision,
        "device": way.device,
        "compute": way.compute,
        "images_per_second": {batch: round(statistics.median(found), 1) for batch, found in ours.items()},
    }
    if way.device == "openvino":
        # In every round their best batch, and against it each of ours.
        theirs = [max(found) for found in zip(*(rates[way, batch, True] for batch in APP_BATCHES), strict=True)]
        row["benchmark_app"] = round(statistics.median(theirs), 1)
        row["share_of_benchmark_app"] = {
            batch: round(statistics.median(one / other for one, other in zip(found, theirs, strict=True)), 3)
            for batch, found in ours.items()
        }
    return row


def _is_there(way: Way) -> bool:
    try:
        open_model(way.path, way.device, batch=1, compute=way.compute)
    except DeviceError as error:
        click.echo(f"not measured: {error}", err=True)
        return False
    return True


def our_rate(way: Way, batch: int, seconds: float) -> float:
    """Return the images per second of one process per core, measured over ``seconds``."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(cores())
    counts = context.SimpleQueue()
    numbers = sorted(os.sched_getaffinity(0))
    processes = [context.Process(target=_work, args=(way, batch, seconds, core, barrier, counts)) for core in numbers]
    for process in processes:
        process.start()
    total = sum(counts.get() for _ in processes)
    for process in processes:
        process.join()
    return float(total)


def _work(way: Way, batch: int, seconds: float, core: int, barrier: Any, counts: Any) -> None:
    os.sched_setaffinity(0, {core})
    model = open_model(way.path, way.device, threads=1, batch=batch, compute=way.compute, shared=True)
    images = probe_images(model.contract.size, model.contract.size, batch)
    model.prob(images)
    barrier.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        model.prob(images)
        done += batch
    counts.put(done / (time.perf_counter() - start))


def _written(path: Path, folder: Path) -> Path:
    """Write a model cut to ``prob`` as ``benchmark_app`` takes it."""
    openvino, size = load(), read_contract(path).size
    cut = cut_to_prob(path, [1, size, size, 3])
    target = folder / "cut.xml"
    openvino.save_model(cut, target, compress_to_fp16=False)
    return target


def app_rate(cut: Path, compute: str, batch: int, seconds: float) -> float:
    """Return what ``benchmark_app`` prints as its throughput."""
    side = re.search(r'shape="1,(\d+),', cut.read_text())
    if side is None:
        raise RuntimeError(f"{cut} has no input of a fixed shape")
    shape = f"[{batch},{side[1]},{side[1]},3]"
    command = [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", str(cut), "-d", "CPU", "-hint", "throughput",
        "-infer_precision", HINTS[compute], "-shape", shape, "-t", str(max(1, round(seconds))),
    ]  # fmt: skip
    said = subprocess.run(command, env={**os.environ, "CI": "true"}, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Throughput: +([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"benchmark_app printed no throughput:\n{said}")
    return float(found[1])


if __name__ == "__main__":
    main()
