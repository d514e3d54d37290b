"""A simulated cluster job: units of images on workers that start late, are slow or are preempted.

Two ways to share the units out. *Hand-out*: one driver gives the next unit to the next free worker, as Ray does; its
time per unit is serial. *Shards*: worker k does units k, k + n, k + 2n, ...; there is no driver. A unit that is
interrupted starts again from its first image; units that are done are kept.

Costs of images are drawn once for runs of neighbours, so that every size of unit has the same work to do. A worker can
be preempted only while it has a unit. What it loses of a unit is counted in proportion to the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.simulated.job import ClusterJob, Drawn


@dataclass(frozen=True)
class Outcome:
    """What came of a job. ``seconds``: until the last unit is committed. ``commits``: of each unit.

    ``lost_images``: segmented in attempts that were preempted. ``driver_seconds``: of the driver's work; 0 without one.
    """

    seconds: float
    commits: NDArray[np.int64]
    attempts: int
    lost_images: float
    driver_seconds: float = 0.0


def hand_out(job: ClusterJob, drawn: Drawn, seed: int) -> Outcome:
    """Simulate a driver that gives the next unit to the next free worker; units of preempted workers come first."""
    random = np.random.default_rng((seed, 3))
    work, sizes, lives, pace = drawn.work.tolist(), drawn.sizes, drawn.lives.tolist(), (1 / drawn.rates).tolist()
    overhead, driver, again, units = job.unit_overhead_seconds, job.driver_seconds_per_unit, _again(job), job.units
    commits = [0] * units
    # When workers are free, and as ~unit, when units come back; sorted, so a heap.
    events = [(job.startup_seconds, worker) for worker in range(job.workers)]
    returned, idle = list[int](), list[int]()
    fresh = attempts = 0
    driver_free = end = lost = 0.0
    while events:
        now, who = events[0]
        if who < 0:
            heappop(events)
            returned.append(~who)
            if idle:
                heappush(events, (now, idle.pop()))
            continue
        if returned:
            unit = returned.pop()
        elif fresh < units:
            unit = fresh
            fresh += 1
        else:
            heappop(events)
            idle.append(who)
            continue
        attempts += 1
        driver_free = (driver_free if driver_free > now else now) + driver
        seconds, life = overhead + work[unit] * pace[who], lives[unit]
        if life >= seconds:
            commits[unit] += 1
            until = driver_free + seconds
            end = until if until > end else end
            heapreplace(events, (until, who))
        else:
            lost += float(sizes[unit]) * life / seconds
            lives[unit] = random.standard_exponential() * drawn.mean_life
            heapreplace(events, (driver_free + life + again, who))
            heappush(events, (driver_free + life, ~unit))
    return Outcome(end, np.array(commits), attempts, lost, attempts * driver)


def shards(job: ClusterJob, drawn: Drawn, seed: int) -> Outcome:
    """Simulate fixed shards; a preempted worker starts again with the unit that it lost."""
    random = np.random.default_rng((seed, 3))
    owner = np.arange(job.units) % job.workers
    seconds = job.unit_overhead_seconds + drawn.work / drawn.rates[owner]
    taken, lives = seconds.copy(), drawn.lives
    commits = np.zeros(job.units, np.int64)
    open_units = np.arange(job.units)
    attempts, lost = 0, 0.0
    while open_units.size:
        attempts += open_units.size
        is_lost = lives < seconds[open_units]
        commits[open_units[~is_lost]] += 1
        open_units, lives = open_units[is_lost], lives[is_lost]
        lost += float((drawn.sizes[open_units] * lives / seconds[open_units]).sum())
        taken[open_units] += lives + _again(job)
        lives = random.standard_exponential(open_units.size) * drawn.mean_life
    ends = job.startup_seconds + np.bincount(owner, taken)
    return Outcome(float(ends.max()), commits, attempts, lost)


def _again(job: ClusterJob) -> float:
    return job.restart_seconds + job.startup_seconds
