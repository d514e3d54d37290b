"""Figures of simulated jobs over several seeds, and what they say about the size of a unit."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from batch.commands.cluster.plan import DEFAULT_UNIT
from benchmarks.support.simulated.job import ClusterJob, Drawn, draw
from benchmarks.support.simulated.sharing import Outcome, hand_out, shards

OBJECTS_PER_UNIT, OTHER_OBJECTS = 3, 2
"""Manifest, tar of masks and ledger part; job.json and model.onnx."""
AS_GOOD = 0.01
"""Of efficiency: sizes of unit that differ by less are called equally good."""
FACTORS = (0.25, 4.0)
"""By which single parameters are changed to see what depends on them."""
CHANGED = (
    "driver_seconds_per_unit",
    "unit_overhead_seconds",
    "images_per_second",
    "slow_share",
    "preemptions_per_hour",
)
HAND_OUT, SHARDS = "hand-out", "shards"
Way = Callable[[ClusterJob, Drawn, int], Outcome]


@dataclass(frozen=True)
class Spread:
    """A figure over seeds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Row:
    """What a way of sharing out gives for a size of unit; medians of the seeds if there is one figure.

    ``unit_seconds``: of a unit of mean cost on a worker of mean rate. ``efficiency``: ideal time / ``seconds``.
    ``twice``: images segmented in vain / images. ``driver_busy``: share of ``seconds``, 0 without a driver.
    """

    workers: int
    unit: int
    units: int
    way: str
    unit_seconds: float
    seconds: float
    efficiency: Spread
    twice: Spread
    driver_busy: float
    objects: int


@dataclass(frozen=True)
class Change:
    """What a single parameter changes: the best size for hand-out, and the default by hand-out and in shards."""

    parameter: str
    value: float
    workers: int
    best_unit: int
    best_efficiency: float
    default_efficiency: float
    default_in_shards: float


def simulated(job: ClusterJob, seeds: int) -> list[Row]:
    """Return a row for each way of sharing out; both have the same workers and images, others for each seed."""
    runs = [
        (drawn.ideal_seconds, hand_out(job, drawn, seed), shards(job, drawn, seed))
        for seed, drawn in _drawn(job, seeds)
    ]
    ideals, *ways = zip(*runs, strict=True)
    return [_row(job, way, ideals, outcomes) for way, outcomes in zip((HAND_OUT, SHARDS), ways, strict=True)]


def _row(job: ClusterJob, way: str, ideals: Sequence[float], outcomes: Sequence[Outcome]) -> Row:
    lost_attempts = statistics.median(outcome.attempts - job.units for outcome in outcomes)
    return Row(
        job.workers, job.unit, job.units, way,
        unit_seconds=job.unit_overhead_seconds + min(job.unit, job.images) / job.images_per_second,
        seconds=statistics.median(outcome.seconds for outcome in outcomes),
        efficiency=_spread([ideal / outcome.seconds for ideal, outcome in zip(ideals, outcomes, strict=True)]),
        twice=_spread([outcome.lost_images / job.images for outcome in outcomes]),
        driver_busy=statistics.median(outcome.driver_seconds / outcome.seconds for outcome in outcomes),
        objects=OBJECTS_PER_UNIT * job.units + OTHER_OBJECTS + round(lost_attempts),
    )  # fmt: skip


def sensitivity(job: ClusterJob, gpus: Sequence[int], sizes: Sequence[int], seeds: int) -> Iterator[Change]:
    """Yield which size of unit is best if one parameter is changed; those that are 0 stay so.

    ``sizes`` contains :data:`DEFAULT_UNIT`.
    """
    for name in CHANGED:
        for factor in FACTORS if getattr(job, name) else ():
            value = factor * getattr(job, name)
            changed = replace(job, **{name: min(value, 1.0) if name == "slow_share" else value})
            for workers in gpus:
                here = replace(changed, workers=workers)
                found = {size: _efficiency(replace(here, unit=size), hand_out, seeds) for size in sizes}
                best = max(found, key=found.__getitem__)
                fixed = _efficiency(replace(here, unit=DEFAULT_UNIT), shards, seeds)
                yield Change(name, getattr(here, name), workers, best, found[best], found[DEFAULT_UNIT], fixed)


def _efficiency(job: ClusterJob, way: Way, seeds: int) -> float:
    return statistics.median(drawn.ideal_seconds / way(job, drawn, seed).seconds for seed, drawn in _drawn(job, seeds))


def _drawn(job: ClusterJob, seeds: int) -> Iterator[tuple[int, Drawn]]:
    return ((seed, draw(job, seed)) for seed in range(seeds))


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def losses(rows: Sequence[Row]) -> dict[int, float]:
    """Return for each size of unit how far hand-out is from the best size, on the cluster where it is farthest."""
    tables: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.way == HAND_OUT:
            tables.setdefault(row.workers, {})[row.unit] = row.efficiency.median
    sizes = {row.unit for row in rows}
    return {size: max(max(table.values()) - table[size] for table in tables.values()) for size in sorted(sizes)}


def best_sizes(rows: Sequence[Row]) -> list[int]:
    """Return the sizes of unit that are as good as the one with the smallest loss."""
    lost = losses(rows)
    return [size for size, loss in lost.items() if loss < min(lost.values()) + AS_GOOD]
