"""The result for one image: its mask and the figures of its lesion, or the reason why there is none."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from export.runtime.masks import bbox_of, confidence
from export.segmenter.pictures import pixels_of
from seglab.errors import ConfigError, ImageError
from seglab.images.pictures import LONGEST_SIDE, outlined

SHOWN_SIDE = 512
"""Longest side, in pixels, of the picture that a notebook shows."""
Mask = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The result of :class:`export.Segmenter` for one image.

    ``mask``: uint8 ``(H, W)`` of the image's size: 0 or 255, or class numbers for a model of several classes.
    ``prob``: float32 ``(S, S)``, or ``(C, S, S)`` for several classes, 0-1. ``error``: why the image could not be used;
    mask and prob are None then. ``threshold``: the model's. ``suitable``: how much the image looks like the model's
    training images, 0-1, or None if the model has no such score; below ``contract.suitable["threshold"]`` it does not.
    ``image``: the argument, for :meth:`overlay`: a path, or the image itself (the bytes of an open file), which lives
    as long as the result. ``np.asarray(result)`` is the mask, and ``mask, prob = result`` works; both raise
    :class:`seglab.errors.ImageError` if there is an error.
    """

    mask: Mask | None
    prob: Probs | None
    error: str | None = None
    threshold: float = 0.5
    suitable: float | None = None
    image: object = None

    @property
    def area(self) -> int | None:
        """The number of lesion pixels in the mask (for several classes: of pixels that are not background)."""
        return None if self.mask is None else int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """``(x0, y0, x1, y1)`` of the lesion in pixels; x1 and y1 are the first column and row after it. None if the
        mask is empty.
        """
        return bbox_of(self.mask) if self.mask is not None and self.area else None

    @property
    def confidence(self) -> float | None:
        """The expected Dice of the mask by the probabilities, 0 to 1: see :func:`export.runtime.masks.confidence`."""
        return None if self.prob is None else confidence(self.prob, self.threshold)

    def overlay(self, longest_side: int | None = LONGEST_SIDE) -> Image.Image:
        """Return the photograph, RGB, with the outline of its lesion, or one outline per class.

        A larger photograph is scaled down to ``longest_side`` pixels; None keeps its size. A corner shows the scale,
        and whether no lesion was found. A file is read again. Raises :class:`seglab.errors.ImageError` if there is no
        mask, or if the file now has another size.
        """
        if longest_side is not None and (not isinstance(longest_side, int) or longest_side < 1):
            raise ConfigError(f"longest_side is {longest_side!r}; expected 1 or more pixels, or None for full size.")
        mask, prob = self
        pixels = pixels_of(self.image)
        if pixels.shape[:2] != mask.shape:
            raise ImageError(
                f"The image is now {_size(pixels)} and its mask is {_size(mask)}; expected the image of the mask. Call "
                "the model with the image again."
            )
        largest = longest_side or max(mask.shape)
        return Image.fromarray(outlined(pixels, mask, largest, are_labels=prob.ndim == 3))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        mask, _ = self
        if copy:
            return np.array(mask, dtype)
        array = np.asarray(mask, dtype)
        if copy is False and array is not mask:
            raise ValueError(f"The mask is uint8 and cannot be returned as {array.dtype} without a copy. Allow a copy.")
        return array

    def __iter__(self) -> Iterator[Any]:
        if self.error is not None:
            raise ImageError(self.error)
        yield self.mask
        yield self.prob

    def __repr__(self) -> str:
        if self.mask is None:
            return f"Result(error={self.error!r})"
        return f"Result(mask={self.mask.shape}, area={self.area}, box={self.box}, confidence={self.confidence:.2f})"

    def _repr_jpeg_(self) -> bytes | None:
        """Return the overlay as JPEG for notebooks; None if there is none, so that they show the text."""
        try:
            overlay = self.overlay(SHOWN_SIDE)
        except ImageError:
            return None
        overlay.save(encoded := io.BytesIO(), "JPEG", quality=90)
        return encoded.getvalue()


def _size(pixels: NDArray[Any]) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
