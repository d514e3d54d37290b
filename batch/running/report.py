"""What a run did, in numbers and in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from batch.errors import printable
from batch.executors.timing import Clock, StageTimes, stage_table
from batch.ledger.records import Status
from batch.sources.image_ref import SourceReport


@dataclass
class RunReport:
    """Counts of a run while it goes on, and at its end.

    ``device`` says what ran the model, and why; ``notes`` what else a person should know.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    repeated: int = 0
    device: str = ""
    masks: str = ""
    ledger: str = ""
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    stages: list[StageTimes] = field(default_factory=list)
    sources: SourceReport = field(default_factory=SourceReport)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def add(self, status: Status) -> None:
        """Count one result."""
        setattr(self, status.value, getattr(self, status.value) + 1)

    @property
    def total(self) -> int:
        """Images that have their result, those of earlier runs included."""
        return self.done + self.failed + self.skipped

    @property
    def rate(self) -> float:
        """Images done or failed a second, model loading not counted."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def is_complete(self) -> bool:
        """Did every image that the sources named get its mask?"""
        return self.failed == 0 and not self.sources.unreadable

    def begin_clock(self) -> None:
        """Start the time that the rate is measured by."""
        self.started = time.monotonic()

    def end_clock(self, clocks: Sequence[Clock]) -> None:
        """Stop the time, and add up the stages' clocks."""
        self.seconds = time.monotonic() - self.started
        names = dict.fromkeys(clock.stage for clock in clocks)
        self.stages = [
            StageTimes.of([clock for clock in clocks if clock.stage == name], self.seconds) for name in names
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the counts as the ledger keeps them."""
        numbers = {name: getattr(self, name) for name in ("done", "failed", "skipped", "repeated", "interrupted")}
        passed_over = {
            "other_files": sum(self.sources.others.values()),
            "hidden_files": self.sources.hidden,
            "unreadable_folders": [printable(entry) for entry in self.sources.unreadable],
        }
        return {
            **numbers,
            **passed_over,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.rate, 2),
            "stages": [vars(stage) for stage in self.stages],
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """Return the summary that a person reads at the end."""
        counts = f"{self.done} done, {self.failed} failed, {self.skipped} already done"
        return [
            f"{counts}; {self.seconds:.1f} s, {self.rate:.1f} images/s",
            *([f"device: {self.device}"] if self.device else []),
            *(stage_table(self.stages) if self.done + self.failed else []),
            *self.notes,
            *self._passed_over(),
            *self._where(),
        ]

    def _where(self) -> list[str]:
        if not self.masks:
            return []
        if self.masks == self.ledger:
            return [f"masks and ledger: {self.masks}"]
        return [f"masks: {self.masks}", f"ledger: {self.ledger}"]

    def _passed_over(self) -> list[str]:
        repeated = [f"passed over: {self.repeated} files named twice"] if self.repeated else []
        return [*passed_over(self.sources), *repeated]


def passed_over(found: SourceReport) -> list[str]:
    """Return what a walk passed over or could not read, as a person reads it."""
    lines = []
    if found.others:
        kinds = ", ".join(
            f"{count} {printable(suffix) or 'without suffix'}" for suffix, count in found.others.most_common(5)
        )
        lines.append(f"passed over: {sum(found.others.values())} files that are no images ({kinds})")
    if found.hidden:
        lines.append(f"passed over: {found.hidden} hidden files and folders")
    lines += [f"passed over: output folder {printable(path)}" for path in found.outputs]
    lines += [f"passed over: folder linked twice {printable(path)}" for path in found.repeated_folders[:5]]
    lines += [f"not readable: {line}" for line in found.unreadable[:20]]
    return lines
