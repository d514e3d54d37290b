"""The results shown on the screen: the first failures, the reasons why images failed, and the masks to look at.

Memory is bounded: a million failures take no more than a thousand.
"""

from __future__ import annotations

import bisect
import enum
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.ledger.records import Status
from batch.reporting.reasons import short_reason

if TYPE_CHECKING:
    from batch.commands.screen.paper import Paper
    from batch.figures import Figures
    from batch.ledger.records import Result
    from batch.reporting.shown_paths import ShownPaths

FAILURES_SHOWN = 5
LOOKS_SHOWN = 3
MOST_REASONS = 1000
OTHER_REASONS = "other reasons"


class Kind(enum.Enum):
    """Why a mask is worth a look, the most serious first."""

    UNLIKE = enum.auto()
    EMPTY = enum.auto()
    UNCERTAIN = enum.auto()
    CUT = enum.auto()


def _kind_of(figures: Figures) -> Kind | None:
    """Return the most serious kind of a mask; None if there is nothing to look at."""
    found = (figures.is_unsuitable, figures.is_empty, figures.is_uncertain, figures.is_cut)
    return next((kind for kind, is_so in zip(Kind, found, strict=True) if is_so), None)


def _in_words(kind: Kind, figures: Figures) -> str:
    return {
        Kind.UNLIKE: "unlike dermoscopy",
        Kind.EMPTY: "no lesion found",
        Kind.UNCERTAIN: f"least certain ({figures.confidence:.2f})",
        Kind.CUT: "lesion cut by the frame",
    }[kind]


def _rank(kind: Kind, figures: Figures) -> float:
    """Return the rank within the kind; the lowest is the clearest case."""
    ranks = {Kind.UNLIKE: figures.suitable, Kind.UNCERTAIN: figures.confidence, Kind.CUT: -figures.lesion_fraction}
    return ranks.get(kind) or 0.0


@dataclass
class _Tally:
    """The masks of one kind: their number, and the clearest case, by rank and path."""

    count: int = 0
    plainest: tuple[float, str] = (math.inf, "")
    words: str = ""


@dataclass
class Highlights:
    """Collects the :class:`Result` of every image. ``failures``: path and short reason of the first ones by path."""

    failures: list[tuple[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    drawn_again: int = 0
    _tallies: dict[Kind, _Tally] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Add a result."""
        if result.status is Status.FAILED:
            self._add_failure(result.path, short_reason(result.error or ""))
        elif result.figures is not None:
            self.add_mask(result.path, result.figures)
        elif result.seconds:
            self.drawn_again += 1

    def add_mask(self, path: str, figures: Figures) -> None:
        """Add the figures of a mask. It is counted under one kind only, so that it is named once."""
        kind = _kind_of(figures)
        if kind is None:
            return
        tally, this = self._tallies.setdefault(kind, _Tally()), (_rank(kind, figures), path)
        tally.count += 1
        if this < tally.plainest:
            tally.plainest, tally.words = this, _in_words(kind, figures)

    def looks(self) -> Iterator[tuple[str, str]]:
        """Yield path and reason of at most three masks to look at, each of another kind."""
        found = [self._tallies[kind] for kind in Kind if kind in self._tallies]
        for tally in found[:LOOKS_SHOWN]:
            yield tally.plainest[1], tally.words + (f" ({tally.count - 1:,} more)" if tally.count > 1 else "")

    def more_failures(self) -> tuple[int, list[tuple[str, int]]]:
        """Return the number of failures besides the first ones, and their reasons with counts, most frequent first."""
        left = self.reasons - Counter(reason for _, reason in self.failures)
        return left.total(), left.most_common(FAILURES_SHOWN)

    def _add_failure(self, path: str, reason: str) -> None:
        if reason not in self.reasons and len(self.reasons) >= MOST_REASONS:
            reason = OTHER_REASONS
        self.reasons[reason] += 1
        bisect.insort(self.failures, (path, reason))
        del self.failures[FAILURES_SHOWN:]


def look_lines(looks: Iterable[tuple[str, str]], paths: ShownPaths, paper: Paper) -> Iterator[str]:
    """Yield the masks to look at, below a heading; nothing if there are none."""
    rows = [(paths.of(path), why) for path, why in looks]
    if rows:
        yield from [paper.styled("Look at", fg="yellow"), *paper.table(rows)]
