"""From what Python callers pass as an image to pixels for the model: uint8 ``(H, W, 3)`` RGB.

Files and their bytes are read by :mod:`seglab.images.reader`. Pillow images and arrays are treated as their files would
be: upright, in sRGB, alpha dropped, grey as three equal channels.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError, SeglabError
from seglab.images.pixels.colour import to_srgb
from seglab.images.pixels.orientation import ORIENTATION_TAG, TURNS, UPRIGHT, upright, upright_image
from seglab.images.pixels.samples import ROUNDING, from_floats, from_signed, from_sixteen
from seglab.images.reader import read_image

Pixels = NDArray[np.uint8]
Numbers = NDArray[Any]

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGBA."""
TAKEN = "a path, the bytes of an image file, a file opened with 'rb', a Pillow image, an array or a tensor"
SHAPES = "(H, W, 3), (H, W) or (H, W, 4) in RGB"
TYPES = "uint8, uint16, bool, or floats from 0 to 1"
OBJECTS = "OUST"
"""Kinds of NumPy types that are not numbers: objects and strings."""
AS_NEEDED = {"La": "LA", "RGBa": "RGBA"}
"""Pillow modes that convert to RGB only through another mode."""


@dataclass(frozen=True)
class Encoded:
    """The bytes of an open file, and its ``name`` in messages."""

    name: str
    data: bytes


def is_single(images: object) -> bool:
    """Return whether this is one image rather than several."""
    if is_batch(images):
        return False
    if _is_array(images) or _is_tensor(images):
        return not _holds_objects(images)
    if isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | Image.Image | dict):
        return True
    return hasattr(images, "read") or not isinstance(images, Iterable)


def is_batch(images: object) -> bool:
    """Return whether this is one array or tensor of several images, ``(N, H, W, 3)``."""
    return (_is_array(images) or _is_tensor(images)) and len(cast("Any", images).shape) == 4


def pixels_of(image: object) -> Pixels:
    """Return the pixels of an image in any accepted form: uint8 ``(H, W, 3)``, RGB, 0-255.

    For an open file, pass the result of :func:`kept`. Raises :class:`ImageError` for an image that cannot be read, and
    for anything that is not an image.
    """
    if isinstance(image, str | os.PathLike):
        return _of_file(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return _of_bytes(bytes(image), "The encoded image")
    if isinstance(image, Encoded):
        return _of_bytes(image.data, image.name)
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    if _is_tensor(image):
        return _of_tensor(image)
    if _is_array(image):
        return _of_array(*_known(image))
    raise ImageError(f"The image is {_named(image)}; expected {TAKEN}.")


def kept(image: object) -> object:
    """Return the image in a form that can be pickled and passed to :func:`pixels_of` more than once.

    That is the image itself, or the bytes of an open file or memory view. Raises the same errors as :func:`pixels_of`.
    """
    if isinstance(image, memoryview):
        return bytes(image)
    is_file = hasattr(image, "read") and not isinstance(image, str | os.PathLike | Image.Image | np.ndarray)
    return _bytes_of_open_file(image) if is_file else image


def _named(image: object) -> str:
    return "None" if image is None else f"of type {type(image).__name__}"


def _of_file(image: str | os.PathLike[Any]) -> Pixels:
    if not os.fspath(image):
        raise ImageError("The image is an empty string; expected a path.")
    if "://" in os.fsdecode(image):
        raise ImageError(
            f"{os.fsdecode(image)} is a URL; expected a file. Download it first, or pass it to seglab.segment, which "
            "reads URLs."
        )
    path = Path(os.fsdecode(image))
    try:
        return read_image(path)
    except ImageError as error:
        if os.path.isdir(path):
            raise ImageError(f"{path} is a folder; expected an image file. Pass a list of its files.") from error
        raise ImageError(f"{path}: {error}") from error
    except ValueError as error:  # a null byte in the name
        raise ImageError(f"{path!r} is not a path ({error}); expected the path of an image file.") from error


def _of_bytes(data: bytes, name: str) -> Pixels:
    try:
        return read_image(data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def _bytes_of_open_file(file: Any) -> Encoded:
    name = f"The file {getattr(file, 'name', '') or type(file).__name__}"
    try:
        data = file.read()
    except (OSError, ValueError, UnicodeError) as error:  # closed, not readable, or opened as text and not text
        raise ImageError(f"{name} cannot be read ({error}); expected one opened with open(path, 'rb').") from error
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"{name} gives {type(data).__name__}; expected bytes. Open it with open(path, 'rb').")
    if not data:
        raise ImageError(f"{name} has nothing left to read; expected an image. If it was read before, file.seek(0).")
    return Encoded(name, bytes(data))


def _of_pillow(image: Image.Image) -> Pixels:
    about = f"Pillow image, mode {image.mode}, {image.width} x {image.height}"
    if not (image.width and image.height):
        raise ImageError(f"The image is a {about}; expected at least one pixel.")
    try:
        image.load()
        orientation = image.getexif().get(ORIENTATION_TAG)
        turned = orientation if orientation in TURNS else UPRIGHT
        if image.mode == "F" or image.mode.startswith("I"):
            return np.ascontiguousarray(upright(_in_colour(_deep(np.asarray(image))), turned))
        profile = image.info.get("icc_profile")
        plain = image.convert(AS_NEEDED[image.mode]) if image.mode in AS_NEEDED else image
        converted, _ = to_srgb(plain, profile if isinstance(profile, bytes) else None)
        return np.array(upright_image(converted, turned), np.uint8)
    except SeglabError:
        raise
    except Exception as error:  # Pillow's errors for damaged or closed files, and for modes that it cannot convert
        raise ImageError(
            f"The image is a {about}, which cannot be converted to RGB ({str(error) or type(error).__name__}); "
            "expected an open, undamaged image for which `image.convert('RGB')` works."
        ) from error


def _deep(samples: Numbers) -> Pixels:
    """Return grey samples of more than 8 bits, ``(H, W)``, as uint8."""
    if samples.dtype.kind == "f":
        return from_floats(samples)[0]
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return from_sixteen(samples.astype(np.uint16))[0]
    return from_signed(samples, 8 * samples.dtype.itemsize)[0]


def _of_array(array: Numbers, about: str) -> Pixels:
    if 0 in array.shape:
        raise ImageError(f"The image is {about}, without pixels; expected {SHAPES}.")
    if array.dtype.kind in OBJECTS:
        raise ImageError(f"The image is {about}; expected pixels. For a table, pass its column of paths.")
    if array.ndim == 3 and array.shape[2] > max(CHANNELS) and array.shape[0] in CHANNELS:
        raise ImageError(f"The image is {about}, channels first; expected them last: image.transpose(1, 2, 0).")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        raise ImageError(f"The image is {about}; expected {SHAPES}.")
    colours = array[..., :3] if array.ndim == 3 else array[..., None]  # (H, W, 1 or 3)
    return _in_colour(_in_bytes(colours, about))


def _in_bytes(samples: Numbers, about: str) -> Pixels:
    """Return samples of any accepted type as uint8, 0-255. Floats must lie between 0 and 1."""
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if samples.dtype == np.uint8:
        return samples
    if kind == "b":
        return samples.astype(np.uint8) * np.uint8(255)
    if kind == "u" and size == 2:
        return from_sixteen(samples.astype(np.uint16))[0]
    if kind != "f":
        raise ImageError(f"The image is {about}; expected {TYPES}. If it holds 0 to 255: image.astype(np.uint8).")
    least, most = float(samples.min()), float(samples.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ImageError(f"The image is {about} and holds NaN or infinity; expected floats from 0 to 1.")
    if least < -ROUNDING:
        raise ImageError(
            f"The image is {about} with values from {least:.4g} to {most:.4g}; expected floats from 0 to 1, before any "
            "normalisation, which the model does itself."
        )
    if most > 1 + ROUNDING:
        raise ImageError(
            f"The image is {about} with values up to {most:.4g}; expected floats from 0 to 1: image / 255, if they are "
            "on 0-255."
        )
    return from_floats(samples)[0]


def _in_colour(samples: Pixels) -> Pixels:
    """Return uint8 ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)`` as ``(H, W, 3)``."""
    grey = samples[..., None] if samples.ndim == 2 else samples
    return np.ascontiguousarray(np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey)


def _is_array(image: object) -> bool:
    """Return whether it is a NumPy array, or an array that NumPy can convert."""
    if isinstance(image, np.ndarray):
        return True
    return hasattr(image, "__array__") and hasattr(image, "shape") and not (_is_tensor(image) or _holds_objects(image))


def _holds_objects(images: Any) -> bool:
    """Return whether it is a one-dimensional array or table column of paths, strings or other objects."""
    return len(getattr(images, "shape", ())) == 1 and getattr(getattr(images, "dtype", None), "kind", "") in OBJECTS


def _known(image: Any) -> tuple[Numbers, str]:
    """Return a NumPy array of the image, and its description for messages."""
    try:
        array = np.asarray(image)
    except Exception as error:  # for example on a GPU; each library has its own errors
        raise ImageError(f"The image is {_named(image)}, which does not become an array ({error}).") from error
    return array, f"{array.dtype} {array.shape}"


def _is_tensor(image: object) -> bool:
    """Return whether it is a torch tensor, without importing torch."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(image, kind)


def _of_tensor(tensor: Any) -> Pixels:
    shape = tuple(tensor.shape)
    about = f"{tensor.dtype} {shape}"
    is_first, is_last = len(shape) == 3 and shape[0] in CHANNELS, len(shape) == 3 and shape[2] in CHANNELS
    if is_first and is_last:
        raise ImageError(
            f"The image is {about}, whose channels may be the first axis or the last; expected a NumPy array "
            "(H, W, C) of so small an image."
        )
    try:
        known = tensor.detach().cpu()
        array = np.asarray((known.float() if known.is_floating_point() else known).numpy())
    except Exception as error:  # sparse, quantised or meta tensors
        raise ImageError(f"The image is {about}, which does not become an array ({error}).") from error
    return _of_array(np.moveaxis(array, 0, -1) if is_first else array, about)
