"""Pairs of image and truth: two files, a file and outlines, or a row of stored arrays."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from seglab.data.outlines import Outlines
from seglab.errors import DataError, ImageError
from seglab.images.decoders.base import Stored
from seglab.images.mask_values import Truth, truth_of
from seglab.images.masks import read_truth
from seglab.images.pixels.orientation import UPRIGHT, orientation_in, swaps_sides, upright
from seglab.images.reader import Photo, read_photo


class Pair(Protocol):
    """An image with the annotator's mask.

    ``id``: such as ``ISIC_0000000``. ``lesion``: photographs of one lesion share it (the id where the lesion is
    unknown). ``part``: the official ``training``, ``validation`` or ``test``, or empty where a set has no parts.
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
        """The place of the image, for messages."""

    def named(self, id: str, lesion: str) -> Self:
        """Return this pair under another id, of a lesion of another name."""

    def photo(self, at_least: int | None = None) -> Photo:
        """Read the image (see :func:`seglab.images.reader.read_photo`). Raises :class:`ImageError` that names it."""

    def mask(self) -> NDArray[np.uint8]:
        """Read the truth: ``(H, W)``, 0 or 255. Raises :class:`ImageError` that names it."""

    def read_truth(self) -> Truth:
        """Read the truth with its properties. Raises like :meth:`mask`."""


def require_size(truth: Path | str, shape: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise :class:`DataError` unless a truth of ``shape`` has the ``(height, width)`` of its image."""
    if shape != size:
        raise DataError(
            f"{truth} is {shape}, its image {size}; expected the same (height, width). "
            "Resize the truth, or remove the pair."
        )


class _Named:
    """A pair with an id. Without a known lesion, ``lesion`` is the id."""

    id: str
    lesion: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "lesion", self.lesion or self.id)

    def named(self, id: str, lesion: str) -> Self:
        """Return this pair under another id, of a lesion of another name."""
        changed: Self = dataclasses.replace(cast("Any", self), id=id, lesion=lesion)
        return changed


class _WithImageFile(_Named):
    """A pair whose image is a file."""

    image: Path

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


@dataclass(frozen=True)
class FilePair(_WithImageFile):
    """A pair of two image files.

    ``orientation``: ``exif`` where the mask fits the image as turned by EXIF, ``stored`` where it fits the image as
    stored; it is then turned like the image.
    """

    id: str
    image: Path
    truth: Path
    lesion: str = ""
    part: str = ""
    hair: str = "none"
    orientation: str = "exif"

    def mask(self) -> NDArray[np.uint8]:
        """Read the truth: ``(H, W)``, 0 or 255."""
        return self.read_truth().mask

    def read_truth(self) -> Truth:
        """Read the truth with what is known of it."""
        try:
            truth = read_truth(self.truth)
            if self.orientation == "stored":
                return Truth(upright(truth.mask, orientation_in(self.image)), truth.between)
            return truth
        except ImageError as error:
            raise ImageError(f"{self.truth}: {error}") from error


@dataclass(frozen=True)
class DrawnPair(_WithImageFile):
    """A pair of an image file and the outlines of its lesions. ``orientation``: see :class:`FilePair`."""

    id: str
    image: Path
    outlines: Outlines
    lesion: str = ""
    part: str = ""
    hair: str = "none"
    orientation: str = "exif"

    def mask(self) -> NDArray[np.uint8]:
        """Draw the truth: ``(H, W)``, 0 or 255."""
        orientation = orientation_in(self.image) if self.orientation == "stored" else UPRIGHT
        try:
            size = self.outlines.size
            if size is None:  # outlines as shares of the sides refer to the image on which they were drawn
                height, width = self.photo(at_least=1).size
                size = (width, height) if swaps_sides(orientation) else (height, width)
            return upright(self.outlines.drawn(size), orientation)
        except ImageError as error:
            raise ImageError(f"The outlines of {self.image}: {error}") from error

    def read_truth(self) -> Truth:
        """Draw the truth."""
        return Truth(self.mask())


@dataclass(frozen=True)
class ArrayPair(_Named):
    """A pair in row ``row`` of two arrays: images uint8 ``(N, H, W, 3)`` RGB, masks ``(N, H, W)``.

    Mask values are interpreted like those in files. Images may be floats, scaled to 0-1. ``images`` and ``masks``
    name an ``.npy`` file (opened memory-mapped), or ``FILE.npz:KEY``.
    """

    id: str
    images: str
    masks: str
    row: int
    lesion: str = ""
    part: str = ""
    hair: str = "none"

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
        """Return the stored truth with its properties.

        Soft truths (floats from 0 to 1) are cut at 0.5, even where this row has no value that high.
        """
        values = np.array(open_array(self.masks)[self.row])  # (H, W) or (H, W, 1)
        values = values if values.ndim == 3 else values[..., None]  # (H, W, 1)
        if values.dtype.kind == "f" and values.shape[2] == 1 and _has_shares(self.masks):
            lesion = values[..., 0] >= 0.5
            return Truth(lesion.astype(np.uint8) * np.uint8(255), float(np.mean((values > 0) & (values < 1))))
        try:
            return truth_of(Stored(values, "grey" if values.shape[2] == 1 else "rgb", 8 * values.dtype.itemsize))
        except ImageError as error:
            raise ImageError(f"{self.masks}[{self.row}]: {error}") from error


@functools.lru_cache(maxsize=16)
def _has_shares(place: str) -> bool:
    """Return whether the values of an array, over all rows, range from 0 to a maximum between 0.5 and 1."""
    values = open_array(place)
    return values.size > 0 and bool(values.min() >= 0) and bool(0.5 <= values.max() <= 1)


@functools.lru_cache(maxsize=16)
def open_array(place: str) -> NDArray[np.generic]:
    """Open ``FILE.npy`` memory-mapped, or read ``FILE.npz:KEY`` as a whole. Results are cached.

    Raises :class:`DataError` where the file is missing or damaged, or lacks the key.
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
