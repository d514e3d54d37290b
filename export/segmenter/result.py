"""What becomes of one image: its mask with what is known of it, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from export.runtime.masks import bbox_of, confidence
from seglab.errors import ImageError

Mask = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a :class:`export.Segmenter` made of one image.

    ``mask``: uint8 ``(H, W)`` of the image's size: 0 or 255, or with several classes their numbers. ``prob``: float32
    ``(S, S)``, or ``(C, S, S)`` of several classes, 0-1. ``error``: why the image could not be used; mask and prob are
    None then. ``np.asarray(result)`` is the mask, and ``mask, prob = result`` works; both raise
    :class:`seglab.errors.ImageError` where there is an error.
    """

    mask: Mask | None
    prob: Probs | None
    error: str | None = None

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
        """Mean of max(p, 1 - p) over the probabilities, 0.5 to 1; of several classes, of the largest one."""
        return None if self.prob is None else confidence(self.prob)

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
        return f"Result(mask {self.mask.shape[0]} x {self.mask.shape[1]}, area={self.area}, box={self.box})"
