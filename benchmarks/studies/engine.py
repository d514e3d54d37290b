"""The engine against its parts: what share of the possible rate it reaches, what it costs itself, how soon it begins.

``python -m benchmarks.studies.engine --name cpu`` measures, each in several rounds that alternate, and writes
``benchmarks/results/NAME-engine.json``:

- the possible rate, ``1 / (t_infer + t_host / cores)``: the model alone with all cores, decoding and writing alone in
  one thread; beside it the engine's rate, in one process and in one per core;
- the engine's own cost: its CPU time an image less that of plain loops over the same stages in as many processes,
  with a network that computes next to nothing;
- the time from the command to the first mask, the first time and once more.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from batch.cores import cores
from batch.executors.factory import CPU_BATCH
from batch.settings import RunSettings
from benchmarks.support.null_network import null_model
from benchmarks.support.parts import host_seconds, infer_seconds, possible_rate, run_rate, tasks_of
from benchmarks.support.places import RESULTS, machine
from benchmarks.support.plain_loop import plain_loops
from export.errors import DeviceError
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from seglab.files import write_text
from seglab.synth import write_set

SMALL = 64


@click.command()
@click.option("--name", required=True, help="Of the machine, in the name of the result.")
@click.option("--images", default=192, show_default=True, help="Of 600x450.")
@click.option("--small", default=4000, show_default=True, help="Tiny images for the engine's own cost.")
@click.option("--rounds", default=5, show_default=True, help="Of each measurement; the median counts.")
@click.option("--model", type=click.Path(path_type=Path), help="Model file.  [default: the bundled one]")
@click.option("--device", "devices", multiple=True, default=("cpu", "openvino"), show_default=True)
def main(name: str, images: int, small: int, rounds: int, model: Path | None, devices: Sequence[str]) -> None:
    """Measure, print, write the figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root / "photos", images, [(450, 600)], 1)
        write_set(root / "tiny", small, [(SMALL, SMALL)], 2)
        path = model or bundled_model()
        rows = [row for device in devices for row in _possible(device, path, root / "photos" / "images", root, rounds)]
        figures = {
            "machine": machine(),
            "model": path.name,
            "rates": rows,
            "own_cost": _own_cost(root / "tiny" / "images", root, rounds),
            "first_mask": [_first_mask(device, path, root / "photos" / "images", root, rounds) for device in devices],
        }
    write_text(RESULTS / f"{name}-engine.json", json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures, indent=2))


def _possible(device: str, path: Path, images: Path, root: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the rates of the parts and of the engine on one device; nothing where it is not there."""
    try:
        model = open_model(path, device, batch=CPU_BATCH)
    except DeviceError as error:
        click.echo(f"not measured: {error}", err=True)
        return []
    infer, host = [], []
    rates: dict[int | None, list[float]] = {1: [], None: []}
    for _ in range(rounds):
        infer.append(infer_seconds(model, CPU_BATCH))
        host.append(host_seconds([images], model.contract.size, root / "host"))
        for processes, found in rates.items():
            settings = RunSettings((str(images),), root / "out", path, device, processes=processes)
            found.append(run_rate(settings))
            shutil.rmtree(settings.out)
    possible = possible_rate(infer, host)
    return [
        {
            "device": model.device.name,
            "precision": model.device.precision,
            "processes": processes or cores(),
            "infer_ms": round(1000 * statistics.median(infer), 2),
            "host_ms": round(1000 * statistics.median(host), 2),
            "possible_images_per_second": round(possible, 1),
            "images_per_second": round(statistics.median(found), 1),
            "share_of_possible": round(statistics.median(found) / possible, 3),
        }
        for processes, found in rates.items()
    ]


def _own_cost(images: Path, root: Path, rounds: int) -> list[dict[str, Any]]:
    """Return milliseconds of CPU time an image, for one process and one a core: of plain loops in as many
    processes at once, for two cores at work share what is not theirs alone, and of the engine.
    """
    path = null_model(root / "null.onnx")
    count = len(tasks_of([images]))
    found: dict[int, tuple[list[float], list[float]]] = {processes: ([], []) for processes in (1, cores())}
    for _ in range(rounds):
        for processes, (loops, engine) in found.items():
            settings = RunSettings((str(images),), root / "out", path, "cpu", processes=processes)
            loops.append(_beyond_opening(partial(_looped, path, images, root / "loop", processes), count, processes))
            engine.append(_beyond_opening(partial(_limited, settings), count, processes))
    return [
        {
            "processes": processes,
            "images": count,
            "plain_loop_ms": round(1000 * statistics.median(loops) / count, 3),
            "engine_ms": round(1000 * statistics.median(engine) / count, 3),
            "own_ms": round(1000 * (statistics.median(engine) - statistics.median(loops)) / count, 3),
        }
        for processes, (loops, engine) in found.items()
    ]


def _beyond_opening(work: Callable[[int], object], count: int, processes: int) -> float:
    """Return the CPU time of work on all images, less that of opening and working on one in each process."""
    return _processor_seconds(partial(work, count)) - _processor_seconds(partial(work, processes))


def _looped(path: Path, images: Path, out: Path, processes: int, count: int) -> None:
    plain_loops(path, images, out, processes, count)
    shutil.rmtree(out)


def _limited(settings: RunSettings, count: int) -> None:
    run_rate(replace(settings, limit=count))
    shutil.rmtree(settings.out)


def _processor_seconds(work: Callable[[], object]) -> float:
    """Return what the work takes of all cores, in this process and in those that it starts and ends."""

    def used() -> float:
        both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    start = used()
    work()
    return used() - start


def _first_mask(device: str, path: Path, images: Path, root: Path, rounds: int) -> dict[str, Any]:
    out = root / "first"
    times: dict[str, list[float]] = {"fresh": [], "again": []}
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        times["fresh"].append(_seconds_to_mask(device, path, images, out))
        for mask in out.glob("*.png"):
            mask.unlink()
        times["again"].append(_seconds_to_mask(device, path, images, out))
    return {"device": device, **{key: round(statistics.median(found), 2) for key, found in times.items()}}


def _seconds_to_mask(device: str, path: Path, images: Path, out: Path) -> float:
    code = "from batch.cli import main; main()"
    options = ["--out", str(out), "--model", str(path), "--device", device]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, "run", str(images), *options], stderr=subprocess.DEVNULL)
    while process.poll() is None and next(out.glob("[!.]*.png"), None) is None:
        time.sleep(0.005)
    first = time.perf_counter() - start
    if process.wait() != 0:
        raise RuntimeError(f"{device}: exit {process.returncode}")
    return first


if __name__ == "__main__":
    main()
