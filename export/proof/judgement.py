"""Judge the figures: which exceed their limits, and whether the images could show a difference at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from export.proof.report import Difference, Failure, Row
from export.tolerances import MOST_LOST, Tolerance
from seglab.metrics.bootstrap import interval
from seglab.words import all_of, counted

SHOWN = 1e-3
"""Share of a picture that must be lesion, and that must be background, for its mask to prove anything."""
LOOK = (
    "Name images with lesions with --parity (`check`: --images). For a foreign network, check that it is fed as in its "
    "training: --mean, --std, --input-range, --channels and --output."
)


def figures_of(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the figures over all images, by group: ``whole``, ``batch``, ``host``, ``truth``, ``suitable``."""
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
            "lowest_dice_difference": interval([truth["dice"] - truth["original_dice"] for truth in truths])[0],
        }
    pictures = [row.suitable for row in rows if row.suitable is not None and row.host_dice is not None]
    if pictures:
        figures["suitable"] = {
            "whole": _largest([whole for whole, _ in pictures]),
            "batch": _largest([batch for _, batch in pictures]),
        }
    return figures


def judge(
    figures: Mapping[str, Mapping[str, float]], rows: Sequence[Row], whole: Tolerance, batch: Tolerance
) -> tuple[Failure, ...]:
    """Return the figures beyond their limits; ``whole`` and ``batch``: the limits of each way of feeding."""
    return (
        *_beyond(figures, rows, "whole", whole),
        *_beyond(figures, rows, "batch", batch),
        *_beyond_suitable(figures, rows, {"whole": whole, "batch": batch}),
        *_beyond_truth(figures, rows, batch),
    )


def why_nothing_is_proved(rows: Sequence[Row], original: str) -> str:
    """Return a sentence if no picture's mask has both lesion and background, so that agreement proves nothing; else an
    empty string. Edge cases do not count as pictures.
    """
    pictures = [row for row in rows if row.host_dice is not None]
    if any(SHOWN <= row.marked <= 1 - SHOWN for row in pictures):
        return ""
    if not pictures:
        seen = "There are no pictures among the images"
    elif all(row.marked < SHOWN for row in pictures):
        seen = f"In {all_of(len(pictures), 'picture')} {original} finds no lesion"
    elif all(row.marked > 1 - SHOWN for row in pictures):
        seen = f"In {all_of(len(pictures), 'picture')} {original} marks everything as lesion"
    else:
        seen = f"In each of {counted(len(pictures), 'picture')} {original} finds no lesion or nothing but lesion"
    return f"{seen}; expected masks with lesion and background, as agreement on others proves nothing. {LOOK}"


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
    figures: Mapping[str, Mapping[str, float]], rows: Sequence[Row], feed: str, limits: Tolerance
) -> Iterator[Failure]:
    found = figures[feed]
    differences: list[tuple[str, Difference]] = [(row.image, getattr(row, feed)) for row in rows]
    pixels = sum(entry.pixels for _, entry in differences)
    for name in ("max_prob", "mean_prob", "flipped"):
        limit = limits.most_flipped(pixels) if name == "flipped" else getattr(limits, name)
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


def _beyond_suitable(
    figures: Mapping[str, Mapping[str, float]], rows: Sequence[Row], limits: Mapping[str, Tolerance]
) -> Iterator[Failure]:
    """Yield the difference of the score ``suitable`` if it exceeds its limit. Edge cases do not count: noise is far
    below the threshold, where small differences of large distances mean nothing.
    """
    for at, (feed, value) in enumerate(figures.get("suitable", {}).items()):
        limit = limits[feed].suitable
        if not value <= limit:  # written so that NaN fails
            gaps = [
                (_or_infinite(row.suitable[at]), row.image)
                for row in rows
                if row.suitable and row.host_dice is not None
            ]
            yield Failure(f"suitable.{feed}", value, limit, max(gaps)[1])


def _largest(values: Sequence[float]) -> float:
    return float(np.max(values))  # NaN if any is


def _beyond_truth(
    figures: Mapping[str, Mapping[str, float]], rows: Sequence[Row], limits: Tolerance
) -> Iterator[Failure]:
    """Yield what changed against the truth: in fp32, how far the mean Dice moved; else, whether Dice may have been lost
    (the lower end of the 95 % interval of the mean paired difference).
    """
    if "truth" not in figures:
        return
    gaps = [(row.truth["dice"] - row.truth["original_dice"], row.image) for row in rows if row.truth]
    if limits.truth_dice is not None:
        moved = abs(figures["truth"]["dice_difference"])
        if moved > limits.truth_dice:
            yield Failure(
                "truth.dice_difference", moved, limits.truth_dice, max((abs(gap), name) for gap, name in gaps)[1]
            )
    elif figures["truth"]["lowest_dice_difference"] < -MOST_LOST:
        lowest = figures["truth"]["lowest_dice_difference"]
        yield Failure("truth.lowest_dice_difference", lowest, -MOST_LOST, min(gaps)[1])


def _or_infinite(value: float) -> float:
    return float("inf") if np.isnan(value) else value
