"""The page of ``seglab compare``: runs in a table, and for each pair the differences image by image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seglab.evaluation.compare import Comparison
from seglab.evaluation.pages.files import COMPARE
from seglab.evaluation.pages.run import dated
from seglab.evaluation.pages.scored import MOST_DOTS
from seglab.evaluation.paired import METRICS, Paired, ScoredTwice
from seglab.metrics.bootstrap import RESAMPLES
from seglab.pages import charts
from seglab.pages.page import NOT_A_DEVICE, Chart, Listing, Page, Section
from seglab.words import counted

MOST_APART = 20
"""Images that differ most, which are listed."""
NUMBERS = frozenset({1, 2, 3})


def comparison_page(comparison: Comparison | None, paired: Sequence[Paired], notes: Sequence[str]) -> Page:
    """Return the page. ``notes``: sentences on what could not be compared, or should not be."""
    sections = []
    if comparison:
        head, *rows = comparison.table()
        text = "The best epoch of each run, at the size of its network."
        sections.append(Section("Runs", text, listings=[Listing(head, rows)]))
    sections += [section for found in paired for section in _pair(found)]
    names = [each.second for each in paired]
    if comparison:
        names = [row["run"] for row in comparison.rows]
    elif paired:
        names = [paired[0].first, *names]
    return Page("Comparison", ", ".join(names), sections, COMPARE, notes, (NOT_A_DEVICE, *dated()))


def _pair(found: Paired) -> Iterator[Section]:
    title = f"{found.first} against {found.second}"
    rows = [
        (title, f"{of.first:.4f}", f"{of.second:.4f}", f"{of.difference:+.4f}", f"{of.low:+.4f} to {of.high:+.4f}")
        for key, title in METRICS.items() for of in (found.differences[key],)
    ]  # fmt: skip
    text = (
        f"{counted(found.images, 'image')} that both scored, of {counted(found.lesions, 'lesion')}; 95 % intervals by "
        f"{RESAMPLES:,} draws of lesions. An interval that contains 0 shows no difference."
    )
    table = Listing(("Mean", found.first, found.second, "Difference", "95 % interval"), rows, NUMBERS | {4})
    yield Section(title, text, charts=list(_charts(found)), listings=[table])
    apart = sorted(found.common, key=lambda each: -abs(_difference(each)))[:MOST_APART]
    listed = [
        (each.image, f"{each.first['dice']:.4f}", f"{each.second['dice']:.4f}", f"{_difference(each):+.4f}")
        for each in apart
    ]
    only = {found.first: len(found.only_first), found.second: len(found.only_second)}
    text = " ".join(f"Only {name} scored {counted(count, 'more image')}." for name, count in only.items() if count)
    head = ("Image", f"Dice, {found.first}", f"Dice, {found.second}", "Difference")
    yield Section(f"Images that differ most: {title}", text, listings=[Listing(head, listed, NUMBERS)])


def _charts(found: Paired) -> Iterator[Chart]:
    differences = [_difference(each) for each in found.common]
    most = max(map(abs, differences)) or 0.01
    drawn = charts.histogram(differences, "difference in Dice", low=-most, high=most)
    yield Chart(drawn, f"Images by the difference; to the right of 0, {found.first} is better.")
    kept = np.linspace(0, len(found.common) - 1, min(MOST_DOTS, len(found.common))).astype(int)
    points = [(found.common[place].second["dice"], found.common[place].first["dice"]) for place in kept]
    of = f" {MOST_DOTS:,} of {len(found.common):,} images." if len(kept) < len(found.common) else ""
    yield Chart(charts.scatter(points, f"Dice of {found.second}", f"Dice of {found.first}"), f"A dot per image.{of}")


def _difference(image: ScoredTwice) -> float:
    return image.first["dice"] - image.second["dice"]
