"""What a run hands out and the ledger keeps: claims, results and runs."""

from __future__ import annotations

import enum
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from batch.errors import printable
from batch.figures import Figures
from batch.sources.image_ref import CHECKSUM, ImageRef

CLASS_NAMES = "class_names"
"""What a run's settings say of its model, beside the settings."""
CONFIDENCE_BY = "confidence_by"
"""What they say of the figure ``confidence`` in the rows that the run finished: its definition."""
FORMER_CONFIDENCE = "mean of max(p, 1 - p)"
"""The definition of runs that name none: those of releases before it was named."""
LESION = ("lesion",)
CLASSES_SHOWN = 8


class Status(enum.StrEnum):
    """What became of an image. ``skipped``: it was done by an earlier run, and still is."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Claim(enum.Enum):
    """What the ledger says about an item that a source names."""

    TODO = enum.auto()
    KEPT = enum.auto()
    REPEATED = enum.auto()


@dataclass(frozen=True, slots=True)
class Claimed:
    """An item with its row and its mask's name, relative to the output folder.

    ``is_fresh``: did no run of this output make such a mask, so that a file of its name is somebody else's?
    ``made``: SHA-256 of the mask that a run made, if it is known. ``attempts``: how often a process or a run ended on
    it.
    """

    item: ImageRef
    row: int
    mask: str
    claim: Claim
    is_fresh: bool = False
    made: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one image.

    ``path``: of the image, absolute. ``mask``: where its mask is, or would be: a path, a URL, or
    an archive's path and the member's name. ``figures``: of a mask made in this run.
    ``seconds``: of work, all stages. ``error``: why it failed.
    ``remark``: what is to be known of an image that is done.
    """

    path: str
    mask: str
    status: Status
    figures: Figures | None = None
    seconds: float = 0.0
    error: str | None = None
    remark: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run as the ledger describes it. ``summary`` is filled in at its end."""

    key: str
    model: str
    model_sha256: str
    device: str
    provider: str
    precision: str
    settings: dict[str, Any]
    tools: dict[str, str]
    id: int = 0
    started_at: str = ""
    finished_at: str | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The model's classes: one where masks are lesion or not, else those whose numbers masks hold."""
        return tuple(map(str, self.settings.get(CLASS_NAMES) or LESION))

    @property
    def confidence_by(self) -> str:
        """How ``confidence`` is defined in the rows that the run finished."""
        return str(self.settings.get(CONFIDENCE_BY) or FORMER_CONFIDENCE)


def in_words(class_names: Sequence[str]) -> str:
    """Return what a person reads of a model's classes: the first ones with their numbers, or the only one."""
    if len(class_names) == 1:
        return printable(class_names[0])
    shown = [f"{number} {name}" for number, name in enumerate(class_names[:CLASSES_SHOWN])]
    more = len(class_names) - len(shown)
    return printable(", ".join(shown) + (f" and {more} more" if more else ""))


def now() -> str:
    """Return the time as the ledger writes it: UTC, ISO 8601, seconds."""
    return _written(int(time.time()))


@functools.lru_cache(1)
def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def is_same_content(item: ImageRef, size: int, mtime_ns: int, version: str | None) -> bool:
    """Has an image the state that a row was made of? A checksum decides alone, else all that both know must agree."""
    kind, known = item.version.partition(":")[0], version or ""
    is_same_state = (item.bytes, item.mtime_ns) == (size, mtime_ns)
    if kind and kind == known.partition(":")[0]:
        return item.version == known and (kind == CHECKSUM or is_same_state)
    return kind != CHECKSUM and is_same_state
