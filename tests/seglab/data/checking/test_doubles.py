"""The same picture is found however it was moved, scaled or saved, and other pictures are not taken for it."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.data.checking.doubles import Picture, picture_of, same_pictures
from seglab.data.finding.layouts import find_pairs
from seglab.data.groups import groups_of
from seglab.images.reader import read_image
from seglab.synth import write_set

MOVES = [None, *Image.Transpose]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[NDArray[np.uint8]]:
    root = tmp_path_factory.mktemp("photographs")
    write_set(root, 12, [(90, 120), (120, 90), (96, 96)], seed=5)
    return [read_image(path) for path in sorted((root / "images").iterdir())]


def saved_again(pixels: NDArray[np.uint8], move: Image.Transpose | None, scale: float = 0.7) -> Picture:
    image = Image.fromarray(pixels)
    image = image if move is None else image.transpose(move)
    image = image.resize((round(scale * image.width), round(scale * image.height)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return picture_of(read_image(buffer.getvalue()))


@pytest.mark.parametrize("move", MOVES)
def test_a_copy_is_found_in_every_symmetry(photographs: list[NDArray[np.uint8]], move: Image.Transpose | None) -> None:
    ours = [picture_of(pixels) for pixels in photographs]
    theirs = [saved_again(pixels, move) for pixels in photographs]
    assert sorted(same_pictures(ours, theirs)) == [(place, place) for place in range(len(ours))]


def test_no_picture_is_like_none(photographs: list[NDArray[np.uint8]]) -> None:
    ours = [picture_of(pixels) for pixels in photographs]
    assert not list(same_pictures(ours, []))
    assert not list(same_pictures([], ours))


@pytest.mark.real
@pytest.mark.parametrize("name", ["isic2017", "ham10000", "originals"])
def test_different_real_pictures_are_told_apart(data_dir: Path, name: str) -> None:
    pairs = find_pairs(data_dir / name)
    pairs = pairs[:: max(1, len(pairs) // 300)]
    groups = groups_of(pairs)
    pictures = [picture_of(pair.photo(at_least=Picture.READ_AT).pixels) for pair in pairs]
    for place, picture in enumerate(pictures[:-1]):
        found = [place + 1 + j for _, j in same_pictures([picture], pictures[place + 1 :])]
        assert not [pairs[j].id for j in found if groups[j] != groups[place]], pairs[place].id
    some = list(product(pairs[:: len(pairs) // 8], [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT]))
    for pair, move in some:
        pixels = pair.photo(at_least=400).pixels
        assert list(same_pictures([picture_of(pixels)], [saved_again(pixels, move)])), pair.id
