"""Which masks a page shows: those to look at, and some at random, because the worst alone mislead."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from batch.ledger.reader import LedgerReader
from batch.reporting.pages.figures import CUT, EMPTY, UNSUITABLE, knows_suitable

OF_A_KIND = 12
AT_RANDOM = 50
SEED = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A mask to show: the ``path`` of its image, the ``mask`` below the output, and figures of the ledger. ``key``: of
    the run that made it. ``sha256``: of the mask's file; ``bytes``, ``mtime_ns``, ``version``: of the photograph.
    """

    path: str
    mask: str
    height: int
    width: int
    lesion_fraction: float
    confidence: float | None
    suitable: float | None
    key: str | None
    bytes: int
    mtime_ns: int
    sha256: str | None
    version: str | None


@dataclass(frozen=True)
class Gallery:
    """Masks under a heading. ``text``: how they were chosen."""

    title: str
    text: str
    masks: Sequence[Shown]


KINDS = (
    ("Least certain", "The lowest confidence first.", "lesion_area > 0 AND confidence IS NOT NULL", "confidence"),
    ("No lesion found", "The lowest confidence first.", EMPTY, "confidence"),
    ("Largest share of the image", "The largest first.", "lesion_area > 0", "lesion_fraction DESC"),
    (
        "Cut by the border",
        "The lesion touches three or four borders, so its area is not known. The largest first.",
        CUT,
        "lesion_fraction DESC",
    ),
)
UNLIKE = (
    "Unlike the model's training images",
    "The model was not made for such images. The least suitable first.",
    UNSUITABLE,
    "suitable",
)


def galleries_of(ledger: LedgerReader, done: int) -> list[Gallery]:
    """Return the galleries of an output with ``done`` masks, without empty ones."""
    kinds = [*KINDS, UNLIKE] if knows_suitable(ledger) else KINDS
    then, _ = _neutral_order(ledger)
    found = [
        Gallery(title, text, _masks(ledger, f"{condition} ORDER BY {order}, {then} LIMIT {OF_A_KIND}"))
        for title, text, condition, order in kinds
    ]
    return [gallery for gallery in [*found, _at_random(ledger, done)] if gallery.masks]


def _at_random(ledger: LedgerReader, done: int) -> Gallery:
    by, said = _neutral_order(ledger)
    if done <= AT_RANDOM:
        return Gallery("All masks", f"In the order {said}.", _masks(ledger, f"1 ORDER BY {by}"))
    places = set(random.Random(SEED).sample(range(done), AT_RANDOM))
    numbers = ledger.query(f"SELECT id FROM items WHERE status = 'done' ORDER BY {by}")
    ids = [str(number) for place, (number,) in enumerate(numbers) if place in places]
    text = f"{AT_RANDOM} of {done:,}, drawn with the same seed each time: what to expect of a mask."
    return Gallery("At random", text, _masks(ledger, f"id IN ({', '.join(ids)}) ORDER BY {by}"))


def _neutral_order(ledger: LedgerReader) -> tuple[str, str]:
    """Return the column to sort by where nothing else decides, and its words. Pseudonyms do not tell the order in which
    images were found, which is that of their names.
    """
    return ("mask", "of their pseudonyms") if ledger.is_pseudonymous else ("id", "in which their images were found")


def _masks(ledger: LedgerReader, which: str) -> list[Shown]:
    suitable = "suitable" if knows_suitable(ledger) else "NULL"
    newer = ", ".join(name if ledger.has("items", name) else "NULL" for name in ("sha256", "version"))
    columns = f"path, mask, height, width, lesion_fraction, confidence, {suitable}, key, bytes, mtime_ns, {newer}"
    return [Shown(*row) for row in ledger.query(f"SELECT {columns} FROM items WHERE status = 'done' AND {which}")]
