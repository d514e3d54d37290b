"""What a unit of a cluster job costs beside its images: on tiny images, with a network that computes nothing."""

from __future__ import annotations

import contextlib
import resource
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from batch.cluster.engines.worker import WorkerOptions
from batch.cluster.files.job import OpenJob
from batch.cluster.files.names import LEDGER, UnitName
from batch.cluster.files.place import Place
from batch.cluster.planning import PlanSettings, plan_job
from batch.cluster.unit import UnitResult, do_unit
from batch.cluster.units import units_of
from batch.executors.opening import open_for
from batch.executors.placement import share_out
from batch.running.runner import Runner
from batch.settings import RunSettings
from benchmarks.support.archives import write_tar
from export.runtime.model import Model

DEVICE, PRECISION = "cpu", "fp32"
STEPS = {
    ("read_end", "ledger"): "is it done",
    ("read", "manifest"): "read the part",
    ("write", "attempts"): "mark the attempt",
    ("names", "attempts"): "list attempts",
    ("upload", "masks"): "write the tar",
    ("create", "ledger"): "commit",
    ("remove", "attempts"): "remove the mark",
}
"""What a unit asks of the job's place: the call, and the folder that it is for."""
NO_STEPS = ("name", "where", "below")
"""Of a place, what asks nothing of a disk or bucket."""


def planned(images: int, unit: int, job: str, root: Path, model: Path) -> OpenJob:
    """Plan a job of this number of tiny images, and return it open."""
    settings = RunSettings((str(tiny_images(root, images)),), job, model, DEVICE, PRECISION)
    plan = plan_job(PlanSettings(settings, unit))
    return OpenJob(plan.job, plan.place)


def tiny_images(root: Path, images: int) -> Path:
    """Return a tar of this number of tiny images."""
    path = root / f"{images}.tar"
    return path if path.exists() else write_tar(path, images)


@dataclass(frozen=True)
class DriverCost:
    """Seconds per unit of ``unit`` images, medians of the rounds: ``cpu`` of the process that hands them out, and how
    long one takes, ``wall``, during which an engine's own threads use some of it, whatever they are for.
    """

    unit: int
    units: int
    cpu: float
    wall: float


def driver_cost(engine: str, unit: int, units: int, root: Path, model: Path, rounds: int) -> DriverCost:
    """Let an engine do units of this number of images with one worker, several times, and measure this process.

    It counts from the first result to the last, so without the start and the end of the engine.
    """
    job = str(root / f"units-of-{unit}")
    opened, cpu, wall = planned(unit * units, unit, job, root, model), list[float](), list[float]()
    for _ in range(rounds):
        _take_back(opened)
        results = _engine_run(engine, job, units_of(opened).all)
        with contextlib.closing(results):
            _require_done(next(results))
            cpu_before, begin = cpu_seconds(), time.perf_counter()
            for result in results:
                _require_done(result)
            cpu.append((cpu_seconds() - cpu_before) / (units - 1))
            wall.append((time.perf_counter() - begin) / (units - 1))
    return DriverCost(unit, units, statistics.median(cpu), statistics.median(wall))


def _engine_run(engine: str, job: str, units: Sequence[UnitName]) -> Generator[UnitResult]:
    options = WorkerOptions(DEVICE)
    if engine == "ray":
        from batch.cluster.engines.ray import RayEngine

        return RayEngine(job, options, None, 1, 0).run(units)
    from batch.cluster.engines.local import LocalEngine

    settings = RunSettings(job, job, device=DEVICE, processes=1)
    return LocalEngine(job, options, share_out(settings, few=False)).run(units)


@dataclass
class WayCost:
    """CPU and wall-clock seconds per image of one way to do the same images, one value a round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def costs_of_ways(images: int, root: Path, model: Path, rounds: int) -> dict[str, WayCost]:
    """Do the same images as a unit and as runs, in this process, by turns; return the costs of each way."""
    opened, source = planned(images, images, str(root / "ways"), root, model), tiny_images(root, images)
    (unit,) = units_of(opened).all
    settings = opened.job.settings(opened.place, model, DEVICE)
    ready = open_for(settings, threads=1)
    ways: dict[str, Callable[[], None]] = {
        "run, into a folder": lambda: _run(source, root / "masks", ready),
        "unit, into a tar": lambda: _require_done(do_unit(unit, settings, ready, opened)),
        "run, into a tar": lambda: _run(source, root / "masks.tar", ready),
    }
    costs = {way: WayCost() for way in ways}
    for number in range(rounds + 1):
        for way, work in ways.items():
            _take_back(opened)
            cpu, wall = cpu_seconds(), time.perf_counter()
            work()
            if number:  # the first round warms up
                costs[way].cpu.append((cpu_seconds() - cpu) / images)
                costs[way].wall.append((time.perf_counter() - wall) / images)
            for path in root.glob("masks*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return costs


def _run(source: Path, out: Path, model: Model) -> None:
    runner = Runner(RunSettings((str(source),), out, device=DEVICE, compute=PRECISION), model)
    failed = [result for result in runner if result.error]
    if failed:
        raise RuntimeError(failed[0].error)


@dataclass(frozen=True)
class FixedCost:
    """Seconds of a unit with one image: of all of it, and of each step on the job's place; medians over units."""

    seconds: float
    steps: dict[str, float]


def fixed_cost(units: int, job: str, root: Path, model: Path) -> FixedCost:
    """Do units of one image each in this process, and time what they ask of the job's place."""
    opened = planned(units + 1, 1, job, root, model)
    settings = opened.job.settings(opened.place, model, DEVICE)
    ready, totals, timed = open_for(settings, threads=1), list[float](), _TimedPlace(opened.place)
    for unit in units_of(opened).all:
        begin = time.perf_counter()
        _require_done(do_unit(unit, settings, ready, OpenJob(opened.job, cast(Place, timed))))
        totals.append(time.perf_counter() - begin)
    steps = {
        STEPS.get(call, " ".join(call)): statistics.median(seconds[1:])  # the first connects
        for call, seconds in timed.seconds.items()
    }
    return FixedCost(statistics.median(totals[1:]), steps)


class _TimedPlace:
    """A place that notes how long each call takes, by its name and folder."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._place, name)
        if name in NO_STEPS:
            return found

        def timed(file: str, *rest: object) -> object:
            begin = time.perf_counter()
            try:
                return found(file, *rest)
            finally:
                self.seconds[name, file.partition("/")[0]].append(time.perf_counter() - begin)

        return timed


def cpu_seconds() -> float:
    """Return the CPU time of this process, all its threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _require_done(result: UnitResult) -> None:
    if result.error is not None or result.failed or result.was_done:
        raise RuntimeError(f"{result.unit}: {result.error or result.reasons or 'was done'}")


def _take_back(opened: OpenJob) -> None:
    """Make all units undone."""
    for name in opened.place.names(LEDGER):
        opened.place.remove(f"{LEDGER}/{name}")
