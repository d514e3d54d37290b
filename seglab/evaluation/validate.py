"""Validation of a checkpoint: every image at its original size, through the PyTorch original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seglab.data.pairs import Pair
from seglab.data.splits import PARTS, read_split, validates
from seglab.errors import DataError
from seglab.evaluation.original import Predictor
from seglab.metrics.bootstrap import interval
from seglab.metrics.boundary import Boundary, compare_boundaries
from seglab.metrics.overlap import Confusion, Scores, confusion

WITH_INTERVAL = ("dice", "iou", "thresholded_jaccard")


@dataclass(frozen=True)
class Judged:
    """One image with what came out. ``image`` uint8 ``(H, W, 3)``; ``mask``, ``truth`` uint8 ``(H, W)``, 0 or 255."""

    pair: Pair
    counts: Confusion
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass
class Verdict:
    """What a stream of judged images comes to; keeps figures, not pictures. ``outlines``: measure boundaries too."""

    outlines: bool = True
    scores: Scores = field(default_factory=Scores)
    boundaries: list[Boundary] = field(default_factory=list)
    lesions: list[str] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Add one image."""
        self.scores.add(judged.pair.id, judged.counts)
        self.lesions.append(judged.pair.lesion)
        if self.outlines:
            self.boundaries.append(compare_boundaries(judged.mask, judged.truth))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per image: name, metrics, boundary measures, counts."""
        boundaries = [vars(boundary) for boundary in self.boundaries] or [{}] * len(self.lesions)
        return [row | boundary for row, boundary in zip(self.scores.rows(), boundaries, strict=True)]

    def summary(self) -> dict[str, float]:
        """Return the scores' summary with the means of the boundary measures (``hd95_median``: the median)."""
        summary = self.scores.summary()
        if self.boundaries:
            summary["hd95"] = float(np.mean([boundary.hd95 for boundary in self.boundaries]))
            summary["hd95_median"] = float(np.median([boundary.hd95 for boundary in self.boundaries]))
            summary["hd95_relative"] = float(np.mean([boundary.hd95_relative for boundary in self.boundaries]))
            summary["boundary_iou"] = float(np.mean([boundary.boundary_iou for boundary in self.boundaries]))
        return summary

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return 95 % bootstrap intervals of the means that are compared, whole lesions drawn."""
        rows = self.rows()
        named = [*WITH_INTERVAL, *(["boundary_iou"] if self.boundaries else [])]
        return {key: interval([row[key] for row in rows], self.lesions) for key in named}


def judge(predictor: Predictor, pairs: Iterable[Pair]) -> Iterator[Judged]:
    """Predict each image and count its pixels against the truth, one at a time.

    Raises :class:`DataError` where a truth is not of its image's size.
    """
    for pair in pairs:
        image, truth = pair.photo().pixels, pair.mask()
        mask = predictor.mask(image)
        try:
            counts = confusion(mask, truth)
        except DataError as error:
            raise DataError(f"{pair.source}: {error}") from error
        yield Judged(pair, counts, image, mask, truth)


def choose_part(pairs: Sequence[Pair], part: str, split_file: Path | None) -> list[Pair]:
    """Return the pairs of a part: by a split's file, else the fixed fifth of the ids (``all``: every pair).

    Raises :class:`DataError` where there is none.
    """
    if part == "all":
        return list(pairs)
    if split_file:
        ids = read_split(split_file)[part]
        chosen = [pair for pair in pairs if pair.id in ids]
        where = str(split_file)
    else:
        if part not in PARTS[:2]:
            raise DataError(f"The fixed fifth has no {part} part; expected training or validation. Name a --split.")
        chosen = [pair for pair in pairs if validates(pair.lesion) == (part == "validation")]
        where = "the fixed fifth of the ids"
    if not chosen:
        raise DataError(
            f"None of the {len(pairs)} pairs is in the {part} part of {where}; expected some. Check --data and "
            "--split, or use --part all."
        )
    return chosen
