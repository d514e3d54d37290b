"""The page of ``seglab compare``, through the command and in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result

from seglab.cli import main
from tests.support.browser import SCHEMES, SIZES, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=alert(1)>"
FIRST = {HOSTILE: 0.9, "b": 0.5, "c": 0.25, "only here": 1.0}
SECOND = {HOSTILE: 0.1, "b": 0.5, "c": 0.75}


def table(path: Path, dice: dict[str, float]) -> Path:
    lines = [f'"{image}",{value},{value / 2}' for image, value in dice.items()]
    path.write_text("\n".join(["image,dice,iou", *lines]) + "\n")
    return path


def compare(*arguments: Path | str) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared")
    first, second = table(root / "first.csv", FIRST), table(root / "second.csv", SECOND)
    for _ in range(2):  # its own page is written again
        done = compare(first, second, "--report", root / "page.html")
        assert done.exit_code == 0, done.output
    return root / "page.html"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_it_lists_the_images_that_differ_most(browser: Browser, page: Path, size: tuple[int, int], scheme: str) -> None:
    watched = opened(browser, page.as_uri(), size, scheme)
    means, images = watched.page.locator("table").all()
    rows = [row.locator("td").all_inner_texts() for row in images.locator("tbody tr").all()]
    assert [row[0] for row in rows] == [HOSTILE, "c", "b"]
    assert [row[3] for row in rows] == ["+0.8000", "-0.5000", "+0.0000"]
    mean = np.mean([FIRST[image] - SECOND[image] for image in SECOND])
    assert means.locator("tbody tr").first.locator("td").all_inner_texts()[3] == f"{mean:+.4f}"
    assert watched.page.get_by_text("Only first.csv scored 1 more image.").count() == 1
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    watched.require_clean()
    watched.page.context.close()


def test_a_file_of_the_user_is_kept(page: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.html"
    own.write_text("mine")
    refused = compare(page.parent / "first.csv", page.parent / "second.csv", "--report", own)
    assert refused.exit_code == 2
    assert "is not a page of seglab compare, so it is not overwritten" in refused.stderr
    assert own.read_text() == "mine"


def test_one_table_alone_has_a_page_without_differences(page: Path, tmp_path: Path) -> None:
    done = compare(page.parent / "first.csv", "--report", tmp_path / "one.html")
    assert done.exit_code == 0, done.output
    assert "<table>" not in (tmp_path / "one.html").read_text()
