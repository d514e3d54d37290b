"""Segmentation metrics from pixel counts, for one image, a stream of images, or all pixels pooled.

Dice and IoU are computed per image, then averaged (``pooled_*``: over all pixels of all images at once). A ratio of 0
to 0 (an empty truth with an empty mask) is 1, because the prediction is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.errors import DataError

JACCARD_THRESHOLD = 0.65
"""ISIC 2018 task 1: an IoU below this counts as 0 (arXiv 1902.03368)."""

MEANS = (
    "dice", "iou", "accuracy", "precision", "recall", "sensitivity", "specificity", "f1", "thresholded_jaccard",
)  # fmt: skip


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 1.0


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of one mask (or of several, added): true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN), the Jaccard index."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all pixels."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); 1 for an empty mask only if the truth is empty too, else 0."""
        return self._one_sided(self.tp + self.fp)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); 1 for an empty truth only if the mask is empty too, else 0."""
        return self._one_sided(self.tp + self.fn)

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN) as the ISIC Challenge scores it: 1 for every empty truth, where recall can be 0."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (TN + FP) as the ISIC Challenge scores it: 1 for every truth that fills the image."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; for one image the same number as Dice."""
        return self.dice

    @property
    def thresholded_jaccard(self) -> float:
        """The IoU, or 0 where it is below :data:`JACCARD_THRESHOLD`."""
        return self.iou if self.iou >= JACCARD_THRESHOLD else 0.0

    def _one_sided(self, denominator: int) -> float:
        if denominator == 0 and self.fp + self.fn > 0:
            return 0.0
        return _ratio(self.tp, denominator)


def confusion(mask: NDArray[Any], truth: NDArray[Any]) -> Confusion:
    """Count the pixels of ``mask`` against ``truth``, both ``(H, W)``; non-zero is lesion.

    Raises :class:`DataError` where the shapes differ.
    """
    if mask.shape != truth.shape:
        raise DataError(
            f"The mask is {mask.shape}, the truth {truth.shape}; expected the same (height, width). "
            "Compare a mask with the truth of its image at the same size."
        )
    predicted, actual = mask != 0, truth != 0
    tp = int(np.count_nonzero(predicted & actual))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(actual)) - tp
    return Confusion(tp, fp, fn, mask.size - tp - fp - fn)


@dataclass
class Scores:
    """A stream of per-image confusions with their names."""

    names: list[str] = field(default_factory=list)
    counts: list[Confusion] = field(default_factory=list)

    def add(self, name: str, counts: Confusion) -> None:
        """Add one image."""
        self.names.append(name)
        self.counts.append(counts)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per image: ``image``, the metrics, and the four counts."""
        return [
            {"image": name, **{key: getattr(counts, key) for key in MEANS}, **vars(counts)}
            for name, counts in zip(self.names, self.counts, strict=True)
        ]

    def lowest(self, count: int) -> list[tuple[str, float]]:
        """Return names and Dice of the images with the lowest Dice, the lowest first."""
        dice = [counts.dice for counts in self.counts]
        return sorted(zip(self.names, dice, strict=True), key=lambda entry: entry[1])[:count]

    def pooled(self) -> Confusion:
        """Return the counts of all images together."""
        return sum(self.counts, Confusion(0, 0, 0, 0))

    def summary(self) -> dict[str, float]:
        """Return means over images, the pooled figures, the worst Dice, and the pooled confusion matrix.

        Raises :class:`DataError` if no image was added.
        """
        if not self.counts:
            raise DataError("No image was scored; expected at least one. Check the folders.")
        pooled = self.pooled()
        means = {key: float(np.mean([getattr(counts, key) for counts in self.counts])) for key in MEANS}
        return {
            "count": len(self.counts),
            **means,
            "worst_dice": min(counts.dice for counts in self.counts),
            "pooled_dice": pooled.dice,
            "pooled_iou": pooled.iou,
            **vars(pooled),
        }
