"""Synthetic dermoscopy: the same bytes from a seed, a true mask, any size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ConfigError
from seglab.synth import MIN_SIDE, synthesise, write_set

SEEDS = range(24)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def surroundings(mask: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Skin near the lesion: a ring that leaves out the soft border and the black frame."""
    reach = max(mask.shape) // 8
    far = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    near = cv2.dilate(mask, np.ones((reach + 1, reach + 1), np.uint8))
    ring: NDArray[np.bool_] = (far > 0) & (near == 0) & (image.max(axis=2) > 40)
    return ring


@pytest.mark.parametrize("size", [(90, 120), (120, 90), (700, 1500)])
def test_same_seed_gives_the_same_arrays(size: tuple[int, int]) -> None:
    first, second = synthesise(*size, 7), synthesise(*size, 7)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)


def test_different_seeds_differ() -> None:
    images = {synthesise(60, 80, seed).image.tobytes() for seed in SEEDS}
    masks = {synthesise(60, 80, seed).mask.tobytes() for seed in SEEDS}
    assert len(images) == len(masks) == len(SEEDS)


def test_the_random_state_of_the_process_plays_no_part() -> None:
    code = (
        "import hashlib, sys; from seglab.synth import synthesise; pair = synthesise(64, 96, 11);"
        "print(hashlib.sha256(pair.image.tobytes() + pair.mask.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(MIN_SIDE, 260), width=st.integers(MIN_SIDE, 260), seed=st.integers(min_value=0, max_value=2**64)
)
def test_shapes_and_values_hold_for_any_size_and_seed(height: int, width: int, seed: int) -> None:
    pair = synthesise(height, width, seed)
    assert pair.image.shape == (height, width, 3)
    assert pair.mask.shape == (height, width)
    assert pair.image.dtype == pair.mask.dtype == np.uint8
    assert set(np.unique(pair.mask)) <= {0, 255}
    assert pair.mask.any()


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (400, 16), (32, 32), (2848, 4288)])
def test_extreme_sizes(size: tuple[int, int]) -> None:
    pair = synthesise(*size, 5)
    assert pair.image.shape[:2] == pair.mask.shape == size
    assert pair.image.std() > 3
    assert 0 < np.count_nonzero(pair.mask) < pair.mask.size


def test_the_lesion_is_darker_than_the_skin_around_it() -> None:
    darker, compared = 0, 0
    for seed in range(60):
        pair = synthesise(150, 200, seed)
        ring = surroundings(pair.mask, pair.image)
        if np.count_nonzero(ring) < 100:
            continue  # the lesion fills the view
        compared += 1
        darker += pair.image[pair.mask > 0].mean() < pair.image[ring].mean() - 4
    assert compared > 45
    assert darker >= 0.97 * compared


def test_lesions_come_in_many_places_and_sizes() -> None:
    masks = [synthesise(72, 96, seed).mask > 0 for seed in range(150)]
    shares = [float(mask.mean()) for mask in masks]
    touching = [bool(np.r_[mask[0], mask[-1], mask[:, 0], mask[:, -1]].any()) for mask in masks]
    assert min(shares) < 0.03
    assert max(shares) > 0.4
    assert 0.05 < float(np.mean(touching)) < 0.7


def test_the_same_seed_is_the_same_scene_at_another_size() -> None:
    for seed in range(8):
        small, large = synthesise(150, 200, seed), synthesise(900, 1200, seed)
        shrunk = cv2.resize(large.mask, (200, 150), interpolation=cv2.INTER_AREA) > 127
        inside = small.mask > 0
        assert (inside & shrunk).sum() / (inside | shrunk).sum() > 0.9


def test_skin_lesion_and_artefacts_vary() -> None:
    pairs = [synthesise(150, 200, seed) for seed in range(60)]
    skins = [float(pair.image[surroundings(pair.mask, pair.image)].mean()) for pair in pairs if not pair.mask.all()]
    framed = [bool(pair.image[0, 0].max() < 20) for pair in pairs]
    assert np.nanmax(skins) - np.nanmin(skins) > 70
    assert 0.03 < float(np.mean(framed)) < 0.5


@pytest.mark.parametrize(("height", "width", "seed"), [(MIN_SIDE - 1, 64, 0), (64, 0, 0), (64, 64, -1)])
def test_impossible_requests_are_refused(height: int, width: int, seed: int) -> None:
    with pytest.raises(ConfigError, match=r"at least 16|whole number from 0"):
        synthesise(height, width, seed)


def test_write_set_layout_names_and_sizes(tmp_path: Path) -> None:
    sizes = [(60, 80), (48, 48)]
    images = write_set(tmp_path / "set", 3, sizes, seed=1)
    assert [path.name for path in images] == ["synth_00000.jpg", "synth_00001.jpg", "synth_00002.jpg"]
    assert sorted(contents(tmp_path / "set")) == [
        *(f"images/synth_0000{i}.jpg" for i in range(3)),
        *(f"masks/synth_0000{i}.png" for i in range(3)),
    ]
    for index, path in enumerate(images):
        with Image.open(path) as image, Image.open(tmp_path / "set" / "masks" / f"{path.stem}.png") as mask:
            assert (image.format, image.mode, mask.mode) == ("JPEG", "RGB", "L")
            assert image.size == mask.size == sizes[index % 2][::-1]
            assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_the_written_image_is_the_drawn_one(tmp_path: Path) -> None:
    (path,) = write_set(tmp_path, 1, [(90, 120)], seed=3)
    own = int(np.random.SeedSequence([3, 0]).generate_state(1, np.uint64)[0])
    drawn = synthesise(90, 120, own)
    with Image.open(path) as image:
        read = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(read - drawn.image).mean() < 5  # JPEG; red and blue swapped would be far off
    with Image.open(tmp_path / "masks" / "synth_00000.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), drawn.mask)


def test_write_set_repeats_itself_byte_for_byte(tmp_path: Path) -> None:
    for name, count, seed in (("a", 3, 9), ("b", 3, 9), ("longer", 4, 9), ("other", 3, 10)):
        write_set(tmp_path / name, count, [(48, 64)], seed)
    first, longer = contents(tmp_path / "a"), contents(tmp_path / "longer")
    assert first == contents(tmp_path / "b")
    assert first.items() <= longer.items()
    assert not set(first.values()) & set(contents(tmp_path / "other").values())


@pytest.mark.parametrize(
    ("count", "sizes", "seed"), [(1, [], 0), (-1, [(32, 32)], 0), (1, [(32, 32)], -1), (1, [(4, 4)], 0)]
)
def test_write_set_refuses_what_it_cannot_draw(
    tmp_path: Path, count: int, sizes: list[tuple[int, int]], seed: int
) -> None:
    with pytest.raises(ConfigError, match=r"expected (at least one size|both sides|a whole)"):
        write_set(tmp_path, count, sizes, seed)
    assert contents(tmp_path) == {}
