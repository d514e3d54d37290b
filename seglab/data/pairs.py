"""A pair of image and truth, wherever it is kept: two files, or a row of stored arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seglab.errors import DataError, ImageError
from seglab.images.decoders.base import Stored
from seglab.images.mask_values import Truth, truth_of
from seglab.images.masks import read_truth
from seglab.images.reader import Photo, read_photo


class Pair(Protocol):
    """An image with the annotator's mask.

    ``id``: as ``ISIC_0000000``. ``lesion``: photographs of one lesion share it (the id, where a set has one image a
    lesion). ``part``: the official ``training``, ``validation`` or ``test``, or empty where a set has no parts.
    ``hair``: how hairs were removed from the stored image, or ``none``.
    """

    @property
    def id(self) -> str: ...
    @property
    def lesion(self) -> str: ...
    @property
    def part(self) -> str: ...
    @property
    def hair(self) -> str: ...
    @property
    def source(self) -> str:
        """Where the image is, for messages."""

    def photo(self, at_least: int | None = None) -> Photo:
        """Read the image (see :func:`seglab.images.reader.read_photo`). Raises :class:`ImageError` that names it."""

    def mask(self) -> NDArray[np.uint8]:
        """Read the truth: ``(H, W)``, 0 or 255. Raises :class:`ImageError` that names it."""

    def read_truth(self) -> Truth:
        """Read the truth with what is known of it. Raises as :meth:`mask`."""


@dataclass(frozen=True)
class FilePair:
    """A pair kept as two image files."""

    id: str
    image: Path
    truth: Path
    lesion: str = ""
    part: str = ""
    hair: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lesion", self.lesion or self.id)

    @property
    def source(self) -> str:
        """The image's path."""
        return str(self.image)

    def photo(self, at_least: int | None = None) -> Photo:
        """Read the image, JPEGs scaled down to no less than ``at_least`` pixels a side."""
        try:
            return read_photo(self.image, at_least=at_least)
        except ImageError as error:
            raise ImageError(f"{self.image}: {error}") from error

    def mask(self) -> NDArray[np.uint8]:
        """Read the truth: ``(H, W)``, 0 or 255."""
        return self.read_truth().mask

    def read_truth(self) -> Truth:
        """Read the truth with what is known of it."""
        try:
            return read_truth(self.truth)
        except ImageError as error:
            raise ImageError(f"{self.truth}: {error}") from error


@dataclass(frozen=True)
class ArrayPair:
    """A pair kept as row ``row`` of two arrays: images uint8 ``(N, H, W, 3)`` RGB, masks ``(N, H, W)``.

    Masks are read by their values as those in files are. Images may be floats, scaled to 0-1. ``images`` and ``masks``
    name an ``.npy`` file (opened memory-mapped), or ``FILE.npz:KEY``.
    """

    id: str
    images: str
    masks: str
    row: int
    lesion: str = ""
    part: str = ""
    hair: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lesion", self.lesion or self.id)

    @property
    def source(self) -> str:
        """The array's place and the row."""
        return f"{self.images}[{self.row}]"

    def photo(self, at_least: int | None = None) -> Photo:
        """Return the stored image; its own size counts as the original one."""
        pixels = np.array(open_array(self.images)[self.row])  # (H, W, 3)
        if pixels.dtype.kind == "f":  # scaled to 0-1
            pixels = np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ImageError(
                f"{self.source} is {pixels.dtype} {pixels.shape}; expected uint8 (height, width, 3). Store it as RGB."
            )
        return Photo(pixels, (pixels.shape[0], pixels.shape[1]))

    def mask(self) -> NDArray[np.uint8]:
        """Return the stored truth: ``(H, W)``, 0 or 255."""
        return self.read_truth().mask

    def read_truth(self) -> Truth:
        """Return the stored truth with what is known of it."""
        values = np.array(open_array(self.masks)[self.row])  # (H, W) or (H, W, 1)
        values = values if values.ndim == 3 else values[..., None]  # (H, W, 1)
        try:
            return truth_of(Stored(values, "grey" if values.shape[2] == 1 else "rgb", 8 * values.dtype.itemsize))
        except ImageError as error:
            raise ImageError(f"{self.masks}[{self.row}]: {error}") from error


@functools.lru_cache(maxsize=16)
def open_array(place: str) -> NDArray[np.generic]:
    """Open ``FILE.npy`` memory-mapped, or read ``FILE.npz:KEY`` whole; kept for the process.

    Raises :class:`DataError` where the file is missing, torn, or lacks the key.
    """
    file, _, key = place.partition(".npz:")
    try:
        if key:
            with np.load(f"{file}.npz", allow_pickle=False) as arrays:
                return np.asarray(arrays[key])
        return np.asarray(np.load(place, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            f"{place} cannot be read ({error}); expected a whole .npy or .npz file. Make or download it again."
        ) from error
