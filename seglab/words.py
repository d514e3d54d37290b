"""Numbers with nouns in singular or plural, for messages."""

from __future__ import annotations

import re

_PLURAL = re.compile(r"(?<=\w)s\b")


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 image``, ``1,200 images``. ``many``: an irregular plural."""
    return f"{count:,} {noun(count, one, many)}"


def noun(count: int, one: str, many: str = "") -> str:
    """Return the form of a noun or verb for a number: ``noun(1, "looks", "look")`` is ``looks``."""
    return one if count == 1 else many or f"{one}s"


def of_kind(count: int, kind: str) -> str:
    """Return a number with a phrase given in the plural: ``1 truth mask of a data set`` for ``truth masks of ...``."""
    return f"{count:,} {_PLURAL.sub('', kind, count=1) if count == 1 else kind}"


def all_of(count: int, one: str, many: str = "") -> str:
    """Return a phrase for all of several things: ``all 12 truths``, or ``the only truth`` for one."""
    return f"the only {one}" if count == 1 else f"all {counted(count, one, many)}"
