"""How far a job is: counted from the parts of its manifest and its ledger, whoever wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from batch.cluster.files.job import OpenJob
from batch.cluster.files.names import UnitName
from batch.cluster.files.parts import Summary
from batch.cluster.shards import Shard
from batch.cluster.units import Units, summaries, units_of
from batch.errors import printable
from seglab.progress_log import rate_text
from seglab.words import counted

WINDOW = timedelta(minutes=10)
"""The rate is that of the units that were finished so long before the last one."""
REASONS_SHOWN = 10


@dataclass(frozen=True)
class JobProgress:
    """The state of a job. ``images``, ``done``, ``failed``: of units that are done; an image that failed and was done
    later counts as done. ``rate``: images per second; None: not known yet.
    """

    where: str
    units: int
    units_done: int
    images_planned: int
    images: int
    done: int
    failed: int
    reasons: dict[str, int] = field(default_factory=dict)
    rate: float | None = None
    left_out: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def is_finished(self) -> bool:
        """Return whether all units are done."""
        return self.units_done == self.units

    @property
    def seconds_left(self) -> float | None:
        """Return how long the rest takes at the present rate; None if that is not known."""
        return None if not self.rate else (self.images_planned - self.images) / self.rate

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "job": self.where,
            "units": {"planned": self.units, "done": self.units_done, "pending": self.units - self.units_done},
            "images": {"planned": self.images_planned, "done": self.done, "failed": self.failed},
            "images_per_second": self.rate,
            "seconds_left": self.seconds_left,
            "reasons": self.reasons,
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """Yield it as a person reads it."""
        yield f"{self.units_done:,} of {counted(self.units, 'unit')} done: {printable(self.where)}"
        yield (
            f"  {self.done:,} of {counted(self.images_planned, 'image')} have masks, {self.failed:,} failed, "
            f"{self.images_planned - self.done - self.failed:,} to do"
        )
        if self.rate:
            left = f", about {_duration(self.seconds_left or 0)} left" if not self.is_finished else ""
            yield f"  {rate_text(self.rate)} images/s{left}"
        for reason, count in list(self.reasons.items())[:REASONS_SHOWN]:
            yield f"  {count:,} failed: {printable(reason)}"
        if len(self.reasons) > REASONS_SHOWN:
            yield f"  and {counted(len(self.reasons) - REASONS_SHOWN, 'other reason')}"
        yield from (f"  {note}" for note in (*self.left_out, *self.notes))


class Watched:
    """A job whose progress is asked for several times: parts that are known are not read again."""

    def __init__(self, job: OpenJob) -> None:
        self._job, self._known = job, dict[UnitName, Summary]()

    def look(self, share: Shard | None = None) -> JobProgress:
        """Return the progress now, of the whole job or of the units of a share.

        Raises :class:`batch.errors.OutputError`.
        """
        units = units_of(self._job)
        if share is not None:
            units = Units(tuple(share.pick(units.all)), frozenset(share.pick(sorted(units.done))))
        news = [unit for unit in units.done if unit not in self._known]
        self._known.update((_name(found), found) for found in summaries(self._job, news))
        known = {unit: self._known[unit] for unit in units.done if unit in self._known}
        return _progress(self._job, units, known)


def _name(found: Summary) -> UnitName:
    name = UnitName.of(found.unit)
    assert name is not None  # it was checked when the part was read
    return name


def _progress(job: OpenJob, units: Units, known: dict[UnitName, Summary]) -> JobProgress:
    images = failed = 0
    reasons: Counter[str] = Counter()
    for chain in units.chains.values():
        found = [known[unit] for unit in chain if unit in known]
        if chain[0] in known:
            images += found[0].images
            failed += found[-1].failed
            reasons.update(found[-1].reasons)
    done = images - failed
    notes = sorted({note for summary in known.values() for note in summary.notes})
    return JobProgress(
        job.place.where(), len(units.chains), _finished(units), job.job.images, images, done, failed,
        dict(reasons.most_common()), _rate(list(known.values())), job.job.left_out, notes,
    )  # fmt: skip


def _finished(units: Units) -> int:
    """Return how many units are done, and all that try their failed images again."""
    return sum(all(unit in units.done for unit in chain) for chain in units.chains.values())


def _rate(found: Sequence[Summary]) -> float | None:
    """Return how many images were finished per second lately."""
    if not found:
        return None
    spans = sorted((datetime.fromisoformat(each.began_at), datetime.fromisoformat(each.finished_at)) for each in found)
    since = max(end for _, end in spans) - WINDOW
    busy, until = 0.0, since
    for begin, end in spans:  # while no machine worked, no time passes
        busy += max(0.0, (end - max(begin, until)).total_seconds())
        until = max(until, end)
    images = sum(each.images for each in found if datetime.fromisoformat(each.finished_at) > since)
    return images / max(busy, 1.0)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole >= 3600 else f"{whole // 60} min"
