"""``seg-batch status``: how far an output folder is, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import printable
from batch.ledger.reader import Entry, LedgerReader
from batch.ledger.records import RunRecord
from batch.outputs.spec import Output

FORMAT_VERSION = 1
FAILURES_SHOWN = 20


@dataclass(frozen=True)
class StatusReport:
    """Counts by status, the last run, and the failures (all, or the first ones)."""

    out: Path
    counts: dict[str, int]
    last_run: RunRecord | None
    failures: tuple[Entry, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "out": printable(str(self.out)),
            "counts": self.counts,
            "last_run": None if self.last_run is None else vars(self.last_run),
            "failures": [
                {"path": printable(entry.path), "mask": printable(entry.mask), "error": printable(entry.error or "")}
                for entry in self.failures
            ],
        }

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        yield ", ".join(f"{count} {status}" for status, count in self.counts.items())
        if self.last_run is not None:
            yield from _run_lines(self.last_run)
        for entry in self.failures:
            yield f"failed: {printable(entry.path)}: {printable(entry.error or '')}"
        hidden = self.counts["failed"] - len(self.failures)
        if hidden:
            yield f"and {hidden} more; --all shows them"


def status_of(out: Path, *, all_failures: bool = False) -> StatusReport:
    """Read the ledger of ``out``. Raises :class:`batch.errors.OutputError` where there is none."""
    with LedgerReader(Output.of(out).state) as ledger:
        limit = None if all_failures else FAILURES_SHOWN
        failures = tuple(ledger.entries("failed", limit))
        return StatusReport(out, ledger.counts(), ledger.last_run(), failures)


def _run_lines(run: RunRecord) -> Iterator[str]:
    yield f"model: {printable(run.model)} (sha256 {run.model_sha256[:12]})"
    yield f"device: {run.device} ({run.provider}, {run.precision})"
    chosen = {name: run.settings.get(name) for name in ("exact", "name", "mask_bits", "overlays")}
    yield "settings: " + ", ".join(f"{name} {value}" for name, value in chosen.items() if value is not None)
    if run.finished_at is None:
        yield f"last run: began {run.started_at}; still running, or killed (then run again to go on)"
        return
    found = run.summary
    yield (
        f"last run: {run.started_at} to {run.finished_at}{', stopped early' if found.get('interrupted') else ''}; "
        f"{found.get('done')} done, {found.get('failed')} failed, {found.get('skipped')} already done, "
        f"{found.get('images_per_second')} images/s"
    )
