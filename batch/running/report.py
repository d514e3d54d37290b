"""What a run did, in numbers and in words."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from batch.errors import printable
from batch.ledger.records import Status
from batch.running.timing import Stages, StageTimes, stage_table
from batch.sources.image_ref import SourceReport
from batch.sources.left_out import is_other_photograph
from seglab.images.formats import IMAGE_SUFFIXES

SHOWN = 20
REMARKS_SHOWN = 8
"""So many lines of a kind are shown to a person; the ledger has all."""

MOST_REMARKS = 1000
OTHER_REMARKS = "other remarks, in the column remark of `seg-batch table`"


@dataclass
class RunReport:
    """Counts of a run while it goes on, and at its end.

    ``device`` says what ran the model, and why; ``notes`` what else a person should know.
    ``remarks``: what was remarked on images that are done, and on how many.
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
    remarks: Counter[str] = field(default_factory=Counter)
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
        """Count what was remarked on an image; of very many different remarks the later ones are counted together."""
        if remark:
            self.remarks[remark if remark in self.remarks or len(self.remarks) < MOST_REMARKS else OTHER_REMARKS] += 1

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
        return self.failed == 0 and self.sources.is_complete

    def begin_clock(self) -> None:
        """Start the time that the rate is measured by."""
        self.started = time.monotonic()

    def end_clock(self, stages: Stages) -> None:
        """Stop the time, and add up what the stages did."""
        self.seconds = time.monotonic() - self.started
        self.stages = stages.table(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as the ledger keeps them."""
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
        }

    def lines(self) -> list[str]:
        """Return the summary that a person reads at the end."""
        counts = f"{self.done} done, {self.failed} failed, {self.skipped} already done"
        return [
            *left_out(self.sources),
            *sample_line(self.sources),
            f"{counts}; {self.seconds:.1f} s, {self.rate:.1f} images/s",
            *([f"device: {self.device}"] if self.device else []),
            *(stage_table(self.stages) if self.done + self.failed else []),
            *self.notes,
            *remark_lines(self.remarks),
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


def remark_lines(remarks: Counter[str]) -> list[str]:
    """Return what was remarked on images that are done, the most frequent first."""
    lines = [f"remark on {_images(count)}: {printable(text)}" for text, count in remarks.most_common(REMARKS_SHOWN)]
    more = sum(remarks.values()) - sum(count for _, count in remarks.most_common(REMARKS_SHOWN))
    return [*lines, f"other remarks on {_images(more)}: see the column remark of `seg-batch table`"] if more else lines


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def sample_line(found: SourceReport) -> list[str]:
    """Return what a person should know of a sample; nothing where all images were taken."""
    return [] if found.drawn is None else [str(found.drawn)]


def drawn_json(found: SourceReport) -> dict[str, int] | None:
    """Return the sample as JSON has it; None where all images were taken."""
    return None if found.drawn is None else found.drawn.to_json()


def left_out(found: SourceReport) -> list[str]:
    """Return what has no row against the user's will, as a person reads it."""
    lines = [f"not readable: {line}" for line in found.unreadable[:SHOWN]]
    if len(found.unreadable) > SHOWN:
        lines.append(f"not readable: and {len(found.unreadable) - SHOWN} more")
    lines += [f"no images: {printable(source)}" for source in found.without_images[:SHOWN]]
    for reason, count in found.left_out.most_common():
        examples = [printable(path) for path in found.examples.get(reason, [])]
        more = ", ..." if count > len(examples) else ""
        lines.append(f"not opened: {count} {reason} ({', '.join(examples)}{more})")
    return lines


def passed_over(found: SourceReport) -> list[str]:
    """Return what a walk passed over, as a person reads it."""
    lines = []
    if found.others:
        lines.append(f"passed over: {sum(found.others.values())} files that are no images ({_by_suffix(found.others)})")
    if found.unmatched:
        lines.append(
            f"passed over: {sum(found.unmatched.values())} {_unmatched_kinds(found)} that do not match the pattern "
            f"({_by_suffix(found.unmatched)})"
        )
    lines += [f"passed over: {count} {kind}" for kind, count in found.set_aside.items()]
    if found.hidden:
        lines.append(f"passed over: {found.hidden} hidden files and folders")
    lines += [f"passed over: output folder {printable(path)}" for path in found.outputs]
    lines += [f"taken because it was named: {sentence}" for sentence in found.named_anyway]
    lines += [f"passed over: folder linked twice {printable(path)}" for path in found.repeated_folders[:5]]
    return lines


def _unmatched_kinds(found: SourceReport) -> str:
    """Return what a pattern leaves out: files whose names do not tell are not looked into for that."""
    by_name = all(suffix in IMAGE_SUFFIXES or is_other_photograph(f"_{suffix}") for suffix in found.unmatched)
    return "images" if by_name else "images and files of unknown kind"


def _by_suffix(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {printable(suffix) or 'without suffix'}" for suffix, count in counts.most_common(5))
