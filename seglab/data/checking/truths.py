"""Truths judged together: what no single one tells, a whole set or part does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from seglab.data.checking.looks import Look
from seglab.data.finding.found import is_too_much
from seglab.words import all_of, counted, noun

LEAST_LOST = 2
"""A single pair that cannot be used is an error of its own, in however small a set."""
MOST = 0.5
LEAST_EQUAL = 3
"""So many equal truths are no chance."""
KINDS = 3
NUMBERS = re.compile(r"[\d.]+")
WHAT_TO_DO = "Check how the masks were made, and that they are the masks"


def without_lesion(name: str, looks: Sequence[Look]) -> Iterator[str]:
    """Yield why nothing can be learned from, or scored on, these truths: none of them has both lesion and skin."""
    seen = [look for look in looks if not look.error]
    if not seen or not all(look.is_empty or look.is_full for look in seen):
        return
    empty = sum(look.is_empty for look in seen)
    is_empty, fill = noun(len(seen), "is empty", "are empty"), noun(len(seen), "fills its image", "fill their images")
    what = is_empty if empty == len(seen) else f"{is_empty} or {fill}" if empty else fill
    yield (
        f"{name}: {all_of(len(seen), 'truth')} {what}; expected outlines of lesions, as a score of 1 against such "
        f"truths says nothing. {WHAT_TO_DO}; where they are right, split otherwise (--set seed=1)."
    )


def odd_together(name: str, looks: Sequence[Look], size: int = 0) -> Iterator[str]:
    """Yield why truths that may do one by one do not together: inverted, all the same, all too small at ``size``."""
    seen = [look for look in looks if not look.error]
    telling = [look for look in seen if not look.is_empty and not look.is_full]
    inverted = sum(look.is_inverted for look in telling)
    if inverted > MOST * len(telling):
        yield (
            f"{name}: {inverted:,} of {counted(len(telling), 'truth')} {noun(inverted, 'covers', 'cover')} most of the "
            f"image and of its border: {noun(inverted, 'it looks', 'they look')} inverted; expected 0 for skin and "
            "255 for lesion. Save them inverted (with ImageMagick: mogrify -negate MASKS/*.png), or add --inspect off "
            "where they are right."
        )
    if len(telling) >= LEAST_EQUAL and len({look.digest for look in telling}) == 1:
        yield (
            f"{name}: all {counted(len(telling), 'truth')} are equal to the last pixel; expected an outline for each "
            f"image. {WHAT_TO_DO}, or add --inspect off where they are right."
        )
    if telling and all(look.vanishes for look in telling):
        yield (
            f"{name}: {all_of(len(telling), 'lesion')} {noun(len(telling), 'is', 'are')} smaller than a pixel at "
            f"{size}; expected larger ones. Use a larger size, or crop the images."
        )


def unusable(name: str, errors: Sequence[str], total: int) -> Iterator[str]:
    """Yield that too many of the ``total`` pairs of a set cannot be used, with the kinds of ``errors``."""
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
    more = f"; and {len(kinds) - KINDS} kinds more" if len(kinds) > KINDS else ""
    yield (
        f"{name}: {len(errors)} of {counted(total, 'pair')} cannot be used ({said}{more}); expected less than a tenth. "
        f"Correct them, or take them out of the set. The first of them: {errors[0]}"
    )


def turned(name: str, looks: Sequence[Look]) -> tuple[bool, list[str]]:
    """Return whether a tenth or more of the masks were drawn on photographs as they are stored, which EXIF turns, and
    how many were.
    """
    count = sum(look.is_turned for look in looks)
    said = (
        f"{name}: {count:,} of {counted(len(looks), 'photograph')} {noun(count, 'is', 'are')} turned by EXIF and "
        f"{noun(count, 'its mask is', 'their masks are')} not (with the sides of the image as it is stored); expected "
        "masks over the upright image. Add --orientation stored, which turns all masks of the data like their "
        "photographs."
    )
    return is_too_much(count, len(looks), LEAST_LOST), [said] if count else []


def partly_inverted(name: str, looks: Sequence[Look]) -> Iterator[str]:
    """Yield how many truths look inverted, where a tenth or more do and it is not most of them."""
    telling = [look for look in looks if not look.error and not look.is_empty and not look.is_full]
    count = sum(look.is_inverted for look in telling)
    if is_too_much(count, len(telling)) and count <= MOST * len(telling):
        truths = f"{count:,} of {counted(len(telling), 'truth')} {noun(count, 'covers', 'cover')}"
        question = noun(count, "is it", "are they")
        yield f"{name}: {truths} most of the image and of its border: {question} inverted?"


def vanishing(name: str, looks: Iterable[Look], size: int) -> Iterator[str]:
    """Yield how many lesions are too small for ``size``."""
    if count := sum(look.vanishes for look in looks):
        yield (
            f"{name}: {counted(count, 'lesion')} {noun(count, 'is', 'are')} smaller than a pixel at {size}: "
            f"{noun(count, 'it', 'each')} is one pixel in training. A larger size shows {noun(count, 'it', 'them')}."
        )


def _reason(error: str) -> str:
    """Return what is wrong by an error's message: without the file's name before, and what was expected after."""
    reason = re.split(r"[;.] expected", error, maxsplit=1, flags=re.IGNORECASE)[0]
    file, colon, rest = reason.partition(": ")
    return rest if colon and ("/" in file or "\\" in file) else reason
