"""Confidence intervals of means over images, by the percentile bootstrap (Efron and Tibshirani, 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seglab.errors import DataError

RESAMPLES = 2000
LEVEL = 0.95
BLOCK = 2**22
"""Numbers that are drawn at a time, to bound memory."""


def interval(
    values: Sequence[float], groups: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of ``values``.

    ``groups``: the group of each value. Whole groups are drawn, because photographs of one lesion are not independent.
    Raises :class:`DataError` where there is no value.
    """
    return bounds(drawn_means(values, groups, resamples=resamples, seed=seed))


def bounds(means: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval from the means of draws."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def drawn_means(
    values: Sequence[float], groups: Sequence[str] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return the means of ``resamples`` draws of ``values`` with replacement, in whole ``groups``."""
    if not len(values):
        raise DataError("There is no score to give an interval for; expected at least one. Check what was scored.")
    data = np.asarray(values, np.float64)
    names = np.arange(len(data)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.bincount(names, weights=data)  # (G,)
    counts = np.bincount(names).astype(np.float64)  # (G,)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(sums))
    means = []
    for start in range(0, resamples, rows):
        drawn = rng.integers(len(sums), size=(min(rows, resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.asarray(np.concatenate(means), np.float64)
