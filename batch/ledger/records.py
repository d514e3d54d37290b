"""Records of the ledger: claims, results and runs."""

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
"""Key of the model's class names, stored with a run's settings."""
CONFIDENCE_BY = "confidence_by"
"""Key of the definition of ``confidence`` in the rows that the run finished, stored with its settings."""
CONTRACT = "contract"
"""Key of what the model's contract says, stored with a run's settings: the model's file may be gone later."""
FORMER_CONFIDENCE = "mean of max(p, 1 - p)"
"""The definition for runs that name none, made before the definition was stored."""
LESION = ("lesion",)
CLASSES_SHOWN = 8


class Status(enum.StrEnum):
    """The outcome of an image. ``skipped``: it was done by an earlier run, and is unchanged."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Claim(enum.Enum):
    """What the ledger decides about an image that a source names: to do, done before, or named twice in this run."""

    TODO = enum.auto()
    KEPT = enum.auto()
    REPEATED = enum.auto()


@dataclass(frozen=True, slots=True)
class Claimed:
    """An item with its row and its mask's name, relative to the output folder.

    ``is_fresh``: no run of this output made this mask, so an existing file of its name belongs to somebody else.
    ``made``: SHA-256 of the mask that a run made, if it is known. ``attempts``: how often a process or a run ended on
    the image. ``is_torn``: a run that was killed may have written its files, and no run has recorded any.
    """

    item: ImageRef
    row: int
    mask: str
    claim: Claim
    is_fresh: bool = False
    made: str = ""
    attempts: int = 0
    is_torn: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one image.

    ``path``: of the image, absolute. ``mask``: where its mask is or would be: a path, a URL, or an archive's path and
    the member's name. ``figures``: of a mask made in this run. ``seconds``: of work, over all stages. ``error``: why it
    failed. ``remark``: a note for the user about an image that is done.
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
    """One run as the ledger stores it. ``summary`` is filled in at its end."""

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
        """Return the model's classes: one if masks are binary, else the classes that label maps number from 0."""
        return tuple(map(str, self.settings.get(CLASS_NAMES) or LESION))

    @property
    def contract(self) -> dict[str, Any]:
        """Return what the model's contract says, see :data:`CONTRACT`; empty for runs that did not store it."""
        return dict(self.settings.get(CONTRACT) or {})

    @property
    def confidence_by(self) -> str:
        """Return the definition of ``confidence`` in the rows that the run finished."""
        return str(self.settings.get(CONFIDENCE_BY) or FORMER_CONFIDENCE)


def in_words(class_names: Sequence[str]) -> str:
    """Return a model's classes for a person: the first ones with their numbers, or the only one."""
    if len(class_names) == 1:
        return printable(class_names[0])
    shown = [f"{number} {name}" for number, name in enumerate(class_names[:CLASSES_SHOWN])]
    more = len(class_names) - len(shown)
    return printable(", ".join(shown) + (f" and {more} more" if more else ""))


def now() -> str:
    """Return the current time as the ledger writes it: UTC, ISO 8601, seconds."""
    return _written(int(time.time()))


@functools.lru_cache(1)
def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def is_same_content(item: ImageRef, size: int, mtime_ns: int, version: str | None) -> bool:
    """Return whether an image is as recorded in a row. A checksum alone decides; else all that both know must agree."""
    kind, known = item.version.partition(":")[0], version or ""
    is_same_state = (item.bytes, item.mtime_ns) == (size, mtime_ns)
    if kind and kind == known.partition(":")[0]:
        return item.version == known and (kind == CHECKSUM or is_same_state)
    return kind != CHECKSUM and is_same_state
