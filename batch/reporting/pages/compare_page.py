"""The page of a comparison of two outputs: how much their masks differ, and where most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from batch.outputs.reading import StoredMasks, stored_mask
from batch.reporting.comparison import Comparison, Named, WorstPair
from batch.reporting.mask_change import STEPS
from batch.reporting.pages.galleries import picture_of
from batch.reporting.pages.page_file import COMPARISON, maker
from batch.reporting.pages.pictures import Drawing, Drawings, with_outlines
from batch.reporting.pages.texts import short_path, short_text
from seglab.pages import charts
from seglab.pages.page import Card, Chart, Facts, Listing, Page, Picture, Section
from seglab.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 25
COLOURS = "The largest differences first. Cyan: A; amber: B."


def compare_page(
    report: Comparison, masks_a: StoredMasks, masks_b: StoredMasks, zip_encoding: str | None = None
) -> Page:
    """Return the page of a comparison, with pictures of the masks that differ most. ``zip_encoding``: as the run into A
    had it.
    """
    a, b = (short_path(str(side.out)) for side in (report.a, report.b))
    sections = [*_figures(report), *_worst(report, masks_a, masks_b, Drawings(zip_encoding)), *_not_compared(report)]
    warnings = list(map(short_text, report.notes))
    return Page(
        f"{a} and {b} compared", f"{counted(report.both, 'image')} in both", sections, maker(COMPARISON), warnings
    )


def _figures(report: Comparison) -> Iterator[Section]:
    dice = report.dice
    cards = [Card(f"{dice.count:,}", "pairs compared"), Card(f"{report.identical:,}", "identical")]
    if dice.count:
        cards += [Card(f"{dice.mean:.4f}", "mean Dice"), Card(f"{dice.quantile(0.5):.4f}", "median Dice")]
        cards.append(Card(f"{dice.quantile(0.05):.4f}", "5th percentile of Dice"))
    for count, label in (
        (report.newly_empty, "newly empty"),
        (report.newly_not_empty, "newly not empty"),
        (report.other_sizes.count, "of different sizes"),
        (report.unusable.count, "not compared"),
    ):
        if count:
            cards.append(Card(f"{count:,}", label, warns=True))
    facts = {
        "A": short_text(str(report.a)),
        "B": short_text(str(report.b)),
        "only in A, only in B": f"{report.only_a:,}, {report.only_b:,}",
        "failed in A only, in B only": f"{report.failed_a:,}, {report.failed_b:,}",
        "not done otherwise": f"{report.open:,}",
        "lesion pixels": f"{report.gained:,} gained in B, {report.lost:,} lost",
        "images that changed between the runs": f"{report.changed_images:,}",
    }
    yield Section("What changed", cards=cards, facts=Facts(facts))
    if dice.count:
        chart = charts.counted_histogram(*_bins(dice.steps), "Dice of A and B")
        yield Section("Distribution", charts=[Chart(chart, "Dice of each pair; 1: identical")])


def _bins(steps: Sequence[int]) -> tuple[list[int], list[float]]:
    """Return counts in :data:`BINS` bins, and their edges."""
    counts = [0] * BINS
    for step, count in enumerate(steps):
        counts[min(step * BINS // STEPS, BINS - 1)] += count
    return counts, [number / BINS for number in range(BINS + 1)]


def _worst(report: Comparison, masks_a: StoredMasks, masks_b: StoredMasks, drawings: Drawings) -> Iterator[Section]:
    pairs = report.pictured()
    if not pairs:
        return
    found = drawings.of(_drawing(pair, masks_a, masks_b) for pair in pairs)
    yield Section("Largest differences", COLOURS, pictures=[_picture(pair, found[pair.path]) for pair in pairs])


def _drawing(pair: WorstPair, masks_a: StoredMasks, masks_b: StoredMasks) -> Drawing:
    def draw(photograph: bytes) -> bytes:
        return with_outlines(photograph, stored_mask(masks_a, pair.mask_a), stored_mask(masks_b, pair.mask_b))

    return Drawing(pair.path, pair.pixels, draw)


def _picture(pair: WorstPair, found: bytes | str) -> Picture:
    name, change = short_path(pair.path), pair.change
    figures = f"Dice {change.dice:.4f}, gained {change.gained:,}, lost {change.lost:,}"
    return picture_of(found, f"{name} with the outlines of its masks in A and B", [name, figures])


def _not_compared(report: Comparison) -> Iterator[Section]:
    for title, named in (("Of different sizes", report.other_sizes), ("Not compared", report.unusable)):
        if named.count:
            yield Section(title, f"{counted(named.count, 'image')}.", listings=[_listing(named)])


def _listing(named: Named) -> Listing:
    rows = [[short_path(path), short_text(remark)] for path, remark in named.first]
    return Listing(["image", "reason"], rows)
