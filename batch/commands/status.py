"""``seg-batch status``: the progress of an output, the models that made it, and its failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.commands.screen.highlights import Highlights, look_lines
from batch.commands.screen.paper import Paper
from batch.errors import encodable, printable
from batch.ledger.reader import STATUSES, Entry, LedgerReader
from batch.ledger.records import RunRecord, in_words
from batch.ledger.schema import encode
from batch.outputs.reading import ledger_of
from batch.reporting.makers import Makers
from batch.reporting.shown_paths import ShownPaths
from batch.running.report import remark_lines
from batch.sources.image_ref import Drawn, Origin
from seglab.words import of_kind

FORMAT_VERSION = 1
FAILURES_SHOWN = 20


@dataclass(frozen=True)
class StatusReport:
    """Counts by status, the last run, the models of the masks, the failures (all, or the first ones), and counts of
    remarks, of definitions of ``confidence``, and of images that do not look like the model's training images.

    ``looks``: path and reason of the masks to look at, as in the summary of a run. ``roots``: sources of many images.
    """

    out: Path
    counts: dict[str, int]
    makers: Makers
    failures: tuple[Entry, ...]
    remarks: Counter[str]
    confidences: Counter[str]
    unsuitable: int = 0
    looks: tuple[tuple[str, str], ...] = ()
    roots: tuple[str, ...] = ()

    @property
    def last_run(self) -> RunRecord | None:
        """The run that began last."""
        return self.makers.last_run

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "out": encodable(str(self.out)),
            "counts": self.counts,
            "last_run": None if self.last_run is None else vars(self.last_run),
            "models": [maker.to_json() for maker in self.makers.all],
            "by_another_model_or_settings": sum(maker.done for maker in self.makers.others),
            "failures": [
                {
                    "path": encodable(entry.path),
                    "mask": None if entry.mask is None else encodable(entry.mask),
                    "error": encodable(entry.error or ""),
                }
                for entry in self.failures
            ],
            "remarks": dict(self.remarks),
            "unsuitable": self.unsuitable,
            "look_at": [{"path": encodable(path), "why": why} for path, why in self.looks],
            "confidence_by": dict(self.confidences),
        }

    def lines(self, paper: Paper | None = None) -> Iterator[str]:
        """Yield the report for a person. ``paper``: where it is printed; None means a file."""
        yield ", ".join(f"{count:,} {status}" for status, count in self.counts.items())
        if self.last_run is not None:
            yield from _run_lines(self.last_run)
        yield from self.makers.lines()
        yield from remark_lines(self.remarks)
        yield from _confidence_lines(self.confidences)
        yield from look_lines(self.looks, ShownPaths([Origin(root, root) for root in self.roots]), paper or Paper())
        for entry in self.failures:
            yield f"failed: {printable(entry.path)}: {printable(entry.error or '')}"
        hidden = self.counts["failed"] - len(self.failures)
        if hidden > 0:
            yield f"and {hidden:,} more; --all shows them"


def status_of(out: Path, *, all_failures: bool = False) -> StatusReport:
    """Return the status of ``out`` from its ledger. Raises :class:`batch.errors.OutputError` if there is none."""
    with ledger_of(out) as ledger, ledger.snapshot():
        limit = None if all_failures else FAILURES_SHOWN
        tallies = ledger.tallies()
        counts = {status: sum(count for found, _, count in tallies if found == status) for status in STATUSES}
        makers = Makers.from_tallies(ledger, tallies)
        failures = tuple(ledger.entries("failed", limit))
        found = Highlights()
        unsuitable = 0
        for path, figures in ledger.remarkable():
            found.add_mask(path, figures)
            unsuitable += figures.is_unsuitable
        said = (ledger.remarks(), ledger.confidences(), unsuitable, tuple(found.looks()), tuple(ledger.roots()))
        return StatusReport(out, counts, makers, failures, *said)


def failed_lines(ledger: LedgerReader) -> Iterator[str]:
    """Yield a line per failed image: its path, a tab, the reason."""
    return (f"{printable(entry.path)}\t{printable(entry.error or '')}" for entry in ledger.entries("failed"))


def failed_paths(ledger: LedgerReader) -> Iterator[bytes]:
    """Yield the paths of failed images as the file system encodes them, each followed by a null byte."""
    return (encode(entry.path) + b"\0" for entry in ledger.entries("failed"))


def _confidence_lines(found: Counter[str]) -> Iterator[str]:
    """Yield a line if not all images have the same kind of ``confidence``."""
    if len(found) > 1:
        kinds = ", ".join(f"{count:,} by {printable(definition)}" for definition, count in found.most_common())
        yield f"confidence: {kinds}; do not compare one kind with another (column confidence_by of `seg-batch table`)"


def _run_lines(run: RunRecord) -> Iterator[str]:
    yield f"model: {printable(run.model)} (sha256 {run.model_sha256[:12]})"
    if len(run.class_names) > 1:
        yield f"label maps: {in_words(run.class_names)}"
    yield f"device: {run.device} ({run.provider}, {run.precision})"
    chosen = {name: run.settings.get(name) for name in ("exact", "name", "mask_bits", "overlays")}
    yield "settings: " + ", ".join(f"{name} {value}" for name, value in chosen.items() if value is not None)
    if run.finished_at is None:
        yield f"last run: began {run.started_at}; still running, or killed (if killed, run again to continue)"
        return
    found = run.summary
    yield (
        f"last run: {run.started_at} to {run.finished_at}{', stopped early' if found.get('interrupted') else ''}; "
        f"{found.get('done')} done, {found.get('failed')} failed, {found.get('skipped')} already done, "
        f"{found.get('images_per_second')} images/s"
    )
    if drawn := found.get("drawn"):
        yield f"last run: {Drawn(**drawn)}"
    yield from (f"not opened: {of_kind(count, kind)}" for kind, count in found.get("left_out", {}).items())
    yield from (f"not readable: {reason}" for reason in found.get("unreadable", ()))
    yield from (f"no images: {source}" for source in found.get("without_images", ()))
