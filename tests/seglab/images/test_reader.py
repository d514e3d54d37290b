"""The pixel reader against Pillow and OpenCV on small files of every kind."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch.nn import functional

from seglab.errors import ImageError, TooLargeError
from seglab.images.masks import read_mask
from seglab.images.pixels.resize import fit
from seglab.images.reader import read_fitted, read_image, read_photo

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def scene() -> NDArray[np.uint8]:
    """A smooth picture without symmetry, uint8 (48, 64, 3)."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([4 * x, 5 * y, 2 * (x + y)], axis=2).clip(0, 255).astype(np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_come_out_as_they_went_in(scene: NDArray[np.uint8], format: str) -> None:
    assert np.array_equal(read_image(encoded(Image.fromarray(scene), format)), scene)


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_decode_as_pillow_decodes_them(scene: NDArray[np.uint8], format: str) -> None:
    data = encoded(Image.fromarray(scene), format, quality=90)
    reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int16)
    assert np.abs(read_image(data) - reference).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(scene: NDArray[np.uint8], orientation: int, format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(scene), format, exif=exif.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.int16)
    photo = read_photo(data)
    assert photo.size == upright.shape[:2]
    assert np.abs(photo.pixels - upright).max() <= 2


def test_grey_becomes_three_equal_channels(scene: NDArray[np.uint8]) -> None:
    grey = Image.fromarray(scene).convert("L")
    for format in ("PNG", "JPEG"):
        pixels = read_image(encoded(grey, format))
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_alpha_is_dropped(scene: NDArray[np.uint8]) -> None:
    transparent = np.dstack([scene, np.full((HEIGHT, WIDTH), 3, np.uint8)])
    assert np.array_equal(read_image(encoded(Image.fromarray(transparent), "PNG")), scene)


def test_palette_images_get_their_colours(scene: NDArray[np.uint8]) -> None:
    palette = Image.fromarray(scene).quantize(16)
    assert np.array_equal(read_image(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))


def test_cmyk_jpeg_becomes_rgb(scene: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(scene).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(read_image(data).astype(np.int16) - scene).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_samples_keep_their_high_byte(scene: NDArray[np.uint8], suffix: str, channels: int) -> None:
    deep = scene.astype(np.uint16) * 256 + 77
    written = deep if channels == 3 else deep[..., 0]
    ok, data = cv2.imencode(suffix, written[..., ::-1] if channels == 3 else written)
    assert ok
    expected = scene if channels == 3 else np.repeat(scene[..., :1], 3, axis=2)
    assert np.array_equal(read_image(data.tobytes()), expected)


def test_one_bit_and_grey_masks_are_read_alike(scene: NDArray[np.uint8]) -> None:
    lesion = scene[..., 0] > 100
    expected = np.where(lesion, 255, 0)
    for image in (Image.fromarray(lesion), Image.fromarray(expected.astype(np.uint8))):
        assert np.array_equal(read_mask(encoded(image, "PNG")), expected)


def test_masks_between_the_two_values_are_cut_in_the_middle() -> None:
    grey = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    assert read_mask(encoded(grey, "PNG")).tolist() == [[0, 0, 255, 255]]


@pytest.mark.parametrize(("at_least", "height"), [(600, 600), (301, 600), (300, 300), (150, 150), (75, 75), (10, 75)])
def test_scaled_decoding_keeps_both_sides_at_least_as_asked_and_the_size(at_least: int, height: int) -> None:
    smooth = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 9, 3), np.uint8), (900, 600))
    data = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    photo = read_photo(data, at_least=at_least)
    assert photo.size == (600, 900)
    assert photo.pixels.shape == (height, -(-height * 3 // 2), 3)
    reference = cv2.resize(smooth, photo.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(photo.pixels.astype(np.int16) - reference).mean() < 2


@pytest.mark.parametrize("shape", [(200, 301), (33, 500), (64, 64), (20, 30), (1, 1)])
def test_fit_is_the_antialiased_resize_of_torch(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (*shape, 3), np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    reference = functional.interpolate(x, (64, 64), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert np.abs(fit(pixels, 64) - reference).max() <= 1.0


def test_fitted_photos_are_near_those_of_a_whole_decode() -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 255, (60, 90, 3), np.uint8), (1800, 1200), interpolation=cv2.INTER_CUBIC)
    data = encoded(Image.fromarray(scene), "JPEG", quality=95)
    photo = read_fitted(data, 64)
    assert photo.size == (1200, 1800)
    assert photo.pixels.shape == (64, 64, 3)
    assert np.abs(photo.pixels.astype(np.int16) - fit(read_image(data), 64)).mean() < 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"patient list", "Not an image"),
        (b"\xff\xd8\xff\xe0garbage", "Damaged|Not an image"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_photo(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_images_are_refused(scene: NDArray[np.uint8], format: str, share: float) -> None:
    noisy = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    data = encoded(Image.fromarray(noisy), format)
    with pytest.raises(ImageError):
        read_photo(data[: int(len(data) * share)])


def test_damaged_entropy_data_is_refused() -> None:
    noisy = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    data = encoded(Image.fromarray(noisy), "JPEG")
    middle = len(data) // 2
    with pytest.raises(ImageError, match="Damaged"):
        read_photo(data[:middle] + b"\xff\xd9" + data[middle:])


def test_bytes_after_the_image_do_no_harm(scene: NDArray[np.uint8]) -> None:
    data = encoded(Image.fromarray(scene), "JPEG")
    assert np.array_equal(read_image(data[:-2] + b"abcdef\xff\xd9"), read_image(data))


def test_large_images_are_refused_before_decoding(scene: NDArray[np.uint8]) -> None:
    with pytest.raises(TooLargeError, match="million pixels"):
        read_photo(encoded(Image.fromarray(scene), "PNG"), max_pixels=1000)


@pytest.mark.parametrize("kind", ["RGB", "L", "1", "P", "RGBA", "I;16", "turned", "CMYK"])
@pytest.mark.parametrize("size", [32, HEIGHT])
def test_fitted_photos_are_whole_ones_fitted_however_they_are_decoded(
    scene: NDArray[np.uint8], kind: str, size: int
) -> None:
    image, format, options = Image.fromarray(scene[:, :HEIGHT]), "PNG", {}
    if kind == "I;16":
        image = Image.fromarray(scene[:, :HEIGHT, 0].astype(np.uint16) << 8)
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        options = {"exif": exif.tobytes()}
    elif kind == "CMYK":
        image, format = image.convert(kind), "JPEG"
    elif kind != "RGB":
        image = image.convert(kind)
    data = encoded(image, format, **options)
    whole, fitted = read_photo(data), read_fitted(data, size)
    assert fitted.size == whole.size == (HEIGHT, HEIGHT)
    assert fitted.pixels.dtype == np.uint8
    assert fitted.pixels.shape == (size, size, 3)
    assert np.array_equal(fitted.pixels, fit(whole.pixels, size))


def test_files_that_cannot_be_read_are_image_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_photo(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="cannot be read"):
        read_photo(tmp_path)


def test_float_samples_of_no_known_range_are_refused() -> None:
    data = encoded(Image.fromarray(np.full((4, 4), 4.0, np.float32)), "TIFF")
    with pytest.raises(ImageError, match="Floating-point"):
        read_photo(data)
