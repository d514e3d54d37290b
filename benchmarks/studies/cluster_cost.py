"""What a unit of ``seg-batch cluster`` costs beside its images: CPU time, requests, bytes.

``python -m benchmarks.studies.cluster_cost --json FILE`` measures with tiny images and a network that computes nothing:

- the CPU time of the process that hands out units, the driver, for units of several sizes; of Ray with
  ``--engine ray``, where it does not hold that of Ray's other processes;
- the CPU time per image of a unit, beside that of ``seg-batch run`` on the same images, by turns;
- the seconds of a unit that do not depend on its images, and the steps that they are made of, with the job in a folder
  and in a bucket on loopback, which answers without a network;
- the bytes per image of a part of the ledger and of the manifest, for files named in three ways.

``cluster_sim --measured FILE`` reads ``driver_seconds_per_unit`` (of the cheapest size of unit),
``unit_overhead_seconds`` (of the bucket) and ``images_per_second``: of a worker that computes nothing, faster than any
real one on these cores, so that what is beside the images counts most. Takes some minutes; ``--quick`` takes little of
everything: does it work?
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from benchmarks.support.cluster_rows import NAMES, PartSizes, part_sizes
from benchmarks.support.loopback_s3 import loopback_s3
from benchmarks.support.null_network import null_model
from benchmarks.support.places import machine
from benchmarks.support.unit_costs import DriverCost, FixedCost, WayCost, costs_of_ways, driver_cost, fixed_cost
from seglab.cli_support import begin_command
from seglab.files import write_text

UNIT_WAY, RUN_WAYS = "unit, into a tar", ("run, into a tar", "run, into a folder")
MOST_RATIO, MOST_BYTES = 1.1, 80
"""Goals: CPU time of a unit to that of a run, both into a tar, and bytes of the ledger per image."""


@dataclass(frozen=True)
class Amount:
    """How much is measured. ``units``: for each size of unit, their number. ``images``: of the unit that is compared
    with runs. ``single``: units of one image. ``rows``: of a part. ``rounds``: of each measurement.
    """

    units: Mapping[int, int] = field(default_factory=lambda: {100: 51, 1000: 11, 10_000: 3})
    images: int = 5000
    single: int = 30
    rows: int = 5000
    rounds: int = 3


QUICK = Amount({5: 6, 20: 3}, images=40, single=3, rows=500, rounds=1)


@click.command()
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--rounds", type=int, help=f"Rounds of each measurement; the median counts.  [default: {Amount.rounds}]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures as JSON.")
@click.option("--quick", is_flag=True, help="Measure little.")
def main(engine: str, rounds: int | None, json_file: Path | None, quick: bool) -> None:
    """Measure, print tables, write the figures."""
    begin_command()
    amount = QUICK if quick else Amount()
    amount = replace(amount, rounds=rounds or amount.rounds)
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(engine, Path(folder), amount)
    if json_file:
        write_text(json_file, json.dumps(found.to_json(), indent=1) + "\n")
    click.echo("\n".join(found.lines()))


@dataclass(frozen=True)
class _Found:
    """``ways``, ``fixed`` and ``sizes``: by way, by place of the job, and by names of files."""

    engine: str
    drivers: list[DriverCost]
    ways: dict[str, WayCost]
    fixed: dict[str, FixedCost]
    sizes: dict[str, PartSizes]

    @property
    def ratios(self) -> dict[str, float]:
        """Return the CPU time of a unit divided by that of runs: the median of the rounds."""
        unit = self.ways[UNIT_WAY].cpu
        return {
            way: statistics.median(new / old for new, old in zip(unit, self.ways[way].cpu, strict=True))
            for way in RUN_WAYS
        }

    @property
    def overhead(self) -> dict[str, float]:
        """Return the seconds of a unit that do not depend on its images, for each place of the job."""
        image = statistics.median(self.ways[UNIT_WAY].wall)
        return {place: cost.seconds - image for place, cost in self.fixed.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the medians."""
        return {
            "format_version": 1,
            "machine": machine(),
            "engine": self.engine,
            "driver_seconds_per_unit": min(cost.cpu for cost in self.drivers),
            "unit_overhead_seconds": self.overhead["bucket"],
            "images_per_second": 1 / statistics.median(self.ways[UNIT_WAY].wall),
            "driver": [
                {
                    "unit": cost.unit,
                    "units": cost.units,
                    "seconds_per_unit": cost.cpu,
                    "seconds_per_image": cost.cpu / cost.unit,
                    "unit_takes_seconds": cost.wall,
                }
                for cost in self.drivers
            ],
            "cpu_seconds_per_image": {way: statistics.median(cost.cpu) for way, cost in self.ways.items()},
            "unit_to_run": self.ratios,
            "unit_seconds": self.overhead,
            "steps_seconds": {place: cost.steps for place, cost in self.fixed.items()},
            "bytes_per_image": {names: sizes._asdict() for names, sizes in self.sizes.items()},
        }

    def lines(self) -> Iterator[str]:
        """Yield it as tables."""
        yield f"{machine()}; a network that computes nothing, tiny images. Medians.\n"
        yield f"| images per unit | s per unit | driver ({self.engine}), CPU ms per unit | CPU us per image |"
        yield "| --- | --- | --- | --- |"
        for each in self.drivers:
            costs = f"{1e3 * each.cpu:.3f} | {1e6 * each.cpu / each.unit:.3f}"
            yield f"| {each.unit:,} | {each.wall:.2f} | {costs} |"
        yield "\nA driver's own threads use some CPU time while it waits: more in units that take longer."
        yield "\n| way | CPU ms per image | unit to this |\n| --- | --- | --- |"
        for way, cost in self.ways.items():
            ratio = f"{self.ratios[way]:.3f}" if way in self.ratios else ""
            yield f"| {way} | {1e3 * statistics.median(cost.cpu):.3f} | {ratio} |"
        yield f"\nGoal: a unit costs at most {MOST_RATIO} of a run into a tar.\n"
        yield f"| step of a unit, ms | {' | '.join(self.fixed)} |\n{'| --- ' * (len(self.fixed) + 1)}|"
        for step in next(iter(self.fixed.values())).steps:
            yield f"| {step} | {' | '.join(f'{1e3 * cost.steps[step]:.2f}' for cost in self.fixed.values())} |"
        yield f"| all but its images | {' | '.join(f'{1e3 * seconds:.2f}' for seconds in self.overhead.values())} |"
        yield "\nThe bucket is on loopback: a network adds its delay to each step.\n"
        yield "| names of files | ledger, bytes per image | manifest |\n| --- | --- | --- |"
        for names, (ledger, manifest) in self.sizes.items():
            yield f"| {names} | {ledger:.1f} | {manifest:.1f} |"
        yield f"\nGoal: at most {MOST_BYTES} bytes of the ledger; 32 are a mask's SHA-256, 16 an image's ETag."


def _measured(engine: str, root: Path, amount: Amount) -> _Found:
    model = null_model(root / "null.onnx")
    ways = costs_of_ways(amount.images, root, model, amount.rounds)
    fixed = {"folder": fixed_cost(amount.single, str(root / "single"), root, model)}
    with loopback_s3() as bucket:
        fixed["bucket"] = fixed_cost(amount.single, f"{bucket}/single", root, model)
    drivers = [driver_cost(engine, unit, units, root, model, amount.rounds) for unit, units in amount.units.items()]
    sizes = {names: part_sizes(names, amount.rows) for names in NAMES}
    return _Found(engine, drivers, ways, fixed, sizes)


if __name__ == "__main__":
    main()
