"""What becomes of one image: its mask with what is known of it, or why there is none."""

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
"""Pixels of what a notebook shows, at most."""
Mask = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a :class:`export.Segmenter` made of one image.

    ``mask``: uint8 ``(H, W)`` of the image's size: 0 or 255, or with several classes their numbers. ``prob``: float32
    ``(S, S)``, or ``(C, S, S)`` of several classes, 0-1. ``error``: why the image could not be used; mask and prob are
    None then. ``threshold``: of the model. ``suitable``: whether the image looks like those that the model learned
    from, 0-1, where the model says so; below ``contract.suitable["threshold"]`` it does not. ``image``: what was handed
    in, for :meth:`overlay`: a path, or the image itself (of an open file its bytes), which lives as long as the result.
    ``np.asarray(result)`` is the mask, and ``mask, prob = result`` works; both raise
    :class:`seglab.errors.ImageError` where there is an error.
    """

    mask: Mask | None
    prob: Probs | None
    error: str | None = None
    threshold: float = 0.5
    suitable: float | None = None
    image: object = None

    @property
    def area(self) -> int | None:
        """How many pixels of the mask are lesion (of several classes: not background)."""
        return None if self.mask is None else int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """``(x0, y0, x1, y1)`` of the lesion in pixels, x1 and y1 the first column and row after it; None where the
        mask is empty.
        """
        return bbox_of(self.mask) if self.mask is not None and self.area else None

    @property
    def confidence(self) -> float | None:
        """The Dice that the probabilities expect of their mask, 0 to 1: see :func:`export.runtime.masks.confidence`."""
        return None if self.prob is None else confidence(self.prob, self.threshold)

    def overlay(self, longest_side: int | None = LONGEST_SIDE) -> Image.Image:
        """Return the photograph with the outline of its lesion, RGB; of several classes one outline each. A corner says
        where no lesion was found, and the scale of what was scaled down.

        A larger photograph is scaled down to ``longest_side`` pixels; None keeps its size. A file is read again.
        Raises :class:`seglab.errors.ImageError` where there is no mask, or where the file has changed its size.
        """
        if longest_side is not None and (not isinstance(longest_side, int) or longest_side < 1):
            raise ConfigError(f"longest_side is {longest_side!r}; expected pixels, 1 or more, or None for all of them.")
        mask, prob = self
        pixels = pixels_of(self.image)
        if pixels.shape[:2] != mask.shape:
            raise ImageError(
                f"The image is {_size(pixels)} now and its mask is {_size(mask)}; expected the image that the mask was "
                "made of. Call the model with it again."
            )
        largest = longest_side or max(mask.shape)
        return Image.fromarray(outlined(pixels, mask, largest, are_labels=prob.ndim == 3))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        mask, _ = self
        if copy:
            return np.array(mask, dtype)
        array = np.asarray(mask, dtype)
        if copy is False and array is not mask:
            raise ValueError(f"The mask is uint8 and was asked for as {array.dtype} without a copy; allow one.")
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
        """Return what a notebook shows of it: the overlay; None (its text, then) where there is none."""
        try:
            overlay = self.overlay(SHOWN_SIDE)
        except ImageError:
            return None
        overlay.save(encoded := io.BytesIO(), "JPEG", quality=90)
        return encoded.getvalue()


def _size(pixels: NDArray[Any]) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
