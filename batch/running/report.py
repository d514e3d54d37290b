"""The counts and notes of a run."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from batch.errors import printable
from batch.figures import Figures
from batch.ledger.records import Status
from batch.running.source_lines import drawn_json
from batch.running.timing import Stages, StageTimes
from batch.sources.image_ref import SourceReport
from seglab.words import counted

REMARKS_SHOWN = 8
"""Remarks that are shown; the ledger has all of them."""

MOST_REMARKS = 1000
OTHER_REMARKS = "other remarks, in the column remark of `seg-batch table`"


@dataclass
class RunReport:
    """Counts of a run, during it and at its end.

    ``device`` says what ran the model, and why; ``device_in_short`` the same in about six words; ``notes``: further
    notes for the user. ``remarks``: remarks on images that are done, with the number of images of each. ``unsuitable``:
    how many of them do not look like the model's training images.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    repeated: int = 0
    device: str = ""
    device_in_short: str = ""
    masks: str = ""
    ledger: str = ""
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    unsuitable: int = 0
    stages: list[StageTimes] = field(default_factory=list)
    sources: SourceReport = field(default_factory=SourceReport)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def add(self, status: Status) -> None:
        """Count one result."""
        if status is Status.DONE:
            self.done += 1
        elif status is Status.FAILED:
            self.failed += 1
        else:
            self.skipped += 1

    def note_remark(self, remark: str) -> None:
        """Count a remark on an image; beyond :data:`MOST_REMARKS` different remarks, new ones are counted together."""
        if remark:
            self.remarks[remark if remark in self.remarks or len(self.remarks) < MOST_REMARKS else OTHER_REMARKS] += 1

    def note_figures(self, figures: Figures | None) -> None:
        """Count an image that does not look like the model's training images."""
        if figures is not None and figures.is_unsuitable:
            self.unsuitable += 1

    @property
    def total(self) -> int:
        """Return how many images have a result, including those of earlier runs."""
        return self.done + self.failed + self.skipped

    @property
    def rate(self) -> float:
        """Return images done or failed per second, without the time for loading the model."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def is_complete(self) -> bool:
        """Return whether every image that the sources named got its mask."""
        return self.failed == 0 and self.sources.is_complete

    def begin_clock(self) -> None:
        """Start the time for the rate."""
        self.started = time.monotonic()

    def end_clock(self, stages: Stages) -> None:
        """Stop the time, and add up the stages."""
        self.seconds = time.monotonic() - self.started
        self.stages = stages.table(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as the ledger stores them."""
        numbers = {name: getattr(self, name) for name in ("done", "failed", "skipped", "repeated", "interrupted")}
        passed_over = {
            "other_files": sum(self.sources.others.values()),
            "hidden_files": self.sources.hidden,
            "unmatched_files": sum(self.sources.unmatched.values()),
            "set_aside": dict(self.sources.set_aside),
            "left_out": dict(self.sources.left_out),
            "unreadable": [printable(entry) for entry in self.sources.unreadable],
            "without_images": [printable(entry) for entry in self.sources.without_images],
        }
        return {
            **numbers,
            "drawn": drawn_json(self.sources),
            **passed_over,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.rate, 2),
            "stages": [vars(stage) for stage in self.stages],
            "notes": self.notes,
            "remarks": dict(self.remarks),
            "unsuitable": self.unsuitable,
        }


def remark_lines(remarks: Counter[str]) -> list[str]:
    """Return lines for the remarks on images that are done, the most frequent first."""
    shown = remarks.most_common(REMARKS_SHOWN)
    lines = [f"remark on {counted(count, 'image')}: {printable(text)}" for text, count in shown]
    if more := remarks.total() - sum(count for _, count in shown):
        lines.append(f"other remarks on {counted(more, 'image')}: see the column remark of `seg-batch table`")
    return lines
