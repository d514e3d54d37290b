"""The page of an output: what came out, what is doubtful, what failed, and what made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.records import RunRecord
from batch.outputs.reading import StoredMasks, reading
from batch.outputs.spec import Output
from batch.reporting.makers import Makers
from batch.reporting.pages.about_run import model_section, moment, run_section
from batch.reporting.pages.failures import failures_section, reasons_of
from batch.reporting.pages.figures import Tallies, share_histogram, size_counts, speed_of, tallies_of
from batch.reporting.pages.galleries import gallery_sections
from batch.reporting.pages.page_file import RUN, maker
from batch.reporting.pages.pictures import Drawings
from batch.reporting.pages.selection import Gallery, galleries_of
from batch.reporting.pages.texts import image_texts, short_path, short_text
from batch.urls import public_url
from seglab.pages import charts
from seglab.pages.page import Card, Chart, Listing, Page, Section
from seglab.words import counted, noun

LINES_SHOWN = 8
SOURCES_SHOWN = 3
TRIES = 5
MIXED = "The masks were made with several models or settings; run again to remake them."
UNNAMED = "Masks under pseudonyms"
NO_PICTURES = "Pictures were left out (--no-pictures)."


def run_page(output: Output, *, pictures: bool = True, in_place: bool = False) -> Page:
    """Return the page of an output. ``pictures``: with galleries. ``in_place``: read the ledger without a copy.

    Raises :class:`OutputError` if there is no ledger.
    """
    for _ in range(TRIES):
        with reading(output, in_place=in_place) as (masks, ledger):
            with ledger.snapshot():
                extent = _Extent.of(ledger)
                seen = _Seen.of(ledger)
                begin, end = list(_figures(ledger, seen)), list(_about(seen))
                galleries = galleries_of(ledger, seen.tallies.done) if pictures else []
            shown = list(_pictures(galleries, masks, ledger, seen)) if pictures else [Section("Pictures", NO_PICTURES)]
        if not extent.has_lost_rows(output, in_place=in_place):
            title = UNNAMED if seen.is_nameless else f"Masks in {short_path(public_url(output.name))}"
            return Page(title, _subtitle(seen), [*begin, *shown, *end], maker(RUN), list(_warnings(seen)))
    raise OutputError(
        f"Images are being forgotten in {printable(output.name)}; expected that it loses none meanwhile. Run "
        "`seg-batch report` again when that has ended."
    )


@dataclass(frozen=True)
class _Seen:
    """What the ledger says of the output as a whole. ``shown``: formats a path. ``is_nameless``: nothing may name an
    image, a source or a folder.
    """

    tallies: Tallies
    makers: Makers
    shown: Callable[[str], str]
    is_nameless: bool

    @classmethod
    def of(cls, ledger: LedgerReader) -> _Seen:
        return cls(tallies_of(ledger), Makers.of(ledger), image_texts(ledger), ledger.is_pseudonymous)

    @property
    def summary(self) -> dict[str, Any]:
        """Return the summary of the last run; empty if it did not end."""
        return {} if self.makers.last_run is None else self.makers.last_run.summary


@dataclass(frozen=True)
class _Extent:
    """How many rows a ledger had, and the number of the last one: to notice whether images are forgotten while they
    are drawn.
    """

    rows: int
    last: int

    @classmethod
    def of(cls, ledger: LedgerReader) -> _Extent:
        return cls(*next(ledger.query("SELECT count(*), coalesce(max(id), 0) FROM items")))

    def has_lost_rows(self, output: Output, *, in_place: bool) -> bool:
        """Return whether rows were removed since."""
        with LedgerReader(output.state, in_place=in_place) as ledger:
            (rows,) = next(ledger.query("SELECT count(*) FROM items WHERE id <= ?", (self.last,)))
        return bool(rows < self.rows)


def _subtitle(seen: _Seen) -> str:
    run, parts = seen.makers.last_run, [counted(seen.tallies.images, "image")]
    if run is not None:
        names = [*(run.settings.get("sources") or ()), *(run.settings.get("files_from") or ())]
        more = f" and {len(names) - SOURCES_SHOWN:,} more" if len(names) > SOURCES_SHOWN else ""
        named = ", ".join(short_path(str(name)) for name in names[:SOURCES_SHOWN])
        parts += [] if seen.is_nameless else [f"last run over {named}{more}"]
        parts += [moment(run.started_at), short_path(PurePath(run.model).name)]
    return "; ".join(parts)


def _warnings(seen: _Seen) -> Iterator[str]:
    run, summary = seen.makers.last_run, seen.summary
    if run is not None and run.finished_at is None:
        yield "The last run has not ended, or was killed: this page shows what was done until now."
    elif summary.get("interrupted"):
        yield "The last run was interrupted. Run again to do the rest."
    if seen.tallies.pending:
        yield f"{counted(seen.tallies.pending, 'image')} {noun(seen.tallies.pending, 'is', 'are')} still to be done."
    if not seen.is_nameless:
        yield from seen.makers.warnings()
    elif seen.makers.are_mixed:
        yield MIXED
    for name, said in (("unreadable", "not readable"), ("without_images", "no images")):
        if seen.is_nameless and summary.get(name):
            yield f"{said}: {counted(len(summary[name]), 'source')}"
        else:
            yield from _first(f"{said}: {text}" for text in summary.get(name) or ())
    yield from _first(f"not opened: {count:,} ({reason})" for reason, count in (summary.get("left_out") or {}).items())


def _first(lines: Iterator[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    found = [short_text(line) for line in lines]
    more = [f"and {len(found) - LINES_SHOWN:,} more"] if len(found) > LINES_SHOWN else []
    return found[:LINES_SHOWN] + more


def _figures(ledger: LedgerReader, seen: _Seen) -> Iterator[Section]:
    yield Section("What came out", cards=list(_cards(seen.tallies)))
    if seen.tallies.done:
        yield Section("Masks", charts=list(_mask_charts(ledger, seen.tallies)))
    if seen.makers.last_run is not None and (section := _speed(ledger, seen.makers.last_run)) is not None:
        yield section
    if (section := failures_section(reasons_of(ledger), seen.shown, is_nameless=seen.is_nameless)) is not None:
        yield section
    if notes := list(_notes(seen)):
        yield Section("Notes", listings=[Listing(["of the last run"], [[note] for note in notes])])


def _cards(tallies: Tallies) -> Iterator[Card]:
    yield Card(f"{tallies.images:,}", noun(tallies.images, "image"))
    yield Card(f"{tallies.done:,}", noun(tallies.done, "mask"))
    yield Card(f"{tallies.failed:,}", "failed", warns=tallies.failed > 0)
    if tallies.pending:
        yield Card(f"{tallies.pending:,}", "to be done", warns=True)
    yield Card(f"{tallies.empty:,}", "without a lesion", warns=tallies.empty > 0)
    yield Card(f"{tallies.uncertain:,}", "uncertain", warns=tallies.uncertain > 0)
    yield Card(f"{tallies.cut:,}", "cut by the border", warns=tallies.cut > 0)
    if tallies.judged:
        yield Card(f"{tallies.unsuitable:,}", "unlike the training images", warns=tallies.unsuitable > 0)


def _mask_charts(ledger: LedgerReader, tallies: Tallies) -> Iterator[Chart]:
    share = share_histogram(ledger, "lesion_fraction")
    yield Chart(charts.counted_histogram(*share, "lesion's share of the image"), "Lesion's share of the image")
    low = int(tallies.least_confidence * 10) / 10 if tallies.least_confidence < 1 else 0.0
    confidence = share_histogram(ledger, "confidence", low)
    yield Chart(
        charts.counted_histogram(*confidence, "confidence"), "Confidence; masks below 0.8 should be checked by a person"
    )
    if tallies.judged:
        suitable = share_histogram(ledger, "suitable")
        yield Chart(
            charts.counted_histogram(*suitable, "suitability"), "Suitability; below 0.5 unlike the training images"
        )
    yield Chart(charts.bars(size_counts(ledger), "sizes of images"), "Sizes of images")


def _speed(ledger: LedgerReader, run: RunRecord) -> Section | None:
    speed = speed_of(ledger, run)
    if speed is None:
        return None
    drawn = [
        Chart(charts.lines({"images/s": speed.rates}, "minutes", "images/s"), "Images done or failed per second"),
        Chart(charts.counted_histogram(*speed.failures, "minutes"), "Failures over time"),
    ]
    return Section("The last run over time", charts=drawn if any(speed.failures.counts) else drawn[:1])


def _notes(seen: _Seen) -> Iterator[str]:
    if not seen.is_nameless:
        yield from _first(iter(seen.summary.get("notes") or ()))
        remarks = sorted((seen.summary.get("remarks") or {}).items(), key=lambda one: -one[1])
        yield from _first(f"remark on {counted(count, 'image')}: {text}" for text, count in remarks)


def _pictures(galleries: list[Gallery], masks: StoredMasks, ledger: LedgerReader, seen: _Seen) -> Iterator[Section]:
    runs: dict[str | None, RunRecord] = {run.key: run for run in ledger.runs()}
    last = seen.makers.last_run
    drawings = Drawings(last.settings.get("zip_encoding") if last is not None else None)
    return gallery_sections(galleries, masks, runs, drawings, seen.shown, is_nameless=seen.is_nameless)


def _about(seen: _Seen) -> Iterator[Section]:
    yield model_section(seen.makers, is_nameless=seen.is_nameless)
    if seen.makers.last_run is not None:
        yield run_section(seen.makers.last_run, is_nameless=seen.is_nameless)
