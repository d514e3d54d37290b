"""``seg-batch verify``: every mask read again and compared with what the ledger says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from batch.errors import printable
from batch.ledger.lock import locked
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.ledger.writer import reopen
from batch.outputs.base import Store, stored_mask
from batch.outputs.spec import Output
from batch.sources.ahead import map_ahead
from batch.steps.masks import bbox_of
from seglab.errors import DataError, ImageError

FORMAT_VERSION = 1
SHOWN = 20


@dataclass
class VerifyReport:
    """What was found. ``wrong``: masks that are not what the ledger says, with the reason; ``strays``: PNG files that
    are no image's mask. ``reopened``: the wrong ones will be done again by the next run.
    """

    out: Path
    matching: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    failed: int = 0
    pending: int = 0
    reopened: bool = False

    @property
    def is_whole(self) -> bool:
        """Has every image its mask, as it was written, and is there nothing else?"""
        return not (self.wrong or self.strays or self.failed or self.pending)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "out": printable(str(self.out)),
            "matching": self.matching,
            "wrong": {printable(mask): reason for mask, reason in self.wrong.items()},
            "strays": [printable(name) for name in self.strays],
            "failed": self.failed,
            "pending": self.pending,
            "reopened": self.reopened,
        }

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        yield (
            f"{self.matching} masks as the ledger says, {len(self.wrong)} not; {self.failed} images failed, "
            f"{self.pending} pending; {len(self.strays)} stray files"
        )
        yield from _first(f"wrong: {printable(mask)}: {reason}" for mask, reason in self.wrong.items())
        yield from _first(f"stray: {printable(name)}" for name in self.strays)
        if self.wrong and not self.reopened:
            yield "with --redo the next run makes these masks again"
        elif self.wrong:
            yield "the next run makes these masks again"


def verify(out: Path, *, redo: bool = False, advance: Callable[[int], object] = lambda total: None) -> VerifyReport:
    """Read the masks of an output folder again. ``redo``: let the next run do again what is wrong.

    ``advance`` is called after each mask with their number. Raises :class:`batch.errors.OutputError` where there is no
    ledger, or (``redo``) where another run is writing.
    """
    report = VerifyReport(out)
    output = Output.of(out)
    with output.reading() as store, LedgerReader(output.state) as ledger:
        counts = ledger.counts()
        report.failed, report.pending = counts["failed"], counts["pending"]
        for entry, reason in map_ahead(lambda entry: _reason(store, entry), ledger.done_entries()):
            if reason is None:
                report.matching += 1
            else:
                report.wrong[entry.mask] = reason
            advance(counts["done"])
        report.strays = [name for name in store.names() if not ledger.has_mask(name)]
    if redo and report.wrong:
        with locked(output.state):
            reopen(output.state, report.wrong)
        report.reopened = True
    return report


def _reason(store: Store, entry: DoneEntry) -> str | None:
    try:
        mask = stored_mask(store, entry.mask)
    except (DataError, ImageError) as error:
        return str(error)
    if mask.shape != (entry.height, entry.width):
        return f"{mask.shape[0]}x{mask.shape[1]} pixels; the ledger says {entry.height}x{entry.width}"
    area = int(cv2.countNonZero(mask))
    if area != entry.lesion_area:
        return f"{area} lesion pixels; the ledger says {entry.lesion_area}"
    found = bbox_of(mask) if area else None
    if found != entry.bbox:
        return f"the lesion's box is {found}; the ledger says {entry.bbox}"
    return None


def _first(lines: Iterable[str]) -> Iterator[str]:
    """Yield the first lines, and how many more there are."""
    hidden = 0
    for number, line in enumerate(lines):
        if number < SHOWN:
            yield line
        else:
            hidden += 1
    if hidden:
        yield f"and {hidden} more"
