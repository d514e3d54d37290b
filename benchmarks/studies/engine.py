"""The engine compared with its parts: share of the possible rate, its own cost, and time to the first mask.

``python -m benchmarks.studies.engine --name cpu`` measures, each in several rounds that alternate, and writes
``benchmarks/results/NAME-engine.json``:

- the possible rate, ``1 / (t_infer + t_host / cores)``: the model alone with all cores, reading and writing alone in
  one thread; beside it the engine's rate, with one worker and with one per core;
- the engine's own cost: its CPU time an image less that of plain loops that do the same in as many processes, with a
  network that computes next to nothing; and, as a part of it, that of the run's own process, the ledger included;
- the whole command, from its start to its end, over few images and many, and over very many tiny ones with that
  network;
- the time from the command to the first mask, the first time and once more.

``--quick`` takes little of everything: does it work?
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from batch.cores import cores
from batch.executors.batches import CPU_BATCH
from batch.settings import RunSettings
from benchmarks.support.archives import write_tar
from benchmarks.support.command import run_arguments, watched
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


@dataclass(frozen=True)
class Amount:
    """How much is measured: photographs of 600x450, tiny images for the engine's own cost, rounds of each measurement,
    and the lengths of whole runs: of photographs, and one of tiny images.
    """

    images: int = 192
    small: int = 4000
    rounds: int = 5
    lengths: Sequence[int] = (8, 600)
    tiny: int = 20_000
    devices: Sequence[str] = ("cpu", "openvino")


QUICK = Amount(images=8, small=100, rounds=1, lengths=(8,), tiny=200, devices=("cpu",))


@click.command()
@click.option("--name", required=True, help="Name of the machine, for the name of the result.")
@click.option("--images", type=int, help=f"Photographs of 600x450.  [default: {Amount.images}]")
@click.option("--small", type=int, help=f"Tiny images for the engine's own cost.  [default: {Amount.small}]")
@click.option("--rounds", type=int, help=f"Rounds of each measurement; the median counts.  [default: {Amount.rounds}]")
@click.option("--length", "lengths", type=int, multiple=True, help="Photographs of a whole run.  [default: 8, 600]")
@click.option("--tiny", type=int, help=f"Tiny images of a whole run, from a tar.  [default: {Amount.tiny}]")
@click.option("--model", type=click.Path(path_type=Path), help="Model file.  [default: the bundled one]")
@click.option("--device", "devices", multiple=True, help="[default: cpu, openvino]")
@click.option("--quick", is_flag=True, help="Use small amounts for all options that are not given.")
def main(name: str, model: Path | None, quick: bool, **amounts: Any) -> None:
    """Measure, print, write the figures."""
    amount = replace(QUICK if quick else Amount(), **{key: value for key, value in amounts.items() if value})
    with tempfile.TemporaryDirectory() as folder:
        figures = _figures(Path(folder), model or bundled_model(), amount)
    write_text(RESULTS / f"{name}-engine.json", json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures, indent=2))


def _figures(root: Path, path: Path, amount: Amount) -> dict[str, Any]:
    write_set(root / "photos", amount.images, [(450, 600)], 1)
    write_set(root / "tiny", amount.small, [(SMALL, SMALL)], 2)
    photos, null, rounds = root / "photos" / "images", null_model(root / "null.onnx"), amount.rounds
    return {
        "machine": machine(),
        "model": path.name,
        "rates": [row for device in amount.devices for row in _possible(device, path, photos, root, rounds)],
        "own_cost": _own_cost(null, root / "tiny" / "images", root, rounds),
        "lengths": list(_lengths(path, null, photos, root, amount)),
        "first_mask": [_first_mask(device, path, photos, root, rounds) for device in amount.devices],
    }


def _possible(device: str, path: Path, images: Path, root: Path, rounds: int) -> list[dict[str, Any]]:
    """Return the rates of the parts and of the engine on one device; empty where it cannot be opened."""
    try:
        model = open_model(path, device, batch=CPU_BATCH)
    except DeviceError as error:
        click.echo(f"not measured: {error}", err=True)
        return []
    infer, host = [], []
    rates: dict[int | None, list[float]] = {1: [], None: []}
    for _ in range(rounds):
        infer.append(infer_seconds(model, CPU_BATCH))
        host.append(host_seconds(model, [images], root / "host"))
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


@dataclass
class _Cost:
    """Seconds of CPU time for all images, a value a round: of plain loops, of the engine, and of its own process."""

    loops: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    here: list[float] = field(default_factory=list)


def _own_cost(path: Path, images: Path, root: Path, rounds: int) -> list[dict[str, Any]]:
    """Return milliseconds of CPU time an image, for one worker and one a core: of plain loops in as many processes at
    once, for two cores at work share what is not theirs alone, and of the engine.
    """
    count = len(tasks_of([images]))
    costs = {processes: _Cost() for processes in (1, cores())}
    for _ in range(rounds):
        for processes, cost in costs.items():
            settings = RunSettings((str(images),), root / "out", path, "cpu", processes=processes)
            looped = partial(_looped, path, images, root / "loop", processes)
            cost.loops.append(_beyond_opening(looped, count, processes)[0])
            engine, here = _beyond_opening(partial(_limited, settings), count, processes)
            cost.engine.append(engine)
            cost.here.append(here)
    return [
        {
            "processes": processes,
            "images": count,
            "plain_loop_ms": round(1000 * statistics.median(cost.loops) / count, 3),
            "engine_ms": round(1000 * statistics.median(cost.engine) / count, 3),
            "own_ms": round(1000 * (statistics.median(cost.engine) - statistics.median(cost.loops)) / count, 3),
            "own_process_ms": round(1000 * statistics.median(cost.here) / count, 3),
        }
        for processes, cost in costs.items()
    ]


def _beyond_opening(work: Callable[[int], object], count: int, processes: int) -> tuple[float, float]:
    """Return the CPU time of work on all images, less that of opening and working on one in each process: of all
    processes together, and of this one.
    """
    both, opening = _cpu_seconds(partial(work, count)), _cpu_seconds(partial(work, processes))
    return both[0] - opening[0], both[1] - opening[1]


def _looped(path: Path, images: Path, out: Path, processes: int, count: int) -> None:
    plain_loops(path, images, out, processes, count)
    shutil.rmtree(out)


def _limited(settings: RunSettings, count: int) -> None:
    run_rate(replace(settings, limit=count))
    shutil.rmtree(settings.out)


def _cpu_seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU time of work: of this process with those that it starts and ends, and of this one."""

    def used() -> list[float]:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return [usage.ru_utime + usage.ru_stime for usage in usages]

    start = used()
    work()
    here, elsewhere = (after - before for before, after in zip(start, used(), strict=True))
    return here + elsewhere, here


def _lengths(path: Path, null: Path, photos: Path, root: Path, amount: Amount) -> Iterator[dict[str, Any]]:
    """Yield the times of whole commands, including start-up."""
    for count in amount.lengths:
        source = _linked(photos, root / f"photos-{count}", count)
        for device in amount.devices:
            yield _whole(source, path, device, count, root / "whole", amount.rounds)
    if amount.tiny:
        yield _whole(write_tar(root / "tiny.tar", amount.tiny), null, "cpu", amount.tiny, root / "whole", amount.rounds)


def _linked(photos: Path, folder: Path, count: int) -> Path:
    """Make a folder with ``count`` links to these photographs, and return it."""
    folder.mkdir()
    files = sorted(photos.iterdir())
    for number in range(count):
        os.link(files[number % len(files)], folder / f"{number:06}.jpg")
    return folder


def _whole(source: Path, model: Path, device: str, count: int, out: Path, rounds: int) -> dict[str, Any]:
    ended = []
    for _ in range(rounds):
        ended.append(
            watched(run_arguments(source, out, model, device), lambda: next(out.rglob("*.png"), None) is not None)
        )
        shutil.rmtree(out)
    seconds = statistics.median(one.seconds for one in ended)
    return {
        "images": count,
        "model": model.name,
        "device": device,
        "seconds": round(seconds, 2),
        "images_per_second": round(count / seconds, 1),
        "first_mask_seconds": round(statistics.median(one.first_mask for one in ended), 2),
        "peak_megabytes": round(max(one.megabytes for one in ended)),
    }


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
