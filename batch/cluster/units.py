"""Which units a job has, which are done, and units that try failed images again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batch.cluster.files.job import OpenJob
from batch.cluster.files.manifest import encode_part, read_part
from batch.cluster.files.names import LEDGER, MANIFEST, PARQUET, UnitName
from batch.cluster.files.parts import Summary, read_rows, read_summary
from batch.cluster.files.place import Place
from batch.errors import OutputError, printable
from seglab.words import counted

AT_ONCE = 16
"""Parts that are read at a time: storage answers many requests at once."""


@dataclass(frozen=True)
class Units:
    """The units of a job, in order, and those that are done."""

    all: tuple[UnitName, ...]
    done: frozenset[UnitName]

    @property
    def pending(self) -> list[UnitName]:
        """Return the units that are not done."""
        return [unit for unit in self.all if unit not in self.done]

    @property
    def chains(self) -> dict[int, list[UnitName]]:
        """Return, for each number, its unit and the units of what failed in it, in order."""
        found: dict[int, list[UnitName]] = {}
        for unit in self.all:
            found.setdefault(unit.number, []).append(unit)
        return found


def units_of(job: OpenJob) -> Units:
    """List the units of a job. Raises :class:`OutputError` if a part of the manifest is missing."""
    planned = _units_in(job.place, MANIFEST)
    numbers = {unit.number for unit in planned if unit.number < job.job.units}
    missing = job.job.units - len(numbers)
    if missing:
        first = next(number for number in itertools.count() if number not in numbers)
        raise OutputError(
            f"{printable(job.place.where(MANIFEST))} lacks {counted(missing, 'part')}, the first of them "
            f"{UnitName(first)}; expected {job.job.units:,}. Restore it, or plan the job at another place."
        )
    return Units(tuple(planned), frozenset(_units_in(job.place, LEDGER)) & frozenset(planned))


def _units_in(place: Place, folder: str) -> list[UnitName]:
    names = (UnitName.of(name.removesuffix(PARQUET)) for name in place.names(folder) if name.endswith(PARQUET))
    return sorted(unit for unit in names if unit is not None)


def summaries(job: OpenJob, units: Iterable[UnitName]) -> Iterator[Summary]:
    """Read what the parts of these units say of them, several at a time; those that are not done are left out."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda unit: read_summary(job.place, unit), units):
            if found is not None:
                yield found


def plan_retries(job: OpenJob, units: Iterable[UnitName]) -> list[UnitName]:
    """Write units for the images that failed in these units, which are the last of their numbers; return them.

    Units that are still to be done get none. Two processes that do this at the same time write the same parts.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [unit for unit in pool.map(lambda unit: _plan_retry(job, unit), units) if unit is not None]


def _plan_retry(job: OpenJob, unit: UnitName) -> UnitName | None:
    found = read_rows(job.place, unit)
    failed = {row.mask for row in found[1] if not row.is_done} if found else set()
    if not failed:
        return None
    entries = [entry for entry in read_part(job.place, unit, job.job.key, job.job.plan) if entry.mask in failed]
    job.place.create(unit.again.manifest, encode_part(unit.again, entries, job.job.key, job.job.plan))
    return unit.again
