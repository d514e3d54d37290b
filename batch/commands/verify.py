"""``seg-batch verify``: read every mask and compare it with the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.errors import encodable, printable
from batch.ledger.lock import locked
from batch.ledger.reader import LedgerReader
from batch.ledger.writer import reopen
from batch.outputs.reading import StoredMasks, output_of, reading
from batch.outputs.spec import Output
from batch.reporting.as_written import why_wrong
from batch.sources.ahead import map_ahead
from seglab.words import counted, noun

FORMAT_VERSION = 1
SHOWN = 20


@dataclass
class VerifyReport:
    """The findings. ``wrong``: masks that differ from the ledger, with the reason; ``strays``: PNG files that belong to
    no image. ``reopened``: whether the next run will make the wrong masks again.
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
        """Return whether every recorded mask is as it was written, and no stray file exists."""
        return not (self.wrong or self.strays)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "out": encodable(str(self.out)),
            "matching": self.matching,
            "wrong": {encodable(mask): reason for mask, reason in self.wrong.items()},
            "strays": [encodable(name) for name in self.strays],
            "failed": self.failed,
            "pending": self.pending,
            "reopened": self.reopened,
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        match = noun(self.matching, "matches", "match")
        masks = f"{counted(self.matching, 'mask')} {match} the ledger, {len(self.wrong):,} do not"
        images = f"{counted(self.failed, 'image')} failed, {self.pending:,} pending"
        yield f"{masks}; {images}; {counted(len(self.strays), 'stray file')}"
        yield from _first(f"wrong: {printable(mask)}: {printable(reason)}" for mask, reason in self.wrong.items())
        yield from _first(f"stray: {printable(name)}" for name in self.strays)
        if self.wrong and not self.reopened:
            yield "run verify with --redo, and the next run makes them again"
        elif self.wrong:
            yield "the next run makes them again"


def verify(out: Path, *, redo: bool = False, advance: Callable[[int], object] = lambda total: None) -> VerifyReport:
    """Compare the masks of an output with its ledger. ``redo``: let the next run remake wrong masks.

    ``advance`` is called after each mask with the number of all masks. Raises :class:`batch.errors.OutputError` if
    there is no ledger, or (``redo``) if a run is writing.
    """
    report = VerifyReport(out)
    output = output_of(out)
    with _held(output) if redo else contextlib.nullcontext():
        with reading(output) as (masks, ledger):
            _compare_all(masks, ledger, report, advance)
        with reading(output) as (masks, ledger):  # read again: a run may have gone on meanwhile
            _look_again(masks, ledger, report)
            counts = ledger.counts()
        report.failed, report.pending = counts["failed"], counts["pending"]
        if redo and report.wrong:
            reopen(output.state, report.wrong)
            report.reopened = True
    return report


@contextlib.contextmanager
def _held(output: Output) -> Iterator[None]:
    """Lock an output that has a ledger, so that no run changes it."""
    with LedgerReader(output.state):
        pass
    with locked(output.state):
        yield


def _compare_all(
    masks: StoredMasks, ledger: LedgerReader, report: VerifyReport, advance: Callable[[int], object]
) -> None:
    total, classes = ledger.counts()["done"], ledger.classes()
    for entry, reason in map_ahead(lambda entry: why_wrong(masks, entry, classes), ledger.done_entries()):
        if reason is None:
            report.matching += 1
        else:
            report.wrong[entry.mask] = reason
        advance(total)
    report.strays = [name for name in masks.names() if not ledger.has_mask(name)]


def _look_again(masks: StoredMasks, ledger: LedgerReader, report: VerifyReport) -> None:
    """Compare masks that seemed wrong or stray with the ledger as it is now."""
    classes = ledger.classes()
    for mask in list(report.wrong):
        entry = ledger.done_entry(mask)
        reason = None if entry is None else why_wrong(masks, entry, classes)
        if reason is not None:
            report.wrong[mask] = reason
            continue
        del report.wrong[mask]
        report.matching += entry is not None
    report.strays = sorted(name for name in report.strays if not ledger.has_mask(name))


def _first(lines: Iterable[str]) -> Iterator[str]:
    """Yield the first lines, and how many more there are."""
    hidden = 0
    for number, line in enumerate(lines):
        if number < SHOWN:
            yield line
        else:
            hidden += 1
    if hidden:
        yield f"and {hidden:,} more"
