"""The parts of a page about scored images: which are shown, how large they are, what stands in the tables."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.data.pairs import FilePair
from seglab.errors import WriteError
from seglab.evaluation.pages.files import TRAIN, VALIDATE, write_page
from seglab.evaluation.pages.scored import MOST_DOTS, ScoredImages, scored_sections
from seglab.evaluation.pages.strips import GAP, MEDIAN, RANDOM, WIDTH, WORST, choose, strips
from seglab.evaluation.validate import Verdict
from seglab.images.outlines import PREDICTION, TRUTH
from seglab.metrics.overlap import Confusion, confusion
from seglab.pages.page import Page, html_of

Pixels = NDArray[np.uint8]


def verdict_of(counts: list[Confusion]) -> Verdict:
    verdict = Verdict(outlines=False)
    for number, each in enumerate(counts):
        verdict.scores.add(f"image {number}", each)
        verdict.lesions.append(str(number))
    return verdict


@pytest.mark.parametrize("count", [1, 5, WORST, WORST + 1, 20, WORST + MEDIAN + RANDOM, 1000])
def test_no_image_is_shown_twice_and_the_worst_come_first(count: int) -> None:
    dice = np.random.default_rng(count).random(count).tolist()
    chosen = choose(dice)
    shown = [*chosen.worst, *chosen.median, *chosen.random]
    assert len(set(shown)) == len(shown) == min(count, WORST + MEDIAN + RANDOM)
    assert [dice[place] for place in chosen.worst] == sorted(dice)[:WORST]
    assert chosen == choose(dice)
    if count == 1000:
        middle = [dice[place] for place in chosen.median]
        assert min(middle) <= np.median(dice) <= max(middle)


def photo_and_truth(folder: Path, pixels: Pixels, truth: Pixels, name: str = "a") -> FilePair:
    Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(truth).save(folder / f"{name}_truth.png")
    return FilePair(name, folder / f"{name}.png", folder / f"{name}_truth.png")


def test_colours_say_who_found_what(tmp_path: Path) -> None:
    truth, mask = np.zeros((2, 120, 160), np.uint8)
    truth[20:100, 20:100], mask[20:100, 60:140] = 255, 255
    pair = photo_and_truth(tmp_path, np.full((120, 160, 3), 90, np.uint8), truth)
    (picture,) = strips([pair], [confusion(mask, truth)], [0], lambda _: (pair.photo().pixels, mask))
    drawn = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn is not None
    scale = WIDTH / 160
    assert drawn.shape == (round(120 * scale), 3 * WIDTH + 2 * GAP, 3)

    def at(tile: int, x: int) -> NDArray[np.int64]:
        return np.asarray(drawn[round(60 * scale), tile * (WIDTH + GAP) + round(x * scale)], np.int64)

    expected = {(0, 40): (90,) * 3, (1, 40): (255,) * 3, (1, 120): (0,) * 3, (2, 5): (0,) * 3, (2, 40): TRUTH,
                (2, 80): (255,) * 3, (2, 120): PREDICTION}  # fmt: skip
    for place, colour in expected.items():
        assert np.abs(at(*place) - colour).max() < 12, place
    assert picture.captions == ("a", "Dice 0.500, IoU 0.333; the lesion covers 33.3 % of the image")


def test_a_photograph_that_is_gone_leaves_a_field_that_says_so(tmp_path: Path) -> None:
    truth = np.full((20, 30), 255, np.uint8)
    pair = photo_and_truth(tmp_path, np.zeros((20, 30, 3), np.uint8), truth)
    pair.image.unlink()
    (picture,) = strips([pair], [confusion(truth, truth)], [0], lambda _: (pair.photo().pixels, truth))
    assert not picture.data
    assert "It cannot be shown: " in picture.missing


@pytest.mark.slow
def test_a_page_of_noise_and_of_many_images_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (500, 500, 3), np.uint8)
    truth = np.where(rng.random((500, 500)) < 0.5, np.uint8(255), np.uint8(0))
    pair = photo_and_truth(tmp_path, noise, truth)
    sizes = rng.integers(0, 1000, (30_000, 3))
    counts = [Confusion(int(a), int(b), int(c), 3000) for a, b, c in sizes]
    scored = ScoredImages(verdict_of(counts), [pair] * len(counts), lambda _: (noise, ~truth), "All.")
    sections = list(scored_sections(scored))
    page = html_of(Page("Noise", "", sections, TRAIN))
    assert page.count(b"<img") == WORST + MEDIAN + RANDOM
    assert page.count(b'<circle class="dot"') == MOST_DOTS
    assert len(page) < 4_000_000


def test_the_table_by_size_has_the_means_of_its_images(tmp_path: Path) -> None:
    pair = photo_and_truth(tmp_path, np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8))
    shares = {"below 1 %": 5, "1 to 5 %": 10, "5 to 20 %": 50, "above 50 %": 1000}  # pixels of 1,000
    counts = [Confusion(half, 0, pixels - half, 1000 - pixels) for pixels in shares.values() for half in (pixels, 0)]
    scored = ScoredImages(verdict_of(counts), [pair] * len(counts), lambda _: (np.zeros((9, 9, 3), np.uint8),) * 2, "")
    table = next(section for section in scored_sections(scored) if section.title == "Agreement by lesion size")
    assert [list(row) for row in table.listings[0].rows] == [
        [name, "2", "0.5000", "0.5000", "0.0000"] for name in shares
    ]


def test_only_a_page_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    page, file = Page("Page", "", [], TRAIN), tmp_path / "report.html"
    write_page(file, page)
    write_page(file, page)
    file.write_bytes(b"")
    write_page(file, page)
    own = file.read_bytes()
    others = {"mine.html": b"<html>mine</html>", "validation.html": own.replace(TRAIN.encode(), VALIDATE.encode(), 1)}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WriteError, match="not a page that seglab train wrote"):
            write_page(tmp_path / name, page)
        assert (tmp_path / name).read_bytes() == content
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "link"):
        with pytest.raises(WriteError, match="is kept"):
            write_page(tmp_path / name, page)
    assert not (tmp_path / "nowhere").exists()
