"""Turn probabilities into masks on the host, and measure how much two masks differ; for one or several classes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.metrics.overlap import Confusion

Masks = NDArray[np.uint8]
Probs = NDArray[np.float32]

MOST_CLASSES = 256
"""How many class numbers a mask of 8 bits can hold."""
CONFIDENCE = "expected Dice"
"""The definition of :func:`confidence`, which ledgers store. Another definition needs another name."""


def drop_single_class(probs: NDArray[Any]) -> Probs:
    """Return a graph's ``prob`` ``(N, C, S, S)`` in fp32, as ``(N, S, S)`` if C is 1."""
    return np.asarray(probs[:, 0] if probs.shape[1] == 1 else probs, np.float32)


def to_mask(prob: Probs, threshold: float) -> Masks:
    """Return the mask of probabilities ``(H, W)``: 0 or 255; of ``(C, H, W)``: the most probable class."""
    if prob.ndim == 2:
        return np.where(prob >= threshold, np.uint8(255), np.uint8(0))
    return np.asarray(prob.argmax(axis=0), np.uint8)


def enlarge(prob: Probs, size: tuple[int, int], threshold: float) -> Masks:
    """Resize probabilities ``(S, S)`` or ``(C, S, S)`` to ``size = (H, W)`` on the host; return the mask ``(H, W)``."""
    if prob.ndim == 2:
        return to_mask(_resized(prob, np.empty(size, np.float32)), threshold)
    return _likeliest(prob, size)


def _likeliest(prob: Probs, size: tuple[int, int]) -> Masks:
    """Resize the planes of ``(C, S, S)`` one after another, so that a large image needs the memory of two; return the
    number of the highest one at each pixel, the first of equal ones: uint8 ``(H, W)``.
    """
    best, full = _resized(prob[0], np.empty(size, np.float32)), np.empty(size, np.float32)
    labels, is_more = np.zeros(size, np.uint8), np.empty(size, np.bool_)
    for number, plane in enumerate(prob[1:], 1):
        full = _resized(plane, full)
        np.greater(full, best, out=is_more)
        np.copyto(labels, np.uint8(number), where=is_more)
        np.maximum(best, full, out=best)
    return labels


def _resized(plane: Probs, into: Probs) -> Probs:
    """Resize ``(S, S)`` to ``(H, W)``, in the memory of ``into``."""
    return np.asarray(cv2.resize(plane, into.shape[::-1], dst=into, interpolation=cv2.INTER_LINEAR), np.float32)


def confidence(prob: Probs, threshold: float) -> float:
    """Return the expected Dice of a mask under its own probabilities: 2 sum(p m) / (sum(p) + sum(m)), 0 to 1.

    ``prob`` is ``(S, S)``, m its mask at ``threshold``. For ``(C, S, S)``, m marks the most probable class, and the
    sums go over all classes but the background (0). Returns 0 for an empty mask.
    """
    if prob.ndim == 3:
        likeliest = prob.argmax(axis=0) == np.arange(len(prob))[:, None, None]  # (C, S, S)
        found, total, area = float(prob[1:][likeliest[1:]].sum()), float(prob[1:].sum()), int(likeliest[1:].sum())
    else:
        mask = to_mask(prob, threshold)
        area = int(cv2.countNonZero(mask))
        found, total = cv2.mean(prob, mask=mask)[0] * area, cv2.sumElems(prob)[0]
    return 2 * found / (total + area) if area else 0.0


def bbox_of(mask: Masks) -> tuple[int, int, int, int]:
    """Return ``(x0, y0, x1, y1)`` of the non-zero pixels of a mask, half-open."""
    x, y, width, height = cv2.boundingRect(mask)
    return int(x), int(y), int(x + width), int(y + height)


def agreement(mask: Masks, expected: Masks) -> tuple[int, float]:
    """Return how many pixels of two masks differ, and their Dice.

    With several classes: the mean Dice over those that either mask holds, without the background (0); 1 if there are
    none.
    """
    labels = np.flatnonzero(_present(mask) | _present(expected))
    counts = [_counts(mask == label, expected == label) for label in labels if label != 0]
    return int(np.count_nonzero(mask != expected)), float(np.mean([entry.dice for entry in counts])) if counts else 1.0


def _present(mask: Masks) -> NDArray[np.bool_]:
    """Return which values a mask holds, ``(256,)``, by a histogram, which is faster than sorting."""
    return np.asarray(cv2.calcHist([mask], [0], None, [256], [0, 256])).ravel() > 0


def _counts(mask: NDArray[np.bool_], expected: NDArray[np.bool_]) -> Confusion:
    tp = int(np.count_nonzero(mask & expected))
    fp, fn = int(np.count_nonzero(mask)) - tp, int(np.count_nonzero(expected)) - tp
    return Confusion(tp, fp, fn, mask.size - tp - fp - fn)
