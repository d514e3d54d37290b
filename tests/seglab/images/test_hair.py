"""Hair removal: hairs go, lesions stay, and nothing happens where there is no hair."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from seglab.errors import ConfigError
from seglab.images.hair import hair_figure, hair_mask, hairiest, remove, remove_hair


def skin(hairs: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """A lesion on skin with straight dark hairs: (image, the image without hairs, where the hairs are)."""
    rng = np.random.default_rng(4)
    clean = np.full((256, 256, 3), (205, 165, 145), np.uint8)
    cv2.circle(clean, (128, 128), 55, (110, 70, 55), -1)
    clean = np.asarray(cv2.GaussianBlur(clean, (0, 0), 4), np.uint8)
    image, where = clean.copy(), np.zeros((256, 256), np.uint8)
    for _ in range(hairs):
        ends = rng.integers(0, 256, 4).tolist()
        for target, colour in ((image, (40, 25, 20)), (where, (255,))):
            cv2.line(target, ends[:2], ends[2:], colour, 2, cv2.LINE_AA)
    return image, clean, where


def test_hairs_go_and_the_lesion_stays() -> None:
    image, clean, where = skin(hairs=8)
    found = hair_mask(image)
    assert np.mean(found[where > 200] > 0) > 0.95
    assert np.mean(found[where == 0] > 0) < 0.08
    after = remove_hair(image)
    error = np.abs(after.astype(int) - clean)[where > 0].mean()
    assert error < 0.15 * np.abs(image.astype(int) - clean)[where > 0].mean()


def test_without_hairs_nothing_changes() -> None:
    image, _, _ = skin(hairs=0)
    assert not hair_mask(image).any()
    assert np.array_equal(remove_hair(image), image)
    dotted = image.copy()
    for x in range(20, 250, 30):
        cv2.circle(dotted, (x, 40), 2, (60, 40, 30), -1)
    assert np.array_equal(remove_hair(dotted), dotted)  # dots are texture


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (37, 91)])
@pytest.mark.parametrize("value", [0, 255])
def test_any_shape_and_plain_images_come_back_as_they_are(shape: tuple[int, int], value: int) -> None:
    image = np.full((*shape, 3), value, np.uint8)
    assert np.array_equal(remove("dullrazor", image), image)


def test_methods_go_by_name() -> None:
    image, _, _ = skin(hairs=3)
    assert remove("none", image) is image
    assert np.array_equal(remove("dullrazor", image), remove_hair(image))
    with pytest.raises(ConfigError, match="expected none or dullrazor"):
        remove("wax", image)


def test_the_figure_shows_the_hairiest(tmp_path: Path) -> None:
    images = [skin(hairs)[0] for hairs in (0, 9, 3)]
    chosen = hairiest(images, 2)
    assert np.array_equal(chosen[0], images[1])
    assert np.array_equal(chosen[1], images[2])
    hair_figure(tmp_path / "hair.png", chosen)
    picture = cv2.imread(str(tmp_path / "hair.png"))
    assert picture is not None
    assert picture.shape == (2 * 256 + 6, 3 * 256 + 12, 3)
