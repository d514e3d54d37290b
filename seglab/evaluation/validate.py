"""Validation of a checkpoint: every image at its original size, with the PyTorch network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.data.checking.looks import looks_inverted
from seglab.data.pairs import Pair, require_size
from seglab.errors import DataError, SeglabError
from seglab.evaluation.original import Predictor
from seglab.metrics.bootstrap import interval
from seglab.metrics.boundary import Boundary, compare_boundaries
from seglab.metrics.overlap import Confusion, Scores, confusion
from seglab.words import all_of, counted

WITH_INTERVAL = ("dice", "iou", "thresholded_jaccard")
LOOK = "Check the truth masks: seglab inspect, or --figures DIR."


@dataclass(frozen=True)
class Judged:
    """One scored image. ``image``: uint8 ``(H, W, 3)`` RGB. ``mask``, ``truth``: uint8 ``(H, W)``, 0 or 255."""

    pair: Pair
    counts: Confusion
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass
class Verdict:
    """Collects the scores of a stream of images, without the pixels. ``outlines``: measure boundaries, too."""

    outlines: bool = True
    scores: Scores = field(default_factory=Scores)
    boundaries: list[Boundary] = field(default_factory=list)
    lesions: list[str] = field(default_factory=list)
    inverted: int = 0

    def add(self, judged: Judged) -> None:
        """Add one image."""
        self.scores.add(judged.pair.id, judged.counts)
        self.lesions.append(judged.pair.lesion)
        self.inverted += looks_inverted(judged.truth)
        if self.outlines:
            self.boundaries.append(compare_boundaries(judged.mask, judged.truth))

    def require_credible(self) -> None:
        """Raise :class:`DataError` where scores mean nothing: empty, full or inverted truths, or no error at all."""
        counts = self.scores.counts
        images = all_of(len(counts), "image")
        found = {
            f"The truth of {images} is empty": all(each.tp + each.fn == 0 for each in counts),
            f"The truth of {images} fills the image": all(each.fp + each.tn == 0 for each in counts),
            f"The truth of {images} is empty or fills the image": all(
                each.tp + each.fn == 0 or each.fp + each.tn == 0 for each in counts
            ),
            f"The truth of {self.inverted:,} of {counted(len(counts), 'image')} looks inverted (it covers most of the "
            "image and of its border)": self.inverted > len(counts) / 2,
            f"The masks of {images} agree with the truth in every pixel (1.0000)": all(
                each.fp + each.fn == 0 for each in counts
            ),
        }
        said = next((what for what, holds in found.items() if counts and holds), "")
        if said:
            raise DataError(f"{said}; expected lesions, skin around them, and some error. {LOOK}")

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per image: name, metrics, counts, boundary measures, lesion."""
        boundaries = [vars(boundary) for boundary in self.boundaries] or [{}] * len(self.lesions)
        rows = zip(self.scores.rows(), boundaries, self.lesions, strict=True)
        return [row | boundary | {"lesion": lesion} for row, boundary, lesion in rows]

    def summary(self) -> dict[str, float]:
        """Return the summary of the scores with the means of the boundary measures (``hd95_median``: the median)."""
        summary = self.scores.summary()
        if self.boundaries:
            summary["hd95"] = float(np.mean([boundary.hd95 for boundary in self.boundaries]))
            summary["hd95_median"] = float(np.median([boundary.hd95 for boundary in self.boundaries]))
            summary["hd95_relative"] = float(np.mean([boundary.hd95_relative for boundary in self.boundaries]))
            summary["boundary_iou"] = float(np.mean([boundary.boundary_iou for boundary in self.boundaries]))
        return summary

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return 95 % bootstrap intervals of the most important means; whole lesions are drawn."""
        rows = self.rows()
        named = [*WITH_INTERVAL, *(["boundary_iou"] if self.boundaries else [])]
        return {key: interval([row[key] for row in rows], self.lesions) for key in named}


@dataclass(frozen=True)
class Failed:
    """An image that could not be scored, and why."""

    pair: Pair
    reason: str


def judge(
    predictor: Predictor, pairs: Iterable[Pair], on_failed: Callable[[Failed], None] | None = None
) -> Iterator[Judged]:
    """Predict each image and count its pixels against the truth, one at a time.

    ``on_failed``: called for images that cannot be read, or whose truth has another size; without it the first such
    image raises :class:`SeglabError`.
    """
    for pair in pairs:
        try:
            yield judged(predictor, pair)
        except SeglabError as error:
            if on_failed is None:
                raise
            on_failed(Failed(pair, str(error)))


def judged(predictor: Predictor, pair: Pair) -> Judged:
    """Predict one image. Raises :class:`DataError` for a truth of another size, :class:`ImageError` for bad files."""
    image, truth = pair.photo().pixels, pair.mask()
    require_size(f"The truth of {pair.source}", truth.shape, (image.shape[0], image.shape[1]))
    mask = predictor.mask(image)
    return Judged(pair, confusion(mask, truth), image, mask, truth)
