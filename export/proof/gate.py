"""The gate: a model has to compute what the PyTorch original computes, on every image of a set.

Three comparisons, each with the original's own pre- and post-processing on the other side:

``whole``: the graph fed whole images, its mask at full size. ``batch``: the graph fed images that the host brought to
S x S, as the batch runner does, and the original fed the same pixels. ``host`` (reported, not a gate): the batch
feed's probabilities brought to full size by the host, against the original on whole images; what the shortcut costs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from export.errors import ParityError
from export.runtime.masks import agreement, enlarge, to_mask
from export.runtime.model import Model
from export.samples import Sample
from export.tolerances import Tolerance, tolerance_for
from seglab.images.pixels.resize import fit
from seglab.metrics.overlap import confusion

FORMAT_VERSION = 1
CHUNK = 8
"""Images held at a time."""

ORIGINAL = "the PyTorch original"
ADVICE = "Export the checkpoint again; if it fails again, report it with the output of --json."

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


class Original(Protocol):
    """What is compared with; :class:`seglab.evaluation.original.Predictor` in all real use."""

    def prob(self, image: Images, /) -> Probs:
        """Return probabilities ``(S, S)`` of an image ``(H, W, 3)``; ``(C, S, S)`` of several classes."""

    def prob_and_mask(self, image: Images, /) -> tuple[Probs, Images]:
        """Return them and the mask ``(H, W)``."""


@dataclass(frozen=True)
class Difference:
    """How one feed of one image differs: probabilities (largest, mean), mask pixels that flip, Dice of the masks."""

    max_prob: float
    mean_prob: float
    flipped: int
    pixels: int
    dice: float


@dataclass(frozen=True)
class Row:
    """One image's figures.

    ``host_dice``: None for edge cases. ``truth``: Dice and IoU of the model's and the original's mask, where there is
    truth (data sets hold lesion or not, so there is none for several classes).
    """

    image: str
    size: tuple[int, int]
    whole: Difference
    batch: Difference
    host_dice: float | None
    truth: dict[str, float] | None


@dataclass(frozen=True)
class Failure:
    """A figure beyond its limit, and the image that shows it most."""

    figure: str
    value: float
    limit: float
    image: str

    def __str__(self) -> str:
        side = "at least" if self.figure.endswith("dice") and "truth" not in self.figure else "at most"
        return f"{self.figure} is {self.value:.6g}, {side} {self.limit:g} allowed (worst image: {self.image})"


@dataclass(frozen=True)
class ParityReport:
    """The outcome: figures over all images, failures (none: passed), a row per image.

    ``original``: what the model was compared with, ``advice``: what to do where they differ, a sentence or two.
    """

    device: str
    precision: str
    whole_on: str
    whole_precision: str
    source: str
    figures: dict[str, dict[str, float]]
    failures: tuple[Failure, ...]
    rows: tuple[Row, ...]
    about: dict[str, Any] = field(default_factory=dict)
    original: str = ORIGINAL
    advice: str = ADVICE

    @property
    def passed(self) -> bool:
        """Whether no figure is beyond its limit."""
        return not self.failures

    def summary(self) -> dict[str, Any]:
        """Return what goes into the contract: everything but the rows."""
        return {
            "passed": self.passed,
            "source": self.source,
            "images": len(self.rows),
            "device": self.device,
            "precision": self.precision,
            "whole_on": self.whole_on,
            "whole_precision": self.whole_precision,
            "figures": self.figures,
        }

    def to_json(self) -> str:
        """Return everything as JSON, with a format version."""
        values = {
            "kind": "seglab parity",
            "format_version": FORMAT_VERSION,
            **self.about,
            **self.summary(),
            "tolerances": [asdict(entry) for entry in self.tolerances()],
            "failures": [asdict(entry) for entry in self.failures],
            "rows": [asdict(entry) for entry in self.rows],
        }
        return json.dumps(values, indent=2)

    def tolerances(self) -> list[Tolerance]:
        """Return the limits that were used."""
        return [tolerance_for(name) for name in sorted({self.precision, self.whole_precision})]

    def require_passed(self) -> None:
        """Raise :class:`ParityError`, naming each figure and image, unless everything passed."""
        if self.failures:
            listed = "".join(f"\n  {failure}" for failure in self.failures)
            raise ParityError(
                f"The model does not match {self.original} on {self.device} ({self.precision}), measured on "
                f"{len(self.rows)} images ({self.source}):{listed}\nDo not use it. {self.advice}",
                self,
            )


def check(
    model: Model,
    original: Original,
    samples: Iterable[Sample],
    *,
    source: str = "images",
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    original_name: str = ORIGINAL,
    advice: str = ADVICE,
) -> ParityReport:
    """Compare an opened model with its original on every sample; at most :data:`CHUNK` are held at a time.

    ``track`` wraps the samples in a progress bar. ``original_name`` and ``advice``: see :class:`ParityReport`. A
    difference is in the report, not an error.
    """
    rows = tuple(_rows(model, original, track(samples)))
    if not rows:
        raise ParityError("There is no image to measure parity on; expected at least one. Name a folder with images.")
    figures = _figures(rows)
    device, whole = model.device, model.whole_device
    failures = (
        *_beyond(figures, rows, "whole", tolerance_for(whole.precision)),
        *_beyond(figures, rows, "batch", tolerance_for(device.precision)),
        *_beyond_truth(figures, rows, tolerance_for(device.precision)),
    )
    about = {"model_sha256": model.sha256, "checkpoint_sha256": model.contract.checkpoint_sha256}
    return ParityReport(
        device.name,
        device.precision,
        whole.name,
        whole.precision,
        source,
        figures,
        failures,
        rows,
        about,
        original_name,
        advice,
    )


def difference(prob: Probs, mask: Images, expected_prob: Probs, expected_mask: Images) -> Difference:
    """Measure how far ``prob`` and ``mask`` are from what is expected."""
    gap = np.abs(prob.astype(np.float64) - expected_prob)
    flipped, dice = agreement(mask, expected_mask)
    return Difference(float(gap.max()), float(gap.mean()), flipped, mask.size, dice)


def _rows(model: Model, original: Original, samples: Iterable[Sample]) -> Iterator[Row]:
    remaining = iter(samples)
    size = model.contract.size
    while chunk := list(itertools.islice(remaining, CHUNK)):
        fitted = np.stack([fit(sample.image, size) for sample in chunk])  # (N, S, S, 3)
        for sample, pixels, prob in zip(chunk, fitted, model.prob(fitted), strict=True):
            yield _row(model, original, sample, pixels, prob)


def _row(model: Model, original: Original, sample: Sample, fitted: Images, fitted_prob: Probs) -> Row:
    threshold = model.contract.threshold
    expected_prob, expected_mask = original.prob_and_mask(sample.image)
    probs, masks = model.prob_and_mask(sample.image[None])
    expected_fitted = original.prob(fitted)
    size = (sample.image.shape[0], sample.image.shape[1])
    host = enlarge(fitted_prob, size, threshold)
    return Row(
        sample.name,
        size,
        difference(probs[0], masks[0], expected_prob, expected_mask),
        difference(
            fitted_prob,
            to_mask(fitted_prob, threshold),
            expected_fitted,
            to_mask(expected_fitted, threshold),
        ),
        None if sample.edge else agreement(host, expected_mask)[1],
        _against_truth(masks[0], expected_mask, sample.truth if model.contract.classes == 1 else None),
    )


def _against_truth(mask: Images, expected: Images, truth: Images | None) -> dict[str, float] | None:
    if truth is None:
        return None
    model, original = confusion(mask, truth), confusion(expected, truth)
    return {"dice": model.dice, "iou": model.iou, "original_dice": original.dice, "original_iou": original.iou}


def _figures(rows: tuple[Row, ...]) -> dict[str, dict[str, float]]:
    figures = {feed: _feed_figures([getattr(row, feed) for row in rows]) for feed in ("whole", "batch")}
    host = [row.host_dice for row in rows if row.host_dice is not None]
    if host:
        figures["host"] = {"mean_dice": float(np.mean(host)), "worst_dice": min(host)}
    truths = [row.truth for row in rows if row.truth]
    if truths:
        means = {key: float(np.mean([truth[key] for truth in truths])) for key in truths[0]}
        figures["truth"] = {
            "images": len(truths),
            **means,
            "dice_difference": means["dice"] - means["original_dice"],
            "iou_difference": means["iou"] - means["original_iou"],
        }
    return figures


def _feed_figures(differences: list[Difference]) -> dict[str, float]:
    dice = [entry.dice for entry in differences]
    return {
        "max_prob": float(np.max([entry.max_prob for entry in differences])),
        "mean_prob": float(np.mean([entry.mean_prob for entry in differences])),
        "flipped": sum(entry.flipped for entry in differences) / sum(entry.pixels for entry in differences),
        "mean_dice": float(np.mean(dice)),
        "worst_dice": min(dice),
    }


def _beyond(
    figures: dict[str, dict[str, float]], rows: tuple[Row, ...], feed: str, limits: Tolerance
) -> Iterator[Failure]:
    found = figures[feed]
    differences: list[tuple[str, Difference]] = [(row.image, getattr(row, feed)) for row in rows]
    for name in ("max_prob", "mean_prob", "flipped"):
        limit = getattr(limits, name)
        if not found[name] <= limit:  # written so that NaN fails
            gaps = [(_or_infinite(getattr(entry, name)), image) for image, entry in differences]
            yield Failure(f"{feed}.{name}", found[name], limit, max(gaps)[1])
    counted = [
        (limits.counted_dice(entry.dice, entry.flipped, 0 if row.host_dice is not None else entry.pixels), row.image)
        for row, (_, entry) in zip(rows, differences, strict=True)
    ]
    mean, (worst, image) = float(np.mean([dice for dice, _ in counted])), min(counted)
    if mean < limits.mean_dice:
        yield Failure(f"{feed}.mean_dice", mean, limits.mean_dice, image)
    if worst < limits.worst_dice:
        yield Failure(f"{feed}.worst_dice", worst, limits.worst_dice, image)


def _beyond_truth(figures: dict[str, dict[str, float]], rows: tuple[Row, ...], limits: Tolerance) -> Iterator[Failure]:
    moved = abs(figures.get("truth", {}).get("dice_difference", 0.0))
    if moved > limits.truth_dice:
        gaps = [(abs(row.truth["dice"] - row.truth["original_dice"]), row.image) for row in rows if row.truth]
        yield Failure("truth.dice_difference", moved, limits.truth_dice, max(gaps)[1])


def _or_infinite(value: float) -> float:
    return float("inf") if np.isnan(value) else value
