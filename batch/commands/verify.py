"""``seg-batch verify``: every mask read again and compared with what the ledger says of it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.errors import encodable, printable
from batch.ledger.lock import locked
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.ledger.writer import reopen
from batch.outputs.png import decode_mask
from batch.outputs.reading import StoredMasks, output_of, read_stored, reading
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
        """Is every mask on record as it was written, and is there nothing else? (Images that failed are no masks.)"""
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
        """Yield what a person reads."""
        yield (
            f"{self.matching} masks as the ledger says, {len(self.wrong)} not; {self.failed} images failed, "
            f"{self.pending} pending; {len(self.strays)} stray files"
        )
        yield from _first(f"wrong: {printable(mask)}: {printable(reason)}" for mask, reason in self.wrong.items())
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
    output = output_of(out)
    with _held(output) if redo else contextlib.nullcontext():
        with reading(output) as (masks, ledger):
            _compare_all(masks, ledger, report, advance)
        with reading(output) as (masks, ledger):  # as it is by now: a run may have gone on meanwhile
            _look_again(masks, ledger, report)
            counts = ledger.counts()
        report.failed, report.pending = counts["failed"], counts["pending"]
        if redo and report.wrong:
            reopen(output.state, report.wrong)
            report.reopened = True
    return report


@contextlib.contextmanager
def _held(output: Output) -> Iterator[None]:
    """Hold an output that has a ledger, so that no run changes it."""
    with LedgerReader(output.state):
        pass
    with locked(output.state):
        yield


def _compare_all(
    masks: StoredMasks, ledger: LedgerReader, report: VerifyReport, advance: Callable[[int], object]
) -> None:
    total, classes = ledger.counts()["done"], ledger.classes()
    for entry, reason in map_ahead(lambda entry: _reason(masks, entry, classes), ledger.done_entries()):
        if reason is None:
            report.matching += 1
        else:
            report.wrong[entry.mask] = reason
        advance(total)
    report.strays = [name for name in masks.names() if not ledger.has_mask(name)]


def _look_again(masks: StoredMasks, ledger: LedgerReader, report: VerifyReport) -> None:
    """Compare what seemed wrong or stray with a ledger that was opened later."""
    classes = ledger.classes()
    for mask in list(report.wrong):
        entry = ledger.done_entry(mask)
        reason = None if entry is None else _reason(masks, entry, classes)
        if reason is not None:
            report.wrong[mask] = reason
            continue
        del report.wrong[mask]
        report.matching += entry is not None
    report.strays = sorted(name for name in report.strays if not ledger.has_mask(name))


def _reason(masks: StoredMasks, entry: DoneEntry, classes: Mapping[str | None, int]) -> str | None:
    """Return why a mask is not the one that was written, or None. Its hash tells; older ledgers have figures only.

    ``classes``: of the models, by key.
    """
    try:
        data = read_stored(masks, entry.mask)
    except ImageError as error:
        return str(error)
    if entry.sha256 is not None and hashlib.sha256(data).hexdigest() == entry.sha256:
        return None
    difference = _difference(data, entry, classes.get(entry.key, 1))
    if entry.sha256 is None:
        return difference
    return f"changed since it was written: {difference or 'same size, area and box, another file'}"


def _difference(data: bytes, entry: DoneEntry, classes: int) -> str | None:
    try:
        return _measured(decode_mask(data, classes), entry)
    except (DataError, ImageError) as error:
        return str(error)


def _measured(mask: NDArray[np.uint8], entry: DoneEntry) -> str | None:
    """Compare a mask, uint8 ``(H, W)``, with the figures of the ledger."""
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
