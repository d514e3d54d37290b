"""The page of a comparison of two outputs: how much their masks differ, and where most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from batch.ledger.reader import LedgerReader
from batch.outputs.reading import StoredMasks, stored_mask
from batch.reporting.comparison import Comparison, Named, WorstPair
from batch.reporting.mask_change import STEPS
from batch.reporting.pages.galleries import NOT_SHOWN, picture_of, without_reasons
from batch.reporting.pages.page_file import COMPARISON, maker
from batch.reporting.pages.pictures import WIDE, Drawing, Drawings, with_outlines
from batch.reporting.pages.texts import image_texts, short_path, short_text
from seglab.pages import charts
from seglab.pages.page import Card, Chart, Facts, Listing, Page, Picture, Section
from seglab.words import counted

BINS = 25
COLOURS = "The largest differences first. Cyan: A; amber: B."


def compare_page(report: Comparison, a: tuple[StoredMasks, LedgerReader], b: tuple[StoredMasks, LedgerReader]) -> Page:
    """Return the page of a comparison, with pictures of the masks that differ most. ``a``, ``b``: masks and ledgers; A
    names the photographs, and nothing does if masks of either are named by pseudonyms.
    """
    ledgers = [ledger for _, ledger in (a, b)]
    is_nameless = any(ledger.is_pseudonymous for ledger in ledgers)
    shown = next((image_texts(ledger) for ledger in ledgers if ledger.is_pseudonymous), image_texts(ledgers[0]))
    names = "A and B" if is_nameless else " and ".join(short_path(str(side.out)) for side in (report.a, report.b))
    zip_encoding = None if report.a.run is None else report.a.run.settings.get("zip_encoding")
    outlines = _Outlines(a[0], b[0], Drawings(zip_encoding), shown, is_nameless)
    sections = [*_figures(report, is_nameless), *outlines.sections(report), *_not_compared(report, outlines)]
    warnings = [] if is_nameless else list(map(short_text, report.notes))
    return Page(f"{names} compared", f"{counted(report.both, 'image')} in both", sections, maker(COMPARISON), warnings)


def _figures(report: Comparison, is_nameless: bool) -> Iterator[Section]:
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
        "A": report.a.model if is_nameless else short_text(str(report.a)),
        "B": report.b.model if is_nameless else short_text(str(report.b)),
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
    """Return counts in :data:`BINS` bins, from a round number below the lowest Dice to 1, and their edges."""
    lowest = next(step for step, count in enumerate(steps) if count)
    low = min(lowest * 10 // STEPS, 9) * STEPS // 10
    counts = [0] * BINS
    for step in range(low, STEPS + 1):
        counts[min((step - low) * BINS // (STEPS - low), BINS - 1)] += steps[step]
    return counts, [(low + (STEPS - low) * number / BINS) / STEPS for number in range(BINS + 1)]


@dataclass(frozen=True)
class _Outlines:
    """Draws the outlines of both masks on photographs. ``shown``: formats a path. ``is_nameless``: no reasons why a
    picture is missing, which may hold paths.
    """

    masks_a: StoredMasks
    masks_b: StoredMasks
    drawings: Drawings
    shown: Callable[[str], str]
    is_nameless: bool

    def sections(self, report: Comparison) -> Iterator[Section]:
        """Yield the part of the page with the masks that differ most, if there are any."""
        if pairs := report.pictured():
            found = self.drawings.of(map(self._drawing, pairs))
            if self.is_nameless:
                found = without_reasons(found)
            pictures = [self._picture(pair, found[pair.path]) for pair in pairs]
            yield Section("Largest differences", COLOURS, pictures=pictures, wide_pictures=True)

    def listing(self, named: Named) -> Listing:
        """Return images that were not compared, with the reasons."""
        reasons = [NOT_SHOWN if self.is_nameless else short_text(remark) for _, remark in named.first]
        rows = [[self.shown(path), reason] for (path, _), reason in zip(named.first, reasons, strict=True)]
        return Listing(["image", "reason"], rows)

    def _drawing(self, pair: WorstPair) -> Drawing:
        def draw(photograph: bytes) -> bytes:
            masks = stored_mask(self.masks_a, pair.mask_a), stored_mask(self.masks_b, pair.mask_b)
            return with_outlines(photograph, *masks, size=WIDE)

        return Drawing(pair.path, pair.pixels, draw)

    def _picture(self, pair: WorstPair, found: bytes | str) -> Picture:
        name, change = self.shown(pair.path), pair.change
        figures = f"Dice {change.dice:.4f}, gained {change.gained:,}, lost {change.lost:,}"
        return picture_of(found, f"{name} with the outlines of its masks in A and B", [name, figures])


def _not_compared(report: Comparison, outlines: _Outlines) -> Iterator[Section]:
    for title, named in (("Of different sizes", report.other_sizes), ("Not compared", report.unusable)):
        if named.count:
            yield Section(title, f"{counted(named.count, 'image')}.", listings=[outlines.listing(named)])
