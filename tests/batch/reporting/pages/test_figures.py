"""Figures that SQLite counts, against the same ones counted row by row."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from batch.figures import Figures
from batch.ledger.reader import LedgerReader
from batch.reporting.pages.failures import MOST_REASONS, reasons_of
from batch.reporting.pages.figures import BINS, MEGAPIXELS, share_histogram, size_counts, speed_of, tallies_of
from batch.reporting.pages.selection import AT_RANDOM, OF_A_KIND, galleries_of
from tests.support.ledgers import Row, fill

COUNT = 3000
FAILURES = {
    "The file is empty; expected an image. Copy it again from the original.": 30,
    "Not an image (17 bytes that begin b'<x'); expected JPEG.": 20,
    "Not an image (99 bytes that begin b'<y'); expected JPEG.": 7,
}
real = pytest.approx


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    folder = tmp_path_factory.mktemp("filled")
    return folder / "out", fill(folder, COUNT, failures=FAILURES)


@pytest.fixture
def ledger(filled: tuple[Path, list[Row]]) -> Iterator[LedgerReader]:
    with LedgerReader(filled[0]) as opened:
        yield opened


@pytest.fixture
def rows(filled: tuple[Path, list[Row]], ledger: LedgerReader) -> list[Row]:
    """All rows that are done, the real image's among them."""
    (path, *values) = next(
        ledger.query(
            "SELECT path, height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence FROM items "
            "WHERE path LIKE '%/real.png'"
        )
    )
    height, width, area, *box, confidence = values
    x0, y0, x1, y1 = box
    real_row = Row(path, Figures(height, width, area, (x0, y0, x1, y1), confidence), 0)
    return [real_row, *filled[1]]


def test_tallies(ledger: LedgerReader, rows: list[Row]) -> None:
    tallies = tallies_of(ledger)
    figures = [row.figures for row in rows]
    assert (tallies.done, tallies.failed, tallies.pending) == (COUNT + 1, 57, 0)
    assert tallies.empty == sum(each.is_empty for each in figures) > 100
    assert tallies.uncertain == sum(each.is_uncertain for each in figures) > 100
    assert tallies.cut == sum(each.is_cut for each in figures) > 100
    assert tallies.unsuitable == sum(each.is_unsuitable for each in figures) > 100
    assert tallies.judged == COUNT
    assert tallies.least_confidence == min(each.confidence for each in figures)


@pytest.mark.parametrize(
    ("column", "low"), [("lesion_fraction", 0.0), ("confidence", 0.0), ("confidence", 0.3), ("suitable", 0.0)]
)
def test_histograms(ledger: LedgerReader, rows: list[Row], column: str, low: float) -> None:
    found = share_histogram(ledger, column, low)
    values = [value for row in rows if (value := getattr(row.figures, column)) is not None]
    expected, edges = np.histogram(np.clip(values, low, 1), BINS, (low, 1))
    assert found.edges == real(edges.tolist())
    assert sum(found.counts) == len(values)
    assert np.abs(np.subtract(found.counts, expected)).max() <= 1  # a value on an edge


def test_sizes(ledger: LedgerReader, rows: list[Row]) -> None:
    found = size_counts(ledger)
    pixels = [row.figures.height * row.figures.width for row in rows]
    assert sum(found.values()) == len(rows)
    assert found["below 0.1 megapixels"] == sum(each < 1e5 for each in pixels)
    assert found["4 to 8 megapixels"] == sum(4e6 <= each < 8e6 for each in pixels)
    assert len(found) <= len(MEGAPIXELS) + 1


def test_the_course_of_a_run(ledger: LedgerReader, rows: list[Row]) -> None:
    run = ledger.last_run()
    assert run is not None
    speed = speed_of(ledger, run)
    assert speed is not None
    assert len(speed.rates) == 60
    assert sum(speed.failures.counts) == 57
    width = 10  # seconds: 600 in 60 bins
    in_first = sum(row.second < width for row in rows) + sum(number % 600 < width for number in _failure_numbers())
    assert speed.rates[0][1] == real(in_first / width)
    total = sum(rate for _, rate in speed.rates[:-1]) * width
    assert total == real(len(rows) + 57 - speed.rates[-1][1] * width, abs=width * speed.rates[-1][1])


def _failure_numbers() -> list[int]:
    return [number for count in FAILURES.values() for number in range(count)]


def test_reasons_without_their_varying_parts(ledger: LedgerReader) -> None:
    reasons = reasons_of(ledger)
    assert [(name, one.count, len(one.examples)) for name, one in reasons.items()] == [
        ("empty file", 30, 5),
        ("not an image", 27, 5),
    ]
    assert reasons["empty file"].whole.startswith("The file is empty; expected")


def test_a_thousand_reasons_and_no_more(tmp_path: Path) -> None:
    letters = ["".join(each) for each in itertools.product("abcdefghijk", "abcdefghij", "abcdefghij")]
    fill(tmp_path, 0, failures=dict.fromkeys((f"Reason {each}. Do that." for each in letters), 1))
    with LedgerReader(tmp_path / "out") as ledger:
        reasons = reasons_of(ledger)
    assert len(reasons) == MOST_REASONS + 1
    assert Counter({name: one.count for name, one in reasons.items()})["other reasons"] == len(letters) - MOST_REASONS


def test_galleries(ledger: LedgerReader, rows: list[Row]) -> None:
    found = {gallery.title: [entry.path for entry in gallery.masks] for gallery in galleries_of(ledger, len(rows))}
    assert list(found) == [
        "Least certain",
        "No lesion found",
        "Largest share of the image",
        "Cut by the border",
        "Unlike the model's training images",
        "At random",
    ]
    lesions = [row for row in rows if not row.figures.is_empty]
    by_doubt = sorted(lesions, key=lambda row: row.figures.confidence)
    by_size = sorted(lesions, key=lambda row: -row.figures.lesion_fraction)
    assert found["Least certain"] == [row.path for row in by_doubt][:OF_A_KIND]
    assert found["Largest share of the image"] == [row.path for row in by_size][:OF_A_KIND]
    assert found["Cut by the border"] == [row.path for row in by_size if row.figures.is_cut][:OF_A_KIND]
    assert {row.path for row in rows if row.figures.is_empty} > set(found["No lesion found"])
    drawn = found["At random"]
    assert len(set(drawn)) == AT_RANDOM
    assert drawn == [entry.path for entry in galleries_of(ledger, len(rows))[-1].masks]
    places = [[row.path for row in rows].index(path) for path in drawn]
    assert min(places) < COUNT / 5 < COUNT * 4 / 5 < max(places)


def test_few_masks_are_all_shown(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    with LedgerReader(tmp_path / "out") as ledger:
        last = galleries_of(ledger, 6)[-1]
    assert (last.title, len(last.masks)) == ("All masks", 6)
