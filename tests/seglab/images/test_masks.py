"""Truth masks in the forms that tools write: read by their values, or refused where those do not tell the lesion."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders.base import Stored
from seglab.images.mask_values import truth_of
from seglab.images.masks import is_mask, read_mask, read_truth

HEIGHT, WIDTH = 200, 260
Y, X = np.mgrid[:HEIGHT, :WIDTH]
DISTANCE = np.hypot(X - 100, Y - 90)
LESION = DISTANCE < 60
BYTES = LESION.astype(np.uint8)
EVERYTHING = np.ones_like(LESION)
NOTHING = np.zeros_like(LESION)
SOFT = 1 / (1 + np.exp((DISTANCE - 59.996) / 0.6))
"""A probability map, at least half where the lesion is."""


def png(image: Image.Image | NDArray[Any], format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def deep(pixels: NDArray[np.uint16]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


def palette(indices: NDArray[np.uint8], *colours: tuple[int, int, int], **options: Any) -> bytes:
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette([part for colour in colours for part in colour])
    return png(image, **options)


def coloured(*colour: int) -> NDArray[np.uint8]:
    return BYTES[..., None] * np.array(colour, np.uint8)  # type: ignore[no-any-return]


def with_alpha(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([colours, alpha])


WHITE = np.full((HEIGHT, WIDTH), 255, np.uint8)
CLEAR = {
    "1 bit": lambda: png(LESION),
    "uint8 0/1": lambda: png(BYTES),
    "uint8 0/255": lambda: png(BYTES * 255),
    "uint8 0/38": lambda: png(BYTES * 38),
    "uint16 0/1": lambda: png(BYTES.astype(np.uint16)),
    "uint16 0/255": lambda: png(BYTES.astype(np.uint16) * 255),
    "uint16 0/65535": lambda: png(BYTES.astype(np.uint16) * 65535),
    "uint16 RGB 0/1": lambda: deep(np.dstack([BYTES] * 3).astype(np.uint16)),
    "uint16 RGB 0/255": lambda: deep(np.dstack([BYTES] * 3).astype(np.uint16) * 255),
    "uint16 alpha 0/255": lambda: deep(np.dstack([WHITE] * 3 + [BYTES * 255]).astype(np.uint16)),
    "int32 TIFF 0/255": lambda: png(BYTES.astype(np.int32) * 255, "TIFF"),
    "int16 TIFF 0/1": lambda: tiff(BYTES.astype(np.int16)),
    "float TIFF 0/1": lambda: tiff(BYTES.astype(np.float32)),
    "float TIFF 0/255": lambda: tiff(BYTES.astype(np.float32) * 255),
    "double TIFF": lambda: tiff(BYTES.astype(np.float64)),
    "white is zero, 8 bits": lambda: tiff(255 - BYTES * 255, photometric="miniswhite"),
    "white is zero, 16 bits": lambda: tiff(65535 - BYTES.astype(np.uint16) * 65535, photometric="miniswhite"),
    "white is zero, 1 bit": lambda: tiff(~LESION, photometric="miniswhite"),
    "palette black and white": lambda: palette(BYTES, (0, 0, 0), (255, 255, 255)),
    "palette red on black": lambda: palette(BYTES, (0, 0, 0), (128, 0, 0)),
    "palette white first": lambda: palette(1 - BYTES, (255, 255, 255), (0, 0, 0)),
    "palette all black": lambda: palette(BYTES, (0, 0, 0), (0, 0, 0)),
    "palette with alpha": lambda: palette(BYTES, (9, 9, 9), (250, 20, 20), transparency=0),
    "RGB white": lambda: png(coloured(255, 255, 255)),
    "RGB green": lambda: png(coloured(0, 200, 0)),
    "RGBA shape in colour": lambda: png(with_alpha(coloured(255, 0, 0), WHITE)),
    "RGBA shape in alpha": lambda: png(with_alpha(np.dstack([WHITE] * 3), BYTES * 255)),
    "RGBA black, shape in alpha": lambda: png(with_alpha(np.zeros((HEIGHT, WIDTH, 3), np.uint8), BYTES * 255)),
    "grey, shape in alpha": lambda: png(with_alpha(WHITE, BYTES * 255)),
    "both": lambda: png(with_alpha(coloured(255, 255, 255), BYTES * 255)),
    "WebP": lambda: png(coloured(255, 255, 255), "WEBP", lossless=True),
    "BMP": lambda: png(BYTES * 255, "BMP"),
    "probabilities, float": lambda: tiff(SOFT.astype(np.float32)),
    "probabilities, 16 bits": lambda: png(np.rint(SOFT * 65535).astype(np.uint16)),
    "probabilities, 8 bits": lambda: png(np.rint(SOFT * 255).astype(np.uint8)),
    "8-bit probabilities in 16 bits": lambda: png(np.rint(SOFT * 255).astype(np.uint16)),
    "soft green": lambda: png(np.rint(SOFT[..., None] * (0, 255, 0)).astype(np.uint8)),
    "video range": lambda: png(16 + BYTES * 219),
}


@pytest.mark.parametrize("data", CLEAR.values(), ids=CLEAR)
def test_what_is_clear_is_read(data: Callable[[], bytes]) -> None:
    file = data()
    assert np.array_equal(read_mask(file), np.where(LESION, 255, 0))
    assert is_mask(file)


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_blurs_edges_only(quality: int) -> None:
    for image in (BYTES * 255, coloured(255, 255, 255)):
        file = png(image, "JPEG", quality=quality)
        assert np.mean((read_mask(file) > 0) != LESION) < 0.01
        assert read_truth(file).between > 0


def test_antialiased_masks_are_cut_at_half() -> None:
    small = Image.fromarray(BYTES * 255).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BOX)
    assert np.array_equal(read_mask(png(small)), np.where(np.asarray(small) >= 128, 255, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_one_value_is_nothing_or_everything(dtype: type, value: int) -> None:
    assert np.array_equal(read_mask(tiff(np.full((9, 12), value, dtype))), np.full((9, 12), 255 if value else 0))


def bands(*values: float, dtype: type = np.uint8) -> NDArray[Any]:
    """Equal vertical bands, ``(40, 20 x values)``."""
    return np.repeat(np.array([values], dtype), 20, axis=1).repeat(40, axis=0)


def photograph() -> NDArray[np.uint8]:
    rng = np.random.default_rng(2)
    smooth = cv2.GaussianBlur(rng.normal(0, 60, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 4)
    skin = np.array((205, 160, 140)) + smooth + rng.normal(0, 4, smooth.shape)
    return np.where(LESION[..., None], skin * 0.45, skin).clip(0, 255).astype(np.uint8)


REFUSED = {
    "classes": (lambda: png(bands(0, 1, 2, 3, 4, 5, 6)), "values are 0, 1, 2, 3, 4, 5, ... up to 6"),
    "classes in colour": (lambda: palette(bands(0, 1, 2), (0, 0, 0), (128, 0, 0), (0, 128, 0)), "more than one colour"),
    "RGB classes": (lambda: png(np.stack([bands(0, 255, 0), bands(0, 0, 255), bands(0, 0, 0)], 2)), "one colour"),
    "trimap": (lambda: png(bands(0, 128, 255)), "0, 128, 255"),
    "float trimap": (lambda: tiff(bands(0, 0.5, 1, dtype=np.float32)), "0, 0.5, 1"),
    "a class and what is ignored": (lambda: png(bands(0, 1, 255)), "0, 1, 255"),
    "blurred trimap": (lambda: png(bands(0, 128, 255), "JPEG", quality=80), "classes"),
    "1 and 2": (lambda: png(bands(1, 2)), "1, 2"),
    "38 and 75": (lambda: png(bands(38, 75)), "38, 75"),
    "100 and 200": (lambda: png(bands(100, 200)), "100, 200"),
    "one odd value": (lambda: png(bands(77)), "only value is 77"),
    "negative": (lambda: tiff(bands(-1, 0, dtype=np.int16)), "negative"),
    "not a number": (lambda: tiff(bands(0, np.nan, 1, dtype=np.float32)), "values that are not numbers"),
    "faint floats": (lambda: tiff(bands(0, 1 / 255, dtype=np.float32)), "0.003922"),
    "white is zero, 0 and 1": (lambda: tiff(bands(0, 1), photometric="miniswhite"), "254, 255"),
    "two colours": (lambda: palette(bands(0, 1), (255, 255, 255), (255, 0, 0)), "more than one colour"),
    "purple and yellow": (lambda: palette(bands(0, 1), (68, 1, 84), (253, 231, 37)), "84, 253"),
    "against its alpha": (lambda: png(with_alpha(np.dstack([255 - BYTES * 255] * 3), BYTES * 255)), "alpha channel"),
    "all transparent": (lambda: png(with_alpha(WHITE, WHITE * 0)), "all transparent"),
    "a photograph": (lambda: png(photograph()), "colour"),
    "a grey photograph": (lambda: png(photograph()[..., 1]), "photograph|values"),
}


@pytest.mark.parametrize(("data", "found"), REFUSED.values(), ids=REFUSED)
def test_what_is_ambiguous_is_refused_with_what_was_found(data: Callable[[], bytes], found: str) -> None:
    with pytest.raises(ImageError, match=rf"^Not clear what in this mask is lesion: .*({found}).*Save it as 8-bit"):
        read_mask(data())


def test_an_animation_is_refused() -> None:
    frames = [Image.fromarray(BYTES * 255), Image.fromarray(255 - BYTES * 255)]
    with pytest.raises(ImageError, match="animation of 2"):
        read_mask(png(frames[0], "WEBP", save_all=True, append_images=frames[1:]))


def test_masks_lie_as_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for image in (Image.fromarray(LESION), Image.fromarray(BYTES.astype(np.uint16) * 255)):
        assert np.array_equal(read_mask(png(image, exif=exif.tobytes())), np.rot90(np.where(LESION, 255, 0), -1))


@pytest.mark.parametrize("data", [b"", b"text", png(BYTES * 255)[:90]], ids=["empty", "text", "cut off"])
def test_what_is_broken_is_refused_in_the_readers_words(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"empty|Not an image|Damaged"):
        read_mask(data)


def test_every_shape_of_samples_by_hand() -> None:
    two = np.array([[[0], [3]], [[3], [0]]], np.uint32)
    assert truth_of(Stored(two, "grey", 32)).mask.tolist() == [[0, 255], [255, 0]]
    inverted = np.array([[[15], [0]]], np.uint8)
    assert truth_of(Stored(inverted, "white is zero", 4)).mask.tolist() == [[0, 255]]


@pytest.mark.parametrize("colours", [16, 32, 64, 256])
def test_photographs_in_grey_or_palettes_are_no_masks(colours: int) -> None:
    photo = Image.fromarray(photograph()).resize((400, 300), Image.Resampling.BICUBIC)
    assert not is_mask(png(photo.quantize(colours)))
    assert not is_mask(png(photo.convert("L")))
    assert not is_mask(png(np.asarray(photo.convert("L")).astype(np.uint16) * 257))
    assert not is_mask(png(photo, "JPEG"))


def test_masks_of_classes_are_masks() -> None:
    assert is_mask(png(bands(0, 1, 2, 3, 4, 5, 6)))
    assert is_mask(palette(bands(0, 1, 2), (0, 0, 0), (128, 0, 0), (0, 128, 0)))
    assert is_mask(tiff(bands(0, 300, 700, dtype=np.uint16)))
    assert is_mask(png(bands(0, 128, 255)))
    assert not is_mask(png(np.stack([bands(220, 90), bands(180, 60), bands(160, 50)], 2)))
    assert not is_mask(png(bands(90, 170)))
