"""The gate: a model must compute what its original computes, on every image of a set.

Three comparisons, in which the original uses its own pre- and post-processing:

``whole``: the graph on whole images, with its mask at full size. ``batch``: the graph on images that the host resized
to S x S, as the batch runner does, and the original on the same pixels. ``host`` (reported, not a gate): the ``batch``
probabilities resized to full size by the host, against the original on whole images; the cost of the shortcut.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from export.errors import ParityError
from export.proof.judgement import figures_of, judge, why_nothing_is_proved
from export.proof.report import ADVICE, ORIGINAL, Difference, ParityReport, Row
from export.runtime.masks import agreement, enlarge, to_mask
from export.runtime.model import Model
from export.runtime.session import Seen
from export.samples import Sample
from export.tolerances import Tolerance, tolerance_for
from seglab.images.pixels.resize import fit
from seglab.metrics.overlap import confusion

__all__ = ["CHUNK", "Original", "ParityReport", "Row", "check", "difference"]

CHUNK = 8
"""Images held in memory at a time."""

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Original(Protocol):
    """The original: :class:`seglab.evaluation.original.Predictor`, or a foreign network as it came."""

    def prob(self, image: Images, /) -> Probs:
        """Return probabilities ``(S, S)`` of an image ``(H, W, 3)``; ``(C, S, S)`` for several classes."""

    def prob_and_mask(self, image: Images, /) -> tuple[Probs, Images]:
        """Return the probabilities as :meth:`prob`, and the mask ``(H, W)``."""


@runtime_checkable
class JudgesSuitable(Protocol):
    """An original that scores whether images look like its training images."""

    def suitable(self, image: Images, /) -> float | None:
        """Return the score of an image ``(H, W, 3)``; None if the original has none."""


def check(
    model: Model,
    original: Original,
    samples: Iterable[Sample],
    *,
    source: str = "images",
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    original_name: str = ORIGINAL,
    advice: str = ADVICE,
    limits: Tolerance | None = None,
) -> ParityReport:
    """Compare an opened model with its original on every sample, :data:`CHUNK` at a time.

    ``track`` wraps the samples in a progress bar. ``original_name`` and ``advice`` are for messages: what the original
    is, and what to do if the model does not match it. ``limits``: to use instead of those of the precision. Differences
    are in the report, and raise nothing.
    """
    rows = tuple(_rows(model, original, track(samples)))
    if not rows:
        raise ParityError("There is no image to measure parity on. Name a folder with images.")
    figures = figures_of(rows)
    device, whole = model.device, model.whole_device
    return ParityReport(
        device.name,
        device.precision,
        whole.name,
        whole.precision,
        source,
        figures,
        judge(figures, rows, limits or tolerance_for(whole.precision), limits or tolerance_for(device.precision)),
        rows,
        {"model_sha256": model.sha256, "checkpoint_sha256": model.contract.checkpoint_sha256},
        original_name,
        advice,
        why_nothing_is_proved(rows, original_name),
    )


def difference(prob: Probs, mask: Images, expected_prob: Probs, expected_mask: Images) -> Difference:
    """Return the differences of ``prob`` and ``mask`` from the expected ones."""
    gap = np.abs(prob.astype(np.float64) - expected_prob)
    flipped, dice = agreement(mask, expected_mask)
    return Difference(float(gap.max()), float(gap.mean()), flipped, mask.size, dice)


def _rows(model: Model, original: Original, samples: Iterable[Sample]) -> Iterator[Row]:
    remaining = iter(samples)
    size = model.contract.size
    while chunk := list(itertools.islice(remaining, CHUNK)):
        fitted = np.stack([fit(sample.image, size) for sample in chunk])  # (N, S, S, 3)
        seen = model.seen(fitted)
        for at, (sample, pixels, prob) in enumerate(zip(chunk, fitted, seen.prob, strict=True)):
            yield _row(model, original, sample, pixels, Seen(prob, None, _at(seen.suitable, at)))


def _at(scores: Probs | None, at: int) -> Probs | None:
    return None if scores is None else scores[at : at + 1]


def _row(model: Model, original: Original, sample: Sample, fitted: Images, fitted_seen: Seen) -> Row:
    threshold = model.contract.threshold
    expected_prob, expected_mask = original.prob_and_mask(sample.image)
    fitted_prob, whole = fitted_seen.prob, model.seen_whole(sample.image[None])
    expected_fitted = original.prob(fitted)
    size, mask = (sample.image.shape[0], sample.image.shape[1]), cast(Images, whole.mask)[0]
    host = enlarge(fitted_prob, size, threshold)
    return Row(
        sample.name,
        size,
        difference(whole.prob[0], mask, expected_prob, expected_mask),
        difference(
            fitted_prob,
            to_mask(fitted_prob, threshold),
            expected_fitted,
            to_mask(expected_fitted, threshold),
        ),
        None if sample.edge else agreement(host, expected_mask)[1],
        _against_truth(mask, expected_mask, sample.truth if model.contract.classes == 1 else None),
        np.count_nonzero(expected_mask) / expected_mask.size,
        _suitable_gaps(original, (sample.image, whole), (fitted, fitted_seen)),
    )


def _suitable_gaps(
    original: Original, whole: tuple[Images, Seen], fitted: tuple[Images, Seen]
) -> tuple[float, float] | None:
    """Return how far the scores of an image, fed both ways, are from the original's; None if there are none.

    Infinite if only one of the two has a score.
    """
    if not isinstance(original, JudgesSuitable):
        return None
    gaps = [_gap(seen.suitable, original.suitable(image)) for image, seen in (whole, fitted)]
    first, second = gaps
    return None if first is None or second is None else (first, second)


def _gap(found: Probs | None, expected: float | None) -> float | None:
    if found is None or expected is None:
        return None if found is None and expected is None else float("inf")
    return abs(float(found[0]) - expected)


def _against_truth(mask: Images, expected: Images, truth: Images | None) -> dict[str, float] | None:
    if truth is None:
        return None
    model, original = confusion(mask, truth), confusion(expected, truth)
    return {"dice": model.dice, "iou": model.iou, "original_dice": original.dice, "original_iou": original.iou}
