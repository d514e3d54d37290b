"""The scores of ``seglab validate`` as a text table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seglab.terminal import aligned
from seglab.words import counted

Interval = tuple[float, float]

TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "thresholded_jaccard": "thresholded Jaccard",
    "boundary_iou": "boundary IoU",
    "accuracy": "accuracy",
    "precision": "precision",
    "sensitivity": "sensitivity",
    "recall": "recall",
    "specificity": "specificity",
    "worst_dice": "worst Dice",
    "pooled_dice": "Dice of all pixels",
    "pooled_iou": "IoU of all pixels",
    "hd95": "Hausdorff, 95 %",
}
"""Titles by key of the summary. F1 per image equals Dice and has no row; recall has one unless it is sensitivity."""
PIXELS = {"hd95"}
NUMBER = (1,)


def score_table(summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> list[str]:
    """Return the lines: means over images with their intervals, and the confusion matrix of all pixels."""
    head = (counted(int(summary["count"]), "image"), "mean", "95 % interval")
    scores = aligned([head, *_rows(summary, intervals)], NUMBER)
    return [*scores, "", *_confusion({key: int(summary[key]) for key in ("tp", "fp", "fn", "tn")})]


def _rows(summary: Mapping[str, float], intervals: Mapping[str, Interval]) -> Iterator[tuple[str, str, str]]:
    is_recall = summary["recall"] == summary["sensitivity"]  # they differ only for empty truths
    for key, title in TITLES.items():
        if key not in summary or (key == "recall" and is_recall):
            continue
        low, high = intervals.get(key, (None, None))
        bounds = f"{low:.4f} to {high:.4f}" if low is not None else ""
        if key in PIXELS:
            yield title, f"{summary[key]:.1f}", _distance(summary)
        else:
            yield title, f"{summary[key]:.4f}", bounds


def _distance(summary: Mapping[str, float]) -> str:
    share = 100 * summary["hd95_relative"]
    return f"pixels (median {summary['hd95_median']:.1f}; {share:.1f} % of the diagonal)"


def _confusion(counts: Mapping[str, int]) -> list[str]:
    rows = (
        ("pixels", "mask: lesion", "mask: skin"),
        ("truth: lesion", f"{counts['tp']:,}", f"{counts['fn']:,}"),
        ("truth: skin", f"{counts['fp']:,}", f"{counts['tn']:,}"),
    )
    return aligned(rows, right=(1, 2))
