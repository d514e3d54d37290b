"""The figures of an output, counted by SQLite, so that a million images take no memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from batch.figures import CERTAIN_FROM, CUT_FROM, SUITABLE_FROM
from batch.ledger.reader import LedgerReader
from batch.ledger.records import RunRecord

EMPTY = "lesion_area = 0"
UNCERTAIN = f"lesion_area > 0 AND confidence < {CERTAIN_FROM}"
CUT = f"bbox_x0 IS NOT NULL AND (bbox_x0 = 0) + (bbox_y0 = 0) + (bbox_x1 = width) + (bbox_y1 = height) >= {CUT_FROM}"
UNSUITABLE = f"suitable < {SUITABLE_FROM}"
"""Conditions on rows that are done, as :class:`batch.figures.Figures` defines them."""
BINS = 25
TIME_BINS = 60
FEWEST_TIME_BINS = 3
MEGAPIXELS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


class Counted(NamedTuple):
    """Numbers of images in bins. ``edges``: one more than ``counts``."""

    counts: Sequence[int]
    edges: Sequence[float]


class Speed(NamedTuple):
    """The course of a run. ``rates``: (minutes, images per second); ``failures``: by minutes."""

    rates: Sequence[tuple[float, float]]
    failures: Counted


@dataclass(frozen=True)
class Tallies:
    """Numbers of images by what became of them, and of masks to look at."""

    done: int
    failed: int
    pending: int
    empty: int
    uncertain: int
    cut: int
    unsuitable: int
    judged: int
    """Images whose suitability is known."""
    least_confidence: float

    @property
    def images(self) -> int:
        """Return the number of all images."""
        return self.done + self.failed + self.pending


def tallies_of(ledger: LedgerReader) -> Tallies:
    """Count the images of a ledger."""
    counts = ledger.counts()
    judged, unsuitable = ("count(suitable)", f"total({UNSUITABLE})") if knows_suitable(ledger) else ("0", "0")
    conditions = (EMPTY, UNCERTAIN, CUT)
    sums = ", ".join(f"total({condition})" for condition in conditions)
    text = f"SELECT {sums}, {unsuitable}, {judged}, min(confidence) FROM items WHERE status = 'done'"
    *numbers, least = next(ledger.query(text))
    empty, uncertain, cut, unlike, known = map(int, numbers)
    return Tallies(
        counts["done"], counts["failed"], counts["pending"], empty, uncertain, cut, unlike, known, least or 0.0
    )


def knows_suitable(ledger: LedgerReader) -> bool:
    """Return whether the ledger's format has the column ``suitable``."""
    return ledger.has("items", "suitable")


def share_histogram(ledger: LedgerReader, column: str, low: float = 0.0) -> Counted:
    """Return the distribution of a column with values from ``low`` to 1 over the images that are done."""
    step = (1 - low) / BINS
    text = (
        f"SELECT CAST(max(0, min(({column} - {low}) / {step}, {BINS - 1})) AS INTEGER), count(*) FROM items "
        f"WHERE status = 'done' AND {column} IS NOT NULL GROUP BY 1"
    )
    return Counted(_filled(dict(ledger.query(text)), BINS), [low + number * step for number in range(BINS + 1)])


def size_counts(ledger: LedgerReader) -> dict[str, int]:
    """Return the numbers of images that are done by their size in megapixels, in words."""
    cases = " ".join(f"WHEN height * width < {int(limit * 1e6)} THEN {place}" for place, limit in enumerate(MEGAPIXELS))
    text = (
        f"SELECT CASE {cases} ELSE {len(MEGAPIXELS)} END, count(*) FROM items "
        "WHERE status = 'done' AND height IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    return {_size_in_words(place): count for place, count in ledger.query(text)}


def _size_in_words(place: int) -> str:
    if place == 0:
        return f"below {MEGAPIXELS[0]} megapixels"
    if place == len(MEGAPIXELS):
        return f"{MEGAPIXELS[-1]} megapixels and more"
    return f"{MEGAPIXELS[place - 1]} to {MEGAPIXELS[place]} megapixels"


def speed_of(ledger: LedgerReader, run: RunRecord) -> Speed | None:
    """Return the course of a run; None if it was too short for one, or did nothing."""
    of_run = "run = ? AND finished_at >= ? AND status IN ('done', 'failed')"
    values = (run.id, run.started_at)
    first, last = next(ledger.query(f"SELECT min(finished_at), max(finished_at) FROM items WHERE {of_run}", values))
    if first is None:
        return None
    begin, end = (datetime.fromisoformat(text).timestamp() for text in (first, last))
    width = max(1, -(-int(end - begin + 1) // TIME_BINS))
    bins = int(end - begin) // width + 1
    if bins < FEWEST_TIME_BINS:
        return None
    text = (
        f"SELECT CAST((strftime('%s', finished_at) - {int(begin)}) / {width} AS INTEGER), count(*), "
        f"total(status = 'failed') FROM items WHERE {of_run} GROUP BY 1"
    )
    rows = list(ledger.query(text, values))
    all_of = _filled({place: count for place, count, _ in rows}, bins)
    failed = _filled({place: int(count) for place, _, count in rows}, bins)
    last_width = end - begin + 1 - (bins - 1) * width
    widths = [*[float(width)] * (bins - 1), last_width]
    rates = [((place + 0.5) * width / 60, all_of[place] / widths[place]) for place in range(bins)]
    return Speed(rates, Counted(failed, [place * width / 60 for place in range(bins + 1)]))


def _filled(found: dict[int, int], bins: int) -> list[int]:
    return [found.get(place, 0) for place in range(bins)]
