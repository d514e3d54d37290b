"""Pages in a real browser: what they show, and that they ask nobody for anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from seglab.pages import charts
from seglab.pages.page import Card, Chart, Facts, Listing, Page, Picture, Section, html_of
from tests.support.browser import SCHEMES, SIZES, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<script>alert(1)</script>\x1b[31m\udcff"


def page() -> Page:
    values = np.random.default_rng(0).beta(2, 5, 200)
    jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), 90, np.uint8))[1].tobytes()
    drawn = {
        "share": charts.histogram(values.tolist(), "lesion share", low=0, high=1),
        "speed": charts.lines({"done": [(0, 1), (1, 3)], HOSTILE: [(0, 0), (1, 1)]}, "minutes", "images/s"),
        "failures": charts.bars({HOSTILE: 3, "a name that is much too long for its place here": 5}, "failures"),
        "agreement": charts.scatter([(0.1, 0.9), (0.5, 0.3)], "share", "Dice"),
        "none": charts.histogram([], "nothing"),
        "one value": charts.histogram([0.5], "one value"),
    }
    section = Section(
        HOSTILE,
        HOSTILE,
        cards=[Card("1,000", "images"), Card("3", HOSTILE, warns=True)],
        charts=[Chart(svg, caption) for caption, svg in drawn.items()],
        pictures=[Picture(jpeg, HOSTILE, [HOSTILE]), Picture(b"", "none", ["b.jpg"], missing="It is gone.")],
        facts=Facts({HOSTILE: HOSTILE}),
        listings=[Listing(["image", "Dice"], [[HOSTILE, "0.5"]], frozenset({1}))],
    )
    return Page("Masks of photos", "1,000 images", [section], "a test", [HOSTILE])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_everybody_can_read_it(browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: str) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(html_of(page()))
    watched = opened(browser, file.as_uri(), size, scheme)
    assert watched.page.locator("script").count() == 0
    assert watched.page.locator("h2").inner_text() == "<script>alert(1)</script>\\x1b[31m\\xff"
    assert watched.page.locator("img").evaluate("image => image.naturalWidth") == 60
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    watched.require_clean()
    watched.page.context.close()


def test_bars_have_the_heights_of_their_counts() -> None:
    drawn = charts.counted_histogram([1, 4, 0], [0.0, 1.0, 2.0, 3.0], "x")
    heights = [float(part.split('"')[0]) for part in drawn.split('height="')[1:]]
    assert len(heights) == 2  # the third bar has none
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.2)
