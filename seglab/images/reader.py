"""The one pixel reader: training, export and batch see the same RGB bytes for the same file.

JPEGs with one or three components go through libjpeg-turbo, which can decode them scaled inside the DCT;
everything else (PNG, TIFF, BMP, WebP, CMYK JPEG) goes through Pillow, DICOM through pydicom. EXIF orientation is
applied, alpha is dropped, grey becomes three equal channels, 16-bit samples keep their high byte.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from seglab.errors import ImageError, TooLargeError
from seglab.images.completeness import require_complete
from seglab.images.dicom import is_dicom, read_frame
from seglab.images.formats import MAX_PIXELS
from seglab.images.kinds import archive_kind, document_kind, picture_kind

OVERSAMPLING = 2
"""Scaled decoding averages over squares; from twice the wanted size on, the resize that follows decides the result."""
DCT_FACTORS = (8, 4, 2)
"""Reductions that libjpeg-turbo decodes with SIMD; those between (7/8, 6/8, ...) take longer than none at all."""

ORIENTATION_TAG = 0x0112
JPEG_MAGIC = b"\xff\xd8\xff"
# libjpeg warns about these and loses no pixel by them; any other warning means damaged image data.
HARMLESS_WARNINGS = re.compile(r"extraneous bytes before marker|Invalid SOS parameters|Unknown Adobe color transform")
WHOLE_KINDS = frozenset({"a JPEG", "a PNG", "a TIFF", "a BMP", "a WebP"})
CHANNELS_OF_JPEG = frozenset({"Gray", "YCbCr", "RGB"})

# One limit for both decoders, ours; Pillow's own would only warn below twice its size.
Image.MAX_IMAGE_PIXELS = None
# Pillow remarks on odd metadata of good pixels. (A filter per call would not be safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


Pixels = NDArray[np.uint8] | Image.Image
"""uint8 ``(H, W, 3)``, or an RGB image of Pillow's."""


@dataclass(frozen=True)
class Photo:
    """A decoded image.

    ``pixels``: uint8 ``(h, w, 3)``, RGB, 0-255, upright. ``size``: ``(H, W)`` of the whole image, upright;
    equal to ``(h, w)`` unless the image was decoded scaled.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


def read_photo(source: Path | bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image file (or its bytes).

    ``at_least``: JPEGs are decoded reduced by 8, 4 or 2, the most that leaves both sides >= ``at_least``.
    Raises :class:`ImageError` for anything that is not a whole, readable image, :class:`TooLargeError` for more than
    ``max_pixels``.
    """
    pixels, size = _decoded(source, at_least, max_pixels)
    return Photo(np.array(pixels, np.uint8) if isinstance(pixels, Image.Image) else pixels, size)


def read_image(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a whole image: uint8 ``(H, W, 3)``, RGB, upright. Raises :class:`ImageError`."""
    return read_photo(source, max_pixels=max_pixels).pixels


def read_mask(source: Path | bytes) -> NDArray[np.uint8]:
    """Decode a mask of any bit depth: uint8 ``(H, W)``, 0 or 255.

    Samples of at least half the range are lesion.
    A palette or RGB mask counts by its brightest channel. Raises :class:`ImageError`.
    """
    return np.asarray(cv2.threshold(read_grey(source), 127, 255, cv2.THRESH_BINARY)[1], np.uint8)


def read_grey(source: Path | bytes) -> NDArray[np.uint8]:
    """Decode a mask as it is stored: uint8 ``(H, W)``, its brightest channel, 0-255. Raises :class:`ImageError`."""
    red, green, blue = cv2.split(read_image(source))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def fit(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize ``(h, w, 3)`` uint8 to ``(size, size, 3)``: bilinear, antialiased, half-pixel centres.

    The same filter as the graph's own resize (and torch's ``antialias=True``), rounded to uint8.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels
    return _shrunk(Image.frombuffer("RGB", (width, height), np.ascontiguousarray(pixels), "raw", "RGB", 0, 1), size)


def read_fitted(source: Path | bytes, size: int, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image and bring it to ``(size, size, 3)``: what a network of that size is trained on and fed.

    JPEGs are decoded scaled, to no less than :data:`OVERSAMPLING` times ``size``; other images are held once, as they
    are decoded. Raises as :func:`read_photo`.
    """
    pixels, whole = _decoded(source, OVERSAMPLING * size, max_pixels)
    return Photo(_shrunk(pixels, size) if isinstance(pixels, Image.Image) else fit(pixels, size), whole)


def _shrunk(image: Image.Image, size: int) -> NDArray[np.uint8]:
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.frombuffer(bytearray(small.tobytes()), np.uint8).reshape(size, size, 3)


def _decoded(source: Path | bytes, at_least: int | None, max_pixels: int) -> tuple[Pixels, tuple[int, int]]:
    """Return what :func:`read_photo` returns, as the decoder left it."""
    data = _read_bytes(source) if isinstance(source, Path) else source
    if not data:
        raise ImageError("The file is empty; expected an image. Copy it again from where it came.")
    if is_dicom(data):
        frame = read_frame(data, max_pixels)
        if frame.pixels is not None:
            return frame.pixels, (frame.pixels.shape[0], frame.pixels.shape[1])
        data = frame.jpeg or b""
    try:
        with Image.open(io.BytesIO(data)) as header:
            require_complete(header, data)
            return _decode(header, data, at_least, max_pixels)
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise ImageError(f"Damaged image: {error}. Expected a whole file; copy it again from where it came.") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"The file cannot be read: {error.strerror or error}. Check that it is there and its rights."
        ) from error


def _decode(header: Image.Image, data: bytes, at_least: int | None, max_pixels: int) -> tuple[Pixels, tuple[int, int]]:
    width, height = header.size
    if width * height > max_pixels:
        raise TooLargeError(
            f"The image has {width} x {height} = {width * height / 1e6:.0f} million pixels; at most "
            f"{max_pixels / 1e6:.0f} million are decoded. Save a smaller copy, or raise the limit."
        )
    scaled = _decode_jpeg(data, at_least) if data.startswith(JPEG_MAGIC) else None
    if scaled is None:
        image = _decode_with_pillow(header)
        return image, (image.height, image.width)
    orientation = _orientation(header)
    return _upright(scaled, orientation), (width, height) if orientation >= 5 else (height, width)


def _orientation(header: Image.Image) -> int:
    try:
        value = header.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # Broken EXIF raises anything from struct.error to ZeroDivisionError; the pixels are still good.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decode_jpeg(data: bytes, at_least: int | None) -> NDArray[np.uint8] | None:
    """Decode to RGB by libjpeg-turbo; None for component sets that it does not convert (CMYK)."""
    height, width, channels, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    if channels not in CHANNELS_OF_JPEG:
        return None
    wanted: dict[str, Any] = {}
    factor = next((factor for factor in DCT_FACTORS if at_least and min(height, width) >= factor * at_least), 1)
    if factor > 1:
        wanted = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", **wanted)
    except ValueError as error:
        if not HARMLESS_WARNINGS.search(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(data, "RGB", strict=False, **wanted)
    return np.asarray(pixels, np.uint8)


def _decode_with_pillow(image: Image.Image) -> Image.Image:
    """Return the image upright, in RGB."""
    image.load()  # before the orientation is asked for: Pillow turns TIFFs itself while it loads them
    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.dtype != np.uint16 and (grey.min() < 0 or grey.max() > 0xFFFF):
            raise ImageError("Samples of 32 bits; expected 8 or 16. Save the image with 8 or 16 bits a sample.")
        image = Image.fromarray((grey >> 8).astype(np.uint8))  # (H, W)
    if image.mode == "F":
        raise ImageError("Floating-point samples; expected 8 or 16 bits. Save the image with 8 or 16 bits a sample.")
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation (1-8; EXIF 2.32, tag 0x0112)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)  # (W, H, 3)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _unidentified(data: bytes) -> ImageError:
    """Return the error for what Pillow knows no format for: a file that is cut off often loses its directory."""
    kind = picture_kind(data)
    if kind in WHOLE_KINDS:
        return ImageError(
            f"Damaged image: {len(data)} bytes that begin as {kind} and do not go on as one. Expected a whole file; "
            "its copy or download may be incomplete: get it again."
        )
    what = kind or archive_kind(data) or document_kind(data)
    begin = f"{len(data)} bytes that begin with {data[:12]!r}"
    return ImageError(
        f"Not an image ({f'{what}: ' if what else ''}{begin}); expected JPEG, PNG, TIFF, BMP or WebP. Remove it from "
        "the source, or export it again."
    )
