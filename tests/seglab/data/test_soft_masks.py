"""Soft masks: probabilities beside the truth, from any file that says clearly what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.data.augmentation import Augmentation
from seglab.data.examples import Examples
from seglab.data.finding.layouts import find_pairs
from seglab.data.pairs import FilePair
from seglab.data.soft_masks import find_soft_masks
from seglab.errors import DataError
from seglab.synth import write_set

Probs = NDArray[np.float32]


def named(id: str) -> FilePair:
    return FilePair(id, Path(f"{id}.jpg"), Path())


def as_png(path: Path, prob: Probs) -> None:
    Image.fromarray(np.rint(prob * 255).astype(np.uint8)).save(path.with_suffix(".png"))


def as_png_of_16_bits(path: Path, prob: Probs) -> None:
    Image.fromarray(np.rint(prob * 65535).astype(np.uint16)).save(path.with_suffix(".png"))


def as_grey_in_colours(path: Path, prob: Probs) -> None:
    Image.fromarray(np.rint(prob * 255).astype(np.uint8)).convert("RGB").save(path.with_suffix(".png"))


def as_floats(path: Path, prob: Probs) -> None:
    np.save(path.with_suffix(".npy"), prob)


def as_halves_with_a_channel(path: Path, prob: Probs) -> None:
    np.save(path.with_suffix(".npy"), prob[None].astype(np.float16))


def as_bytes(path: Path, prob: Probs) -> None:
    np.save(path.with_suffix(".npy"), np.rint(prob * 255).astype(np.uint8))


FORMS = [as_png, as_png_of_16_bits, as_grey_in_colours, as_floats, as_halves_with_a_channel, as_bytes]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path: Path, form: Callable[[Path, Probs], None]) -> None:
    prob = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    form(tmp_path / "a", prob)
    read = find_soft_masks(tmp_path, [named("a")], 0.5).read("a.jpg", (60, 80))
    assert read.dtype == np.float32
    assert np.abs(read - prob).max() < 3e-3


def test_they_are_mixed_with_the_truth_wherever_it_goes(tmp_path: Path) -> None:
    """Soft masks that are the truth, at a third of its size, give the truth, cropped, turned and bent as it is."""
    write_set(tmp_path, 2, [(96, 128)], seed=1)
    pairs = find_pairs(tmp_path)
    (tmp_path / "soft").mkdir()
    for pair in pairs:
        truth = Image.fromarray(pair.mask()).resize((64, 48), Image.Resampling.BOX)
        truth.save(tmp_path / "soft" / f"{pair.id}.png")
    bend = Augmentation(crop=True, turn=True, rotate=20, elastic=3)
    for weight, most in ((1.0, 0.06), (0.5, 0.03)):
        soft = find_soft_masks(tmp_path / "soft", pairs, weight)
        for epoch in range(6):
            image, target = Examples(pairs, 32, bend, 7)[epoch, 1]
            same, mixed = Examples(pairs, 32, bend, 7, soft=soft)[epoch, 1]
            assert np.array_equal(image, same)
            assert float((target - mixed).abs().mean()) < most
    empty = dataclasses.replace(soft, files={pair.source: tmp_path / "none.npy" for pair in pairs}, weight=0.25)
    np.save(tmp_path / "none.npy", np.zeros((8, 8), np.float32))
    assert np.allclose(Examples(pairs, 32, bend, 7, soft=empty)[3, 0][1], 0.75 * Examples(pairs, 32, bend, 7)[3, 0][1])


def test_an_id_with_its_set_is_looked_for_in_the_sets_folder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    as_floats(tmp_path / "one" / "1.2", np.zeros((2, 2), np.float32))
    (tmp_path / "one" / "1.npy").rename(tmp_path / "one" / "1.2.npy")
    assert find_soft_masks(tmp_path, [named("one/1.2")], 1.0).files == {"one/1.2.jpg": tmp_path / "one" / "1.2.npy"}


def test_pictures_of_one_id_have_their_own(tmp_path: Path) -> None:
    """ISIC 2017 and 2018 hold other cuts of a photograph under its name."""
    pairs = [FilePair("ISIC_7", tmp_path / place / "ISIC_7.jpg", tmp_path) for place in ("a/input", "b/input")]
    soft = tmp_path / "soft"
    soft.mkdir()
    as_png(soft / "ISIC_7", np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match=r"ISIC_7.png would be the soft mask of two pictures, .*a/input/ISIC_7.jpg and"):
        find_soft_masks(soft, pairs, 0.5)
    for place, level in (("a", 0.2), ("b", 0.8)):
        (soft / place).mkdir()
        as_png(soft / place / "ISIC_7", np.full((2, 2), level, np.float32))
    found = find_soft_masks(soft, pairs, 0.5)
    levels = [float(found.read(pair.source, (8, 8)).max()) for pair in pairs]
    assert levels == pytest.approx([0.2, 0.8])


def test_images_without_one_are_named(tmp_path: Path) -> None:
    as_floats(tmp_path / "a", np.zeros((2, 2), np.float32))
    with pytest.raises(DataError, match=r"soft masks for 1 of 3 training images, none for b, c; .* as b.png"):
        find_soft_masks(tmp_path, map(named, "abc"), 0.5)
    with pytest.raises(DataError, match="gone is not a folder"):
        find_soft_masks(tmp_path / "gone", [named("a")], 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((6, 8), 1.5, np.float32), "float32 .*1.5 to 1.5; expected one channel of probabilities"),
        (np.full((6, 8), np.nan, np.float32), "nan to nan"),
        (np.full((6, 8), -0.5, np.float32), "-0.5 to -0.5"),
        (np.zeros((6, 8), np.int64), "int64"),
        (np.zeros((6, 8, 2), np.float32), r"\(6, 8, 2\)"),
        (
            np.zeros((8, 6), np.float32),
            r"is \(8, 6\), its image \(60, 80\); expected the same aspect ratio, or a square",
        ),
        (np.array([["a"]]), "no numbers"),
    ],
)
def test_what_is_no_probability_is_refused(tmp_path: Path, values: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=message):
        find_soft_masks(tmp_path, [named("a")], 0.5).read("a.jpg", (60, 80))


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.npy"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            find_soft_masks(tmp_path, [named(name[0])], 0.5).read(f"{name[0]}.jpg", (60, 80))
