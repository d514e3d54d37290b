"""How many images a unit of a cluster job should have: 100 million images on 64 and on 1,000 GPUs, simulated.

``python -m benchmarks.studies.cluster_sim [--measured FILE]`` compares a driver that hands out unit by unit (Ray) with
fixed shards (Slurm, Kubernetes, AWS Batch) for several sizes of unit: efficiency, work done twice, how busy the driver
is, objects in the bucket. Then it says what this means for the default, how much that depends on the parameters, and
what a simulation cannot show. FILE is what ``python -m benchmarks.studies.cluster_cost`` wrote; parameters that are
neither in it nor given as options are assumed, and the output says so. Takes half a minute.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import Any

import click

from batch.commands.cluster.plan import DEFAULT_UNIT
from benchmarks.support.simulated.figures import (
    AS_GOOD,
    HAND_OUT,
    OBJECTS_PER_UNIT,
    OTHER_OBJECTS,
    SHARDS,
    Change,
    Row,
    best_sizes,
    losses,
    sensitivity,
    simulated,
)
from benchmarks.support.simulated.job import ClusterJob
from seglab.files import write_text

GPUS = (64, 1000)
SIZES = (100, 500, 1000, 2000, DEFAULT_UNIT, 10_000, 50_000)
MEASURED = ("driver_seconds_per_unit", "unit_overhead_seconds", "images_per_second")
S3_READS = 5500
"""Reads per second and prefix that S3 promises (AWS, "Performance guidelines for Amazon S3")."""
LEAST_CHANGED = 1000
"""Smallest unit tried with changed parameters; smaller ones would take longer than all else."""
FILE = click.Path(path_type=Path)
PARAMETERS = {each.name: each for each in fields(ClusterJob) if each.metadata}
CANNOT = """What this cannot show:
- A bucket that slows down. {workers:,} GPUs read {reads:,.0f} images/s; S3 promises {s3:,} reads per second and prefix.
  Images that are single objects need {prefixes:,} prefixes or more, or must be read from archives.
- The network, and machines that share it.
- The engine beyond one time per unit: its start, its memory, growing and shrinking, a driver that fails. Here a worker
  waits until the driver has handed out its unit; an engine that hands out ahead hides that while the driver has time.
- Preemptions of many machines at once, or of machines that do not come back. Here they come one by one, during work.
- Workers that are slow for a time only. Here they are slow throughout, and no unit is started twice to overtake them.
- Units that crash or hang, failed images and their retry, `plan`, `collect` and `verify`."""


def read_measured(path: Path) -> dict[str, float]:
    """Return the parameters in a file of ``cluster_cost``. Raises :class:`click.ClickException` for another file."""
    try:
        report = json.loads(path.read_text())
        found = {name: float(report[name]) for name in MEASURED}
        if not all(math.isfinite(value) and value >= 0 for value in found.values()):
            raise ValueError(", ".join(f"{name} {value}" for name, value in found.items()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.ClickException(
            f"{path} has no measured parameters ({error}); expected numbers for {', '.join(MEASURED)}. "
            "Run `python -m benchmarks.studies.cluster_cost` again."
        ) from error
    return found


def _with_parameters(command: Callable[..., None]) -> Callable[..., None]:
    for name, each in reversed(PARAMETERS.items()):
        option, text = f"--{name.replace('_', '-')}", f"{each.metadata['meaning']} [assumed: {each.default}]"
        command = click.option(option, name, type=type(each.default), help=text)(command)
    return command


@click.command()
@click.option("--images", default=100_000_000, show_default=True, help="Images of the job.")
@click.option(
    "--workers", "gpus", type=int, multiple=True, default=GPUS, show_default=True, help="GPUs, one worker each."
)
@click.option("--unit", "sizes", type=int, multiple=True, default=SIZES, show_default=True, help="Images per unit.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Simulations of each case.")
@click.option("--measured", type=FILE, help="What cluster_cost wrote: a JSON file with measured parameters.")
@click.option("--json", "json_file", type=FILE, help="Write the figures as JSON.")
@_with_parameters
def main(
    images: int, gpus: Sequence[int], sizes: Sequence[int], seeds: int, measured: Path | None, json_file: Path | None,
    **given: float | None,
) -> None:  # fmt: skip
    """Simulate, print tables and what follows from them, write the figures."""
    found = read_measured(measured) if measured else {}
    options = {name: value for name, value in given.items() if value is not None}
    sources = {name: _source(each, measured, found, options) for name, each in PARAMETERS.items()}
    sizes = sorted({*sizes, DEFAULT_UNIT})
    try:
        job = ClusterJob(1, 1, images, **{**found, **options})  # type: ignore[arg-type]  # click gave the types
        rows = [
            row for count in gpus for size in sizes for row in simulated(replace(job, workers=count, unit=size), seeds)
        ]
        changes = list(sensitivity(job, gpus, [size for size in sizes if size >= LEAST_CHANGED], min(seeds, 3)))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if json_file:
        write_text(json_file, json.dumps(_report(job, sources, rows, changes), indent=1) + "\n")
    click.echo("\n".join(_page(job, sources, gpus, rows, changes)))


def _source(each: Field[Any], measured: Path | None, found: dict[str, float], options: dict[str, float]) -> str:
    if each.name in options:
        return "option"
    return f"measured: {measured}" if each.name in found else f"assumed: {each.metadata['source']}"


def _report(job: ClusterJob, sources: dict[str, str], rows: list[Row], changes: list[Change]) -> dict[str, Any]:
    parameters = {
        name: {"value": str(value) if math.isinf(value) else value, "source": source}
        for name, source in sources.items()
        for value in [getattr(job, name)]
    }
    return {
        "format_version": 1, "images": job.images, "parameters": parameters, "rows": [asdict(row) for row in rows],
        "default_unit": DEFAULT_UNIT, "best_units": best_sizes(rows), "changes": [asdict(each) for each in changes],
    }  # fmt: skip


def _page(
    job: ClusterJob, sources: dict[str, str], gpus: Sequence[int], rows: list[Row], changes: list[Change]
) -> Iterator[str]:
    yield "A simulation, not a measurement. Its parameters:\n"
    yield "| parameter | value | from |\n| --- | --- | --- |"
    for name, source in sources.items():
        yield f"| {name} | {getattr(job, name):g} | {source} |"
    for workers in gpus:
        ideal = job.images / job.images_per_second / workers
        yield (
            f"\n{job.images:,} images on {workers:,} GPUs: ideally {ideal:,.0f} s; with {job.startup_seconds:g} s of "
            f"start-up an efficiency of {ideal / (ideal + job.startup_seconds):.3f} at most.\n"
        )
        yield from _table([row for row in rows if row.workers == workers])
    yield "\nHand-out, shards: efficiency, which is ideal time / time of the job; median of the seeds (least-most)."
    yield "Driver busy: with hand-out. Twice: images segmented in vain / images."
    yield (
        f"Objects in the bucket: {OBJECTS_PER_UNIT} per unit, {OTHER_OBJECTS} more, and marks of lost attempts until "
        f"`clean`; `--masks objects` makes {job.images:,} masks instead of the tars.\n"
    )
    yield from _answer(job, gpus, rows)
    yield "\nOne parameter changed at a time:\n"
    yield f"| parameter | GPUs | hand-out: best unit | efficiency | with {DEFAULT_UNIT:,} | shards, {DEFAULT_UNIT:,} |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for each in changes:
        yield (
            f"| {each.parameter} {each.value:g} | {each.workers:,} | {each.best_unit:,} | {each.best_efficiency:.3f} | "
            f"{each.default_efficiency:.3f} | {each.default_in_shards:.3f} |"
        )
    reads = job.images_per_second * max(gpus)
    yield "\n" + CANNOT.format(workers=max(gpus), reads=reads, s3=S3_READS, prefixes=math.ceil(reads / S3_READS))


def _answer(job: ClusterJob, gpus: Sequence[int], rows: list[Row]) -> Iterator[str]:
    lost, best = losses(rows), best_sizes(rows)
    yield f"`seg-batch cluster plan` makes units of {DEFAULT_UNIT:,} images."
    for workers in gpus:
        handed = {row.unit: row.efficiency.median for row in rows if (row.workers, row.way) == (workers, HAND_OUT)}
        top = max(handed, key=handed.__getitem__)
        fixed = next(row for row in rows if (row.workers, row.unit, row.way) == (workers, DEFAULT_UNIT, SHARDS))
        yield (
            f"- {workers:,} GPUs: handed out, efficiency {handed[DEFAULT_UNIT]:.3f}; the best size is {top:,} with "
            f"{handed[top]:.3f}. In shards, {fixed.efficiency.median:.3f}."
        )
    listed = ", ".join(f"{size:,} ({lost[size]:.3f})" for size in best)
    yield (
        "Compared with the best size for each cluster, these lose least on the cluster that they suit least: "
        f"{listed}. Differences below {AS_GOOD} are not counted."
    )
    if DEFAULT_UNIT in best:
        yield "So the default fits these parameters. Of sizes equally good, a smaller one repeats less after a crash."
    else:
        yield f"The default loses {lost[DEFAULT_UNIT]:.3f}: with these parameters, plan with `--unit {best[0]}`."
    yield (
        f"Smaller units pay their {job.unit_overhead_seconds:g} s more often, keep the driver busy and leave more "
        "objects. With larger ones workers wait at the end for the last units, and a preemption loses more."
    )
    yield (
        "A shard ends when its own worker has done it, so one slow worker holds up the job, whatever the size of "
        "units. An array job of more shards than GPUs evens this out, for a start-up per shard; that is not simulated."
    )


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| images per unit | units | s per unit | hand-out | driver busy | twice | shards | twice | objects |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for dealt, fixed in zip(rows[::2], rows[1::2], strict=True):
        yield (
            f"| {dealt.unit:,} | {dealt.units:,} | {dealt.unit_seconds:.1f} | {_efficiency(dealt)} | "
            f"{dealt.driver_busy:.1%} | {dealt.twice.median:.4%} | {_efficiency(fixed)} | {fixed.twice.median:.4%} | "
            f"{dealt.objects:,} |"
        )


def _efficiency(row: Row) -> str:
    return f"{row.efficiency.median:.3f} ({row.efficiency.least:.3f}-{row.efficiency.most:.3f})"


if __name__ == "__main__":
    main()
