"""The page of an output: its pictures, its size, and what it makes of things that are gone."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from batch.errors import OutputError
from batch.outputs.spec import Output
from batch.reporting.pages import pictures, run_page
from batch.reporting.pages.page_file import RUN, is_written, remove_report, report_path, require_page, write_page
from batch.reporting.pages.pictures import SMALL, WIDE, with_outlines
from batch.reporting.pages.run_page import run_page as page_of
from batch.reporting.pages.score_page import OF_A_KIND as SCORED
from batch.reporting.pages.selection import AT_RANDOM, KINDS, OF_A_KIND, UNLIKE
from seglab.errors import ConfigError
from seglab.pages.page import Page, Section, html_of
from tests.support.archive import run_all, save_many, spot
from tests.support.ledgers import fill

MOST = 5_000_000
TEXTS = 600_000
"""Bytes that texts and charts take at most."""


def pictures_in(page: Page) -> list[bytes]:
    return [picture.data for section in page.sections for picture in section.pictures]


def section(page: Page, title: str) -> Section:
    return next(section for section in page.sections if section.title == title)


def execute(out: Path, text: str, *values: object) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as ledger, ledger:
        ledger.execute(text, values)


def decoded(picture: bytes) -> np.ndarray:
    """Return the pixels of a JPEG or PNG, as OpenCV has them: BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))


def test_pictures_show_the_photograph_with_its_outline(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 5)
    run_all(tmp_path / "in", tmp_path / "out")
    page = page_of(Output.of(tmp_path / "out"))
    shown = section(page, "All masks").pictures
    assert [picture.captions[0] for picture in shown] == [f"{number:03}.png" for number in range(5)]
    for number, picture in enumerate(shown):
        photo = decoded((tmp_path / "in" / f"{number:03}.png").read_bytes())
        drawn = decoded(picture.data)
        assert drawn.shape == photo.shape
        is_cyan = (drawn[..., 2].astype(int) + 60 < drawn[..., 0]) & (drawn[..., 2].astype(int) + 60 < drawn[..., 1])
        assert is_cyan.sum() > 20
        away = cv2.dilate(is_cyan.astype(np.uint8), np.ones((13, 13))) == 0
        assert np.abs(drawn[away].astype(int) - photo[away]).mean() < 8


def test_the_page_has_at_most_5_mb_whatever_it_shows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(60):
        cv2.imwrite(str(folder / f"{number:03}.png"), rng.integers(0, 256, (260, 300, 3), dtype=np.uint8))
    run_all(folder, tmp_path / "out")
    execute(tmp_path / "out", "UPDATE items SET suitable = 0.1, bbox_x0 = 0, bbox_y0 = 0, bbox_y1 = height")
    page = page_of(Output.of(tmp_path / "out"))
    found = pictures_in(page)
    assert len(found) == 4 * OF_A_KIND + AT_RANDOM
    assert max(map(len, found)) <= SMALL.most_bytes
    assert len(html_of(page)) < MOST
    galleries = len(KINDS) + len([UNLIKE])
    assert (galleries * OF_A_KIND + AT_RANDOM) * SMALL.most_bytes * 4 / 3 + TEXTS < MOST
    assert 2 * SCORED * WIDE.most_bytes * 4 / 3 + TEXTS < MOST


@pytest.mark.parametrize("size", [SMALL, WIDE])
def test_noise_is_made_smaller_until_it_fits(size: pictures.Size) -> None:
    side = size.sides[0]
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    photograph = cv2.imencode(".png", noise)[1].tobytes()
    drawn = with_outlines(photograph, np.zeros((side, side), np.uint8), size=size)
    assert len(drawn) <= size.most_bytes
    assert max(decoded(drawn).shape) in size.sides[1:]


def test_texts_are_short_whatever_the_ledger_says(tmp_path: Path) -> None:
    reasons = [f"{letter}{digit} {'why ' * 1000}; do that." for letter in "abcdefghijklmnopqrst" for digit in range(10)]
    fill(tmp_path, 200, failures=dict.fromkeys(reasons, 6))
    settings = {"sources": [f"{'x' * 3000}/{number}.jpg" for number in range(3000)], "name": "n" * 100_000}
    summary = {"notes": ["n" * 5000] * 500, "unreadable": ["u" * 5000] * 500, "remarks": {"r" * 5000: 3}}
    execute(tmp_path / "out", "UPDATE runs SET settings = ?, summary = ?", json.dumps(settings), json.dumps(summary))
    execute(tmp_path / "out", "UPDATE items SET path = path || ?", "/p" * 2000)
    page = page_of(Output.of(tmp_path / "out"), pictures=False)
    assert len(html_of(page)) < TEXTS / 3
    assert pictures_in(page) == []
    assert section(page, "Pictures").text == run_page.NO_PICTURES


def test_what_is_gone_is_said_in_its_place(tmp_path: Path) -> None:
    photos = save_many(tmp_path / "in", 5)
    run_all(tmp_path / "in", tmp_path / "out")
    photos[0].unlink()
    photos[1].write_bytes(b"no image")
    (tmp_path / "out" / "002.png").unlink()
    cv2.imwrite(str(tmp_path / "out" / "003.png"), np.zeros((5, 5), np.uint8))
    shown = section(page_of(Output.of(tmp_path / "out")), "All masks").pictures
    assert [bool(picture.data) for picture in shown] == [False, False, False, False, True]
    assert "No such file" in shown[0].missing
    assert "It changed since the mask was made" in shown[1].missing
    assert shown[2].missing == "The mask is missing. Run again to make it."
    assert shown[3].missing.startswith("The mask is not the one that was written")


def test_one_sentence_if_no_photograph_is_there(tmp_path: Path) -> None:
    run_all([str(path) for path in save_many(tmp_path / "in", 5)], tmp_path / "out")
    execute(tmp_path / "out", "UPDATE items SET path = '-/' || mask")
    shown = section(page_of(Output.of(tmp_path / "out")), "All masks")
    assert shown.pictures == ()
    assert shown.text.startswith("In the order in which their images were found.")
    assert "None of the 5 can be shown: " in shown.text


def test_a_photograph_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    run_all(tmp_path / "in", tmp_path / "out")
    execute(tmp_path / "out", "UPDATE items SET height = 20000, width = 20000 WHERE id = 1")
    shown = section(page_of(Output.of(tmp_path / "out")), "All masks").pictures
    assert shown[0].missing == "It has 400 megapixels, too many for a picture here."
    assert shown[1].data


def test_reading_ends_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(pictures, "MOST_SECONDS", -1.0)
    shown = section(page_of(Output.of(tmp_path / "out")), "All masks").pictures
    assert sorted(picture.missing for picture in shown) == ["", pictures.TOOK_TOO_LONG, pictures.TOOK_TOO_LONG]


def test_images_that_are_forgotten_meanwhile_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / "out")
    drawn = run_page._pictures

    def forgetting(*arguments: object) -> object:
        execute(tmp_path / "out", "DELETE FROM items WHERE path LIKE '%/001.png'")
        return drawn(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(run_page, "_pictures", forgetting)
    page = page_of(Output.of(tmp_path / "out"))
    assert [picture.captions[0] for picture in section(page, "All masks").pictures] == ["000.png", "002.png"]


def test_an_output_that_loses_images_all_the_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 9)
    run_all(tmp_path / "in", tmp_path / "out")

    def forgetting(*_: object) -> list[Section]:
        execute(tmp_path / "out", "DELETE FROM items WHERE id = (SELECT min(id) FROM items)")
        return []

    monkeypatch.setattr(run_page, "_pictures", forgetting)
    with pytest.raises(OutputError, match=r"Images are being forgotten in .*again when that has ended"):
        page_of(Output.of(tmp_path / "out"))


def test_both_outlines_have_their_colours() -> None:
    photograph = cv2.imencode(".png", spot(120, 160))[1].tobytes()
    mask, truth = np.zeros((120, 160), np.uint8), np.zeros((120, 160), np.uint8)
    mask[20:60, 20:60] = truth[70:110, 90:140] = 255
    for given in (photograph, None):
        drawn = decoded(with_outlines(given, mask, truth, size=WIDE)).astype(int)
        assert drawn.shape == (120, 160, 3)
        blue, green, red = drawn[20, 30:50].mean(axis=0)
        assert min(blue, green) > red + 60
        blue, green, red = drawn[70, 100:130].mean(axis=0)
        assert min(red, green) > blue + 60


def test_only_a_page_of_its_kind_is_replaced(tmp_path: Path) -> None:
    path, ours = tmp_path / "page.html", Page("Ours", "", [], f"{RUN} (seglab 1)")
    write_page(path, ours, RUN)
    write_page(path, ours, RUN)
    with pytest.raises(OutputError, match="exists and is not a score report of seg-batch"):
        require_page(path, "seg-batch score report")
    path.write_text(f'<html><title>Mine</title>{"x" * 2000}<meta name="generator" content="{RUN}">')
    with pytest.raises(OutputError, match="exists and is not a run report"):
        write_page(path, ours, RUN)
    with pytest.raises(ConfigError, match=re.escape("expected a name that ends in .html, .htm")):
        require_page(tmp_path / "page.txt", RUN)


def test_a_page_is_removed_with_what_a_killed_run_left_of_one(tmp_path: Path) -> None:
    output = Output.of(tmp_path / "out")
    assert not remove_report(output)
    write_page(report_path(output), Page("Ours", "", [], f"{RUN} (seglab 1)"), RUN)
    left = tmp_path / "out" / ".report.999999999-1.tmp.html"
    left.write_bytes(b"half a page")
    assert is_written(output)
    assert remove_report(output)
    assert not left.exists()
    assert not is_written(output)
    report_path(output).write_text("mine")
    assert not remove_report(output)
    assert report_path(output).read_text() == "mine"


def test_pictures_hold_nothing_but_pixels(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    jpeg = cv2.imencode(".jpg", spot(90, 120))[1].tobytes()
    secret = b"Exif\0\0Jane Doe, born 1970"
    marked = jpeg[:2] + b"\xff\xe1" + (len(secret) + 2).to_bytes(2, "big") + secret + jpeg[2:]
    (tmp_path / "in" / "a.jpg").write_bytes(marked)
    run_all(tmp_path / "in", tmp_path / "out")
    whole = html_of(page_of(Output.of(tmp_path / "out")))
    found = [base64.b64decode(each) for each in re.findall(rb"base64,([A-Za-z0-9+/=]+)", whole)]
    assert found
    assert not [each for each in found if b"Jane" in each or b"Exif" in each]
