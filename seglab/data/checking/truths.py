"""Checks of all truths of a set or part together, which no single truth shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from seglab.data.checking.looks import Look
from seglab.data.finding.found import is_too_much
from seglab.words import noun

LEAST_LOST = 2
"""Least number of unusable pairs for a fault of the whole set; a single one is only an error of that pair."""
MOST = 0.5
LEAST_EQUAL = 3
"""This many equal truths are not a coincidence."""
KINDS = 3
NUMBERS = re.compile(r"[\d.]+")
WHAT_TO_DO = "Check how the masks were made, and that they are the masks"


def without_lesion(name: str, looks: Sequence[Look]) -> Iterator[str]:
    """Yield a fault where no truth has both lesion and skin, so that training and scores would mean nothing."""
    seen = [look for look in looks if not look.error]
    if not seen or not all(look.is_empty or look.is_full for look in seen):
        return
    empty = sum(look.is_empty for look in seen)
    is_empty, fill = noun(len(seen), "is empty", "are empty"), noun(len(seen), "fills its image", "fill their images")
    what = is_empty if empty == len(seen) else f"{is_empty} or {fill}" if empty else fill
    yield (
        f"{name}: all {len(seen)} truths {what}; expected outlines of lesions, because a score of 1 against such "
        f"truths means nothing. {WHAT_TO_DO}. If they are right, use another split (--set seed=1)."
    )


def odd_together(name: str, looks: Sequence[Look], size: int = 0) -> Iterator[str]:
    """Yield faults of the truths as a whole: most look inverted, all are equal, or all are too small at ``size``."""
    seen = [look for look in looks if not look.error]
    telling = [look for look in seen if not look.is_empty and not look.is_full]
    inverted = sum(look.is_inverted for look in telling)
    if inverted > MOST * len(telling):
        yield (
            f"{name}: {inverted} of {len(telling)} truths look inverted (they cover most of the image and of its "
            "border); expected 0 for skin and 255 for lesion. Invert them (with ImageMagick: mogrify -negate "
            "MASKS/*.png), or add --inspect off if they are right."
        )
    if len(telling) >= LEAST_EQUAL and len({look.digest for look in telling}) == 1:
        yield (
            f"{name}: all {len(telling)} truths are equal to the last pixel; expected an outline for each image. "
            f"{WHAT_TO_DO}, or add --inspect off if they are right."
        )
    if telling and all(look.vanishes for look in telling):
        yield (
            f"{name}: all {len(telling)} lesions are smaller than a pixel at size {size}; expected larger ones. Use a "
            "larger size, or crop the images."
        )


def unusable(name: str, errors: Sequence[str], total: int) -> Iterator[str]:
    """Yield a fault where too many of the ``total`` pairs of a set cannot be used, with the kinds of ``errors``."""
    if not is_too_much(len(errors), total, LEAST_LOST):
        return
    kinds: Counter[str] = Counter()
    example: dict[str, str] = {}
    for error in errors:
        reason = _reason(error)
        kind = NUMBERS.sub("#", reason)
        kinds[kind] += 1
        example.setdefault(kind, reason)
    said = "; ".join(f"{count} × {example[kind]}" for kind, count in kinds.most_common(KINDS))
    more = f"; and {len(kinds) - KINDS} more kinds" if len(kinds) > KINDS else ""
    yield (
        f"{name}: {len(errors)} of {total} pairs cannot be used ({said}{more}); expected less than 10 %. "
        f"Correct them, or remove them from the set. The first: {errors[0]}"
    )


def turned(name: str, looks: Sequence[Look]) -> tuple[bool, list[str]]:
    """Return whether at least a tenth of the masks fit the photographs as stored but not as turned by EXIF, and lines
    that say how many.
    """
    count = sum(look.is_turned for look in looks)
    said = (
        f"{name}: {count} of {len(looks)} photographs are turned by EXIF, but their masks fit the image as stored; "
        "expected masks over the upright image. Add --orientation stored, which turns all masks like their photographs."
    )
    return is_too_much(count, len(looks), LEAST_LOST), [said] if count else []


def partly_inverted(name: str, looks: Sequence[Look]) -> Iterator[str]:
    """Yield a remark where at least a tenth, but not most, of the truths look inverted."""
    telling = [look for look in looks if not look.error and not look.is_empty and not look.is_full]
    count = sum(look.is_inverted for look in telling)
    if is_too_much(count, len(telling)) and count <= MOST * len(telling):
        yield f"{name}: {count} of {len(telling)} truths may be inverted: they cover most of the image and its border."


def vanishing(name: str, looks: Iterable[Look], size: int) -> Iterator[str]:
    """Yield a remark on the number of lesions that are smaller than a pixel at ``size``."""
    if count := sum(look.vanishes for look in looks):
        yield (
            f"{name}: {count} lesions are smaller than a pixel at size {size}, so each is one pixel in training. Use a "
            "larger size to show them."
        )


def _reason(error: str) -> str:
    """Return the cause in an error's message: without the file name before it and the expectation after it."""
    reason = re.split(r"[;.] expected", error, maxsplit=1, flags=re.IGNORECASE)[0]
    file, colon, rest = reason.partition(": ")
    return rest if colon and ("/" in file or "\\" in file) else reason
