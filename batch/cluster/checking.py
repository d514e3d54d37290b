"""Check the masks of a job against its ledger, and remove what no part of the ledger points to."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.cluster.files.job import OpenJob
from batch.cluster.files.names import ATTEMPTS, MASKS, TAR, Attempt, UnitName
from batch.cluster.files.parts import DamagedPartError, Row, read_rows, read_summary
from batch.cluster.files.place import UNFINISHED, Place, local_folder
from batch.cluster.stored_masks import StoredMasks
from batch.cluster.units import summaries, units_of
from batch.errors import printable
from seglab.files import TEMPORARY
from seglab.words import counted

SHOWN = 20
ABANDONED_SECONDS = 24 * 3600
"""An unfinished file that is older is no worker's any more."""


@dataclass
class Verified:
    """``wrong``: masks that are missing or changed, with why. ``units``: that they belong to. ``redone``: whether the
    next run does these units again.
    """

    masks: int = 0
    pending: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    redone: bool = False

    @property
    def is_whole(self) -> bool:
        """Return whether every mask is there and unchanged."""
        return not self.wrong

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        wrong = [{"mask": mask, "reason": why} for mask, why in self.wrong]
        return {"masks": self.masks, "units_pending": self.pending, "wrong": wrong, "units": self.units}

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        yield f"{counted(self.masks, 'mask')} checked, {len(self.wrong):,} missing or wrong"
        if self.pending:
            yield f"  {counted(self.pending, 'unit')} to do"
        yield from (f"  {printable(mask)}: {why}" for mask, why in self.wrong[:SHOWN])
        if len(self.wrong) > SHOWN:
            yield f"  and {len(self.wrong) - SHOWN:,} more"
        if self.wrong and self.redone:
            yield f"  the next run does {counted(len(self.units), 'unit')} again"
        elif self.wrong:
            yield "  `seg-batch cluster verify --redo` lets the next run make them again"


def verify(job: OpenJob, *, redo: bool = False, advance: Callable[[int], None] = lambda _total: None) -> Verified:
    """Read every mask and compare its SHA-256. ``redo``: let the next run do units with wrong masks again.

    ``advance``: is called after each mask, with the number of images of the job.

    Raises :class:`batch.errors.OutputError`.
    """
    units, found, masks = units_of(job), Verified(redone=redo), StoredMasks(job.place)
    found.pending = len(units.pending)
    for unit in sorted(units.done):
        before = len(found.wrong)
        for row in _done_rows(job.place, unit, found):
            found.masks += 1
            advance(job.job.images)
            if why := masks.read(row)[1]:
                found.wrong.append((row.mask, why))
        if len(found.wrong) > before:
            found.units.append(str(unit))
            if redo:
                _take_back(job.place, units.chains[unit.number], unit)
    return found


def _take_back(place: Place, chain: Sequence[UnitName], unit: UnitName) -> None:
    """Let a unit be done again, and the units that tried its failed images again, which depend on it."""
    for each in chain:
        if each >= unit:
            place.remove(each.ledger)


def _done_rows(place: Place, unit: UnitName, found: Verified) -> list[Row]:
    """Return the rows of a unit that have masks; none, and the reason in ``found``, if its part cannot be read."""
    try:
        summary_and_rows = read_rows(place, unit)
    except DamagedPartError:
        found.wrong.append((unit.ledger, "it is damaged"))
        return []
    return [row for row in summary_and_rows[1] if row.is_done] if summary_and_rows else []


@dataclass
class Cleaned:
    """What was removed: ``tars`` of attempts that do not count, ``marks`` of attempts that ended, ``unfinished`` files
    of processes that were killed. ``kept``: tars of units that are not done, which may still be in work.
    """

    tars: int = 0
    marks: int = 0
    unfinished: int = 0
    kept: int = 0

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        tars = counted(self.tars, "tar") + " of attempts that do not count"
        marks = counted(self.marks, "mark") + " of attempts"
        yield f"Removed: {tars}, {marks}, {counted(self.unfinished, 'unfinished file')}"
        if self.kept:
            yield f"  {counted(self.kept, 'tar')} of units that are not done were kept: a worker may be writing them"


def clean(job: OpenJob) -> Cleaned:
    """Remove what no part of the ledger points to. Nothing that a worker may still use is removed.

    Raises :class:`batch.errors.OutputError`.
    """
    found = Cleaned()
    tars = job.place.names(MASKS)  # first: those of units that are done meanwhile are not looked at
    counts = {summary.unit: summary.attempt for summary in summaries(job, units_of(job).done)}
    for name in tars:
        attempt = Attempt.of(name.removesuffix(TAR)) if name.endswith(TAR) else None
        if attempt is None:
            continue
        of_unit = counts.get(str(attempt.unit))
        if of_unit is None:
            found.kept += 1
        elif of_unit != attempt.id and not _counts_now(job.place, attempt):
            job.place.remove(attempt.tar)
            found.tars += 1
    for name in job.place.names(ATTEMPTS):
        unit = UnitName.of(name)
        if unit is not None and str(unit) in counts:
            found.marks += _remove_all(job.place, f"{ATTEMPTS}/{name}")
    folder = local_folder(job.place)
    if folder is not None:
        found.unfinished = _remove_abandoned(folder)
    return found


def _counts_now(place: Place, attempt: Attempt) -> bool:
    """Return whether an attempt's tar may count by now: its unit may have been done again since the look at all."""
    summary = read_summary(place, attempt.unit)
    return summary is None or summary.attempt == attempt.id


def _remove_all(place: Place, folder: str) -> int:
    names = place.names(folder)
    for name in names:
        place.remove(f"{folder}/{name}")
    return len(names)


def _remove_abandoned(folder: Path) -> int:
    count = 0
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above) / name
            is_ours = name.startswith(".") and (name.endswith(UNFINISHED) or TEMPORARY.fullmatch(path.stem))
            with contextlib.suppress(FileNotFoundError):  # its process has just finished it
                if is_ours and time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    path.unlink()
                    count += 1
    return count
