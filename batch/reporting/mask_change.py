"""The difference between two masks of one image, and figures of many such differences in bounded memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.ledger.reader import DoneEntry
from batch.outputs.reading import StoredMasks, read_stored
from batch.reporting.as_written import why_changed
from seglab.errors import DataError, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = 10_000
"""Dice is kept to four digits: a histogram with this many steps gives exact quantiles for any number of images."""


@dataclass(frozen=True, slots=True)
class Change:
    """Pixel counts of two masks of equal size: lesion in ``both``, ``gained`` (only in the second), ``lost`` (only in
    the first).
    """

    both: int
    gained: int
    lost: int

    @property
    def dice(self) -> float:
        """Return 2 both / (2 both + gained + lost); 1 for two empty masks."""
        total = 2 * self.both + self.gained + self.lost
        return 2 * self.both / total if total else 1.0

    @property
    def iou(self) -> float:
        """Return both / (both + gained + lost); 1 for two empty masks."""
        total = self.both + self.gained + self.lost
        return self.both / total if total else 1.0

    @property
    def is_none(self) -> bool:
        """Return whether all pixels are equal."""
        return not (self.gained or self.lost)

    @property
    def is_newly_empty(self) -> bool:
        """Return whether the first mask has a lesion and the second has none."""
        return not (self.both or self.gained) and self.lost > 0

    @property
    def is_newly_not_empty(self) -> bool:
        """Return whether the first mask has no lesion and the second has one."""
        return not (self.both or self.lost) and self.gained > 0


@dataclass(frozen=True, slots=True)
class OtherSize:
    """Two masks of different sizes ``(H, W)``, which cannot be compared."""

    first: tuple[int, int]
    second: tuple[int, int]

    def __str__(self) -> str:
        (height, width), (new_height, new_width) = self.first, self.second
        return f"{height}x{width} pixels in A, {new_height}x{new_width} in B (height x width)"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A mask that is missing, damaged or not the one that was written, with the reason."""

    reason: str

    def __str__(self) -> str:
        return self.reason


Found = Change | OtherSize | Unusable


def change_of(first: tuple[StoredMasks, DoneEntry], second: tuple[StoredMasks, DoneEntry]) -> Found:
    """Read and compare an image's masks in A and in B, each given by its store and its ledger entry."""
    files: list[bytes] = []
    for name, (masks, entry) in (("A", first), ("B", second)):
        try:
            data = read_stored(masks, entry.mask)
        except ImageError as error:
            return Unusable(f"in {name}: {error}")
        if (reason := why_changed(data, entry)) is not None:
            return Unusable(f"in {name}: {reason}")
        files.append(data)
    sizes = [(entry.height, entry.width) for _, entry in (first, second)]
    if sizes[0] != sizes[1]:
        return OtherSize(*sizes)
    if files[0] == files[1]:
        return Change(first[1].lesion_area, 0, 0)
    return _difference(*files)


def _difference(first: bytes, second: bytes) -> Found:
    from seglab.metrics.overlap import confusion

    try:
        counts = confusion(_decoded(second), _decoded(first))
    except (DataError, ImageError) as error:
        return Unusable(str(error))
    return Change(counts.tp, counts.fp, counts.fn)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """Decode a mask that a run is known to have made: uint8 ``(H, W)``, 0 or 255. Faster than
    :func:`seglab.images.masks.read_mask`, which accepts masks of all kinds. Raises :class:`ImageError`.
    """
    import cv2
    import numpy as np

    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ImageError("The mask cannot be decoded; expected a PNG. Run again to make it again.")
    if cv2.inRange(mask, 1, 254).any():
        raise ImageError("The mask has values other than 0 and 255. Only masks of one class can be compared.")
    return np.asarray(mask, np.uint8)


@dataclass
class DiceFigures:
    """Mean and quantiles of Dice over any number of images."""

    count: int = 0
    total: float = 0.0
    steps: list[int] = field(default_factory=lambda: [0] * (STEPS + 1))

    def add(self, dice: float) -> None:
        """Add the Dice of one image."""
        self.count += 1
        self.total += dice
        self.steps[round(dice * STEPS)] += 1

    @property
    def mean(self) -> float:
        """Return the mean; at least one image is needed."""
        return self.total / self.count

    def quantile(self, share: float) -> float:
        """Return the Dice that is not exceeded by the ``share`` of images with the lowest, to four digits (nearest
        rank); at least one image is needed.
        """
        rank, below = max(1, math.ceil(share * self.count)), 0
        for step, count in enumerate(self.steps):
            below += count
            if below >= rank:
                return step / STEPS
        raise AssertionError("unreachable: all images are in a step")
