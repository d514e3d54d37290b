"""Compare the probabilities of two ways to run a model on images at S x S, by the limits of a precision."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from export.proof.gate import CHUNK, difference
from export.runtime.masks import to_mask
from export.samples import Sample
from export.tolerances import Tolerance
from seglab.images.pixels.resize import fit

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]
Run = Callable[[Images], Probs]
"""Return probabilities ``(N, S, S)`` or ``(N, C, S, S)`` of images uint8 ``(N, S, S, 3)``."""


@dataclass(frozen=True)
class ProbRow:
    """How one image differs: probabilities (largest, mean), mask pixels that flip, Dice of the masks at S x S, and the
    Dice that it is judged by.
    """

    image: str
    max_prob: float
    mean_prob: float
    flipped: int
    pixels: int
    dice: float
    counted_dice: float


@dataclass(frozen=True)
class ProbReport:
    """Figures over all images, by the names of their limits; ``beyond``: those that exceed their limits, as text."""

    limits: Tolerance
    figures: dict[str, float]
    beyond: tuple[str, ...]
    rows: tuple[ProbRow, ...]

    def to_json(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {**asdict(self), "passed": not self.beyond}


def compare_probs(
    run: Run,
    reference: Run,
    samples: Iterable[Sample],
    *,
    size: int,
    threshold: float,
    limits: Tolerance,
) -> ProbReport:
    """Run images both ways, at most :data:`CHUNK` at a time, and judge the differences."""
    rows = tuple(_rows(run, reference, samples, size, threshold, limits))
    counted = [row.counted_dice for row in rows]
    figures = {
        "max_prob": float(np.max([row.max_prob for row in rows])),
        "mean_prob": float(np.mean([row.mean_prob for row in rows])),
        "flipped": sum(row.flipped for row in rows) / sum(row.pixels for row in rows),
        "mean_dice": float(np.mean(counted)),
        "worst_dice": min(counted),
    }
    return ProbReport(limits, figures, tuple(_beyond(figures, rows, limits)), rows)


def _rows(
    run: Run, reference: Run, samples: Iterable[Sample], size: int, threshold: float, limits: Tolerance
) -> Iterator[ProbRow]:
    remaining = iter(samples)
    while chunk := list(itertools.islice(remaining, CHUNK)):
        images = np.stack([fit(sample.image, size) for sample in chunk])  # (N, S, S, 3)
        for sample, prob, expected in zip(chunk, run(images), reference(images), strict=True):
            gap = difference(prob, to_mask(prob, threshold), expected, to_mask(expected, threshold))
            counted = limits.counted_dice(gap.dice, gap.flipped, gap.pixels if sample.edge else 0)
            yield ProbRow(sample.name, **asdict(gap), counted_dice=counted)


def _beyond(figures: dict[str, float], rows: tuple[ProbRow, ...], limits: Tolerance) -> Iterator[str]:
    pixels = sum(row.pixels for row in rows)
    for name, value in figures.items():
        limit = limits.most_flipped(pixels) if name == "flipped" else getattr(limits, name)
        is_least = name.endswith("dice")
        if not (value >= limit if is_least else value <= limit):  # written so that NaN fails
            worst = min(rows, key=lambda row: row.counted_dice) if is_least else max(rows, key=lambda row: row.max_prob)
            side = "at least" if is_least else "at most"
            yield f"{name} is {value:.6g}, {side} {limit:g} allowed (worst image: {worst.image})"
