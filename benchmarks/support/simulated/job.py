"""A simulated cluster job: its parameters, and what chance decides before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AT_LEAST = {"workers": 1, "unit": 1, "images": 1, "alike": 1, "slow_factor": 1}
"""What parameters must be; 0 for the others."""
LARGEST_EXPONENT = 12.0
"""Of exp(preemptions in the longest unit), which is about how many attempts such a unit takes."""


def _assumed(default: float, meaning: str, source: str) -> Any:
    return field(default=default, metadata={"meaning": meaning, "source": source})


@dataclass(frozen=True)
class ClusterJob:
    """The job and the cluster. ``meaning`` and ``source`` of each parameter are in its metadata."""

    workers: int
    unit: int
    images: int = 100_000_000
    images_per_second: float = _assumed(
        500.0,
        "Images/s of a worker.",
        "no GPU was measured; 1.3 cores read and write as many (docs/explanation/speed.md)",
    )
    rate_spread: float = _assumed(
        0.05, "Spread of that rate over workers (sigma of its logarithm).", "machines of one kind"
    )
    slow_share: float = _assumed(0.02, "Share of workers that are slow all the time.", "1 of 50, as a guess")
    slow_factor: float = _assumed(3.0, "How many times slower those are.", "a neighbour takes cores or network")
    alike: int = _assumed(1000, "Images in a row that cost the same.", "archives are in order of camera and study")
    tail: float = _assumed(
        3.0,
        "Exponent of the Pareto distribution of those costs; inf: all alike.",
        "1 in 1,000 of them costs 7 times the mean",
    )
    startup_seconds: float = _assumed(20.0, "From a machine to the open model.", "container, imports, CUDA, model")
    unit_overhead_seconds: float = _assumed(
        0.5, "Of a unit, beside its images: read the manifest, write the tar, commit.", "five requests and a tar"
    )
    driver_seconds_per_unit: float = _assumed(
        0.005,
        "Driver's time per unit, one unit after the other.",
        "twice a task of Ray's release test many_tasks (2.8: 444 tasks/s)",
    )
    preemptions_per_hour: float = _assumed(
        0.05, "Preemptions of a worker per hour of work.", "spot machines: once in 20 hours"
    )
    restart_seconds: float = _assumed(
        120.0, "From a preemption to the next machine, before its start-up.", "a spot machine comes after two minutes"
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), AT_LEAST.get(each.name, 0)
            _expect(value >= least, each.name, value, f"{least} or more")
            _expect(math.isfinite(value) or each.name == "tail", each.name, value, "a finite number")
        _expect(self.images_per_second > 0, "images_per_second", self.images_per_second, "more than 0")
        _expect(self.slow_share <= 1, "slow_share", self.slow_share, "0 to 1")
        _expect(self.tail > 1, "tail", self.tail, "more than 1")

    @property
    def units(self) -> int:
        """Return how many units there are; the last may be smaller."""
        return -(-self.images // self.unit)


@dataclass(frozen=True)
class Drawn:
    """What chance decides before the start.

    ``rates``: images/s of each worker. ``ideal_seconds``: of the job, if all workers were sound and never waited.
    ``sizes``: images of each unit. ``work``: the same in images of mean cost; they add up to the images of the job.
    ``lives``: seconds after which the first attempt at each unit is preempted. ``mean_life``: inf without preemption.
    """

    rates: Floats
    ideal_seconds: float
    sizes: Floats
    work: Floats
    lives: Floats
    mean_life: float


def draw(job: ClusterJob, seed: int) -> Drawn:
    """Draw rates, costs and preemptions. Workers and costs of images do not depend on the size of units.

    Raises ValueError if preemption leaves the longest unit no chance to end.
    """
    of_workers, of_images, of_lives = (np.random.default_rng((seed, stream)) for stream in range(3))
    factors = np.exp(job.rate_spread * of_workers.standard_normal(job.workers) - job.rate_spread**2 / 2)
    nominal = job.images_per_second * factors
    is_slow = of_workers.permutation(job.workers) < round(job.slow_share * job.workers)
    rates = np.where(is_slow, nominal / job.slow_factor, nominal)
    starts = np.append(np.arange(0, job.images, job.unit), job.images)
    work = np.diff(_cost_before(job, starts, of_images))
    mean_life = 3600 / job.preemptions_per_hour if job.preemptions_per_hour else math.inf
    longest = job.unit_overhead_seconds + work.max() / rates.min()
    if longest / mean_life > LARGEST_EXPONENT:
        raise ValueError(
            f"A unit takes up to {longest:,.0f} s, and a worker is preempted every {mean_life:,.0f} s; expected units "
            "that can end. Make units smaller or preemptions rarer."
        )
    lives = of_lives.standard_exponential(job.units) * mean_life
    return Drawn(rates, float(job.images / nominal.sum()), np.diff(starts).astype(np.float64), work, lives, mean_life)


def _cost_before(job: ClusterJob, places: NDArray[np.int64], random: np.random.Generator) -> Floats:
    """Return what the images before each place cost together, in images of mean cost."""
    rows = -(-job.images // job.alike)
    costs = np.ones(rows) if math.isinf(job.tail) else 1 + random.pareto(job.tail, rows)
    bounds = np.minimum(np.arange(rows + 1) * job.alike, job.images)
    summed = np.append(0.0, np.cumsum(costs * np.diff(bounds)))
    before: Floats = np.interp(places, bounds, summed * (job.images / summed[-1]))
    return before


def _expect(is_right: bool, name: str, value: float, expected: str) -> None:
    if not is_right:
        raise ValueError(f"{name} is {value}; expected {expected}. Change it.")
