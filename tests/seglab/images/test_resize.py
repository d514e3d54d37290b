"""Resizing against Pillow, whatever does it, and what it holds in memory."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.images.pixels import resize
from seglab.images.pixels.resize import LONGEST, fit, fit_image

cykooz_resizer = pytest.importorskip("cykooz_resizer", reason="no wheel for this system")
SHAPES = [(1, 1), (1, 9), (7, 1), (33, 17), (64, 64), (64, 200), (451, 601), (3000, 13), (13, 3000), (1, 20_000)]
NARROW = (200_000, 10)
FALLBACK = """
import sys
sys.modules["cykooz_resizer"] = None
import numpy as np
from seglab.images.pixels import resize
assert resize.cykooz_resizer is None
np.save(sys.argv[2], resize.fit(np.load(sys.argv[1]), 64))
"""


def noise(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Every pixel differs from the next: nothing is harder to resize alike."""
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)


def by_pillow(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def levels_apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    return int(np.abs(one.astype(np.int16) - other).max())


@pytest.mark.parametrize("size", [1, 2, 64, 255])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_within_one_level_of_pillow(shape: tuple[int, int], size: int) -> None:
    pixels = noise(shape)
    fitted = fit(pixels, size)
    assert (fitted.dtype, fitted.shape) == (np.uint8, (size, size, 3))  # type: ignore[comparison-overlap]
    assert levels_apart(fitted, by_pillow(pixels, size)) <= 1


@pytest.mark.parametrize("shape", [(70, 3 * LONGEST // 64), (3 * LONGEST // 64, 70), (3, LONGEST), (3, LONGEST + 1)])
def test_long_images_are_within_one_level_of_pillow(shape: tuple[int, int]) -> None:
    for pixels in (noise(shape), np.full((*shape, 3), 255, np.uint8)):
        assert levels_apart(fit(pixels, 2), by_pillow(pixels, 2)) <= 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_of_pillow_gives_the_same_bytes_as_its_array(shape: tuple[int, int]) -> None:
    pixels = noise(shape)
    np.testing.assert_array_equal(fit_image(Image.fromarray(pixels), 64), fit(pixels, 64))


@pytest.mark.parametrize("band", [1, 5000, 1 << 30])
def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch, band: int) -> None:
    pixels = noise((451, 601))
    expected = fit(pixels, 64)
    monkeypatch.setattr(resize, "BAND_BYTES", band)
    np.testing.assert_array_equal(fit(pixels, 64), expected)


def test_strides_do_not_matter() -> None:
    pixels = noise((200, 300))
    for view in (pixels[::-1], pixels[:, ::-1], pixels[13:77, 5:81], pixels.swapaxes(0, 1), pixels[..., ::-1]):
        np.testing.assert_array_equal(fit(view, 64), fit(np.ascontiguousarray(view), 64))


@pytest.mark.parametrize("extensions", ["none", "sse4_1", "avx2", "neon"])
@pytest.mark.parametrize("shape", [(451, 601), (33, 17), (1, 9)])
def test_every_instruction_set_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], extensions: str
) -> None:
    wanted = cykooz_resizer.CpuExtensions[extensions]
    best = cykooz_resizer.Resizer().cpu_extensions
    if "neon" in (best.name, extensions) and wanted not in (best, cykooz_resizer.CpuExtensions.none):
        pytest.skip("an instruction set of other CPUs")
    if wanted.value > best.value:
        pytest.skip("this CPU has no such instructions")
    expected = fit(noise(shape), 64)

    class Restricted(cykooz_resizer.Resizer):  # type: ignore[misc, name-defined]  # untyped
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = wanted
            assert self.cpu_extensions == wanted

    monkeypatch.setattr(cykooz_resizer, "Resizer", Restricted)
    np.testing.assert_array_equal(fit(noise(shape), 64), expected)


def test_threads_do_not_mix_their_images() -> None:
    images = [noise((300 + number, 400)) for number in range(24)]
    expected = [fit(image, 64) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(pool.map(lambda image: fit(image, 64), images), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(451, 601), (3000, 13)])
def test_without_the_package_pillow_does_it(tmp_path: Path, repo_root: Path, shape: tuple[int, int]) -> None:
    pixels = noise(shape)
    np.save(tmp_path / "in.npy", pixels)
    arguments = [sys.executable, "-c", FALLBACK, str(tmp_path / "in.npy"), str(tmp_path / "out.npy")]
    subprocess.run(arguments, cwd=repo_root, check=True)
    fitted = np.load(tmp_path / "out.npy")
    assert levels_apart(fitted, by_pillow(pixels, 64)) <= (shape == (3000, 13))  # turned round, so rounded otherwise
    assert levels_apart(fitted, fit(pixels, 64)) <= 1


@pytest.mark.parametrize(("shape", "most"), [((1500, 2000), 0.5), (NARROW[::-1], 0.5), (NARROW, 4)], ids=str)
@pytest.mark.parametrize("as_image", [False, True])
def test_memory_is_bounded_by_the_image(shape: tuple[int, int], most: float, as_image: bool) -> None:
    """A file of a narrow image may have few bytes; made as wide as the network first, it would take gigabytes."""
    pixels = np.zeros((*shape, 3), np.uint8)
    image = Image.fromarray(pixels)
    tracemalloc.start()
    try:
        fit_image(image, 192) if as_image else fit(pixels, 192)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most * pixels.nbytes
