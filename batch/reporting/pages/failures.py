"""The failures of an output by their reasons, in bounded memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batch.ledger.reader import Entry, LedgerReader
from batch.reporting.pages.texts import short_text
from batch.reporting.reasons import nameless_reason, short_reason
from seglab.pages import charts
from seglab.pages.page import Chart, Listing, Section
from seglab.words import counted, noun

EXAMPLES = 5
MOST_REASONS = 1000
SHOWN = 20
IN_CHART = 10
OTHER_REASONS = "other reasons"
LONGEST_REASON = 400


@dataclass
class Reason:
    """Images that failed for one reason: their number, the first ones by path, and the first one's whole reason."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    whole: str = ""


def reasons_of(ledger: LedgerReader) -> dict[str, Reason]:
    """Return the failures by their short reasons, the most frequent first."""
    short = _shortened(ledger)
    found: dict[str, Reason] = {}
    for entry in ledger.entries("failed", by_mask=ledger.is_pseudonymous):
        name = short(entry)
        if name not in found and len(found) >= MOST_REASONS:
            name = OTHER_REASONS
        reason = found.setdefault(name, Reason(whole=entry.error or ""))
        reason.count += 1
        if len(reason.examples) < EXAMPLES:
            reason.examples.append(entry.path)
    return dict(sorted(found.items(), key=lambda one: -one[1].count))


def _shortened(ledger: LedgerReader) -> Callable[[Entry], str]:
    """Return a function that gives the short reason of a failure."""
    if ledger.is_pseudonymous:
        return lambda entry: nameless_reason(entry.error or "", entry.path)
    short = functools.lru_cache(4096)(short_reason)
    return lambda entry: short(entry.error or "")


def failures_section(
    reasons: dict[str, Reason], shown: Callable[[str], str], *, is_nameless: bool = False
) -> Section | None:
    """Return the part of a page about failures; None if there are none. ``shown``: formats a path. ``is_nameless``:
    without whole reasons, which may hold paths.
    """
    if not reasons:
        return None
    total = sum(reason.count for reason in reasons.values())
    first = list(reasons.items())[:SHOWN]
    rows: list[list[Any]] = [[name, f"{one.count:,}", [shown(path) for path in one.examples]] for name, one in first]
    head = ["reason", "images", "for example"]
    if not is_nameless:
        head.append("the first one in full")
        rows = [[*row, short_text(one.whole, LONGEST_REASON)] for row, (_, one) in zip(rows, first, strict=True)]
    more = sum(reason.count for _, reason in list(reasons.items())[SHOWN:])
    text = f"{counted(total, 'image')} {noun(total, 'has', 'have')} no mask."
    if more:
        text += f" {more:,} of them failed for other reasons than the {SHOWN} most frequent ones shown here."
    chart = charts.bars({name: one.count for name, one in first[:IN_CHART]}, "failures by reason")
    return Section(
        "Failures",
        f"{text} All of them: seg-batch status OUT --all.",
        charts=[Chart(chart, "Images by reason")],
        listings=[Listing(head, rows, frozenset({1}))],
    )
