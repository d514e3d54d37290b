"""The score ``suitable``: how much an image looks like the training images. This module does not import torch.

The means of the encoder's features over an image's pixels are one point. The points of the training images give a mean
and a covariance. The score follows from an image's distance to that mean, calibrated with distances of images that the
network did not learn from.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seglab.errors import DataError

Values = NDArray[np.float32]

THRESHOLD = 0.5
"""Images with a lower score are reported as unlike the training images."""
FLAGGED = 0.01
"""Share of the calibration images below the threshold."""
USUAL = 0.99
"""Score of the median calibration image."""
AXES = 64
"""Largest number of principal components with a variance of their own; the rest shares one."""
SHRINKAGE = 0.01
"""Share of the mean variance that is added to each variance."""
LEAST_VARIANCE = 1e-12
LEAST_TRAINING, LEAST_CALIBRATION = 50, 20
STEEPEST = 30.0


@dataclass(frozen=True)
class Suitability:
    """The data for computing the score; D features, K axes.

    ``channels``: number of channels of each pooled feature map, D in total.
    ``mean``, ``scale``: ``(D,)``, subtracted from features, then multiplied. ``axes``: ``(D, K)``, principal components
    as columns. ``weights``: ``(K,)``, 1 / variance along each. ``rest``: 1 / variance of the remaining directions.
    ``limit``: squared distance at which the score is the threshold. ``steepness``: of the score around it.
    ``images``, ``calibrated_on``: numbers of training and calibration images.
    """

    channels: tuple[int, ...]
    mean: Values
    scale: Values
    axes: Values
    weights: Values
    rest: float
    limit: float
    steepness: float
    images: int
    calibrated_on: int

    def squared_distances(self, points: Values) -> NDArray[np.float64]:
        """Return the squared Mahalanobis distances ``(N,)`` of points ``(N, D)`` from the mean."""
        standard = (points.astype(np.float64) - self.mean) * self.scale
        along = standard @ self.axes
        left = standard - along @ self.axes.T
        return np.asarray((along**2) @ self.weights + (left**2).sum(axis=1) * self.rest)

    def scores(self, points: Values) -> NDArray[np.float64]:
        """Return the scores ``(N,)`` of points ``(N, D)``, 0 to 1, :data:`THRESHOLD` at the limit."""
        nearness = self.limit / np.maximum(self.squared_distances(points), LEAST_VARIANCE)
        return np.asarray(1 / (1 + nearness**-self.steepness))


def learn(training: Values, calibration: Values, channels: tuple[int, ...]) -> Suitability:
    """Return the data for the score.

    ``training``: points ``(N, D)`` of training images. ``calibration``: points of other images.
    ``channels``: of the pooled feature maps. Raises :class:`DataError` for too few images, or equal features.
    """
    _require_enough(training, calibration)
    points = training.astype(np.float64)
    mean, deviation = points.mean(axis=0), points.std(axis=0)
    scale = 1 / (deviation + 1e-3 * deviation.mean() + 1e-6)
    _, singular, rows = np.linalg.svd((points - mean) * scale, full_matrices=False)
    variances = singular**2 / len(points)
    count = min(AXES, points.shape[1], len(points) // 2)
    shrunk = SHRINKAGE * variances.sum() / points.shape[1] + LEAST_VARIANCE
    beside = variances[count:].sum() / max(1, points.shape[1] - count)
    as_floats = (mean, scale, rows[:count].T, 1 / (variances[:count] + shrunk))
    parts = [np.ascontiguousarray(each, np.float32) for each in as_floats]
    numbers = len(training), len(calibration)
    rest = float(1 / max(beside, shrunk))
    raw = Suitability(channels, parts[0], parts[1], parts[2], parts[3], rest, 1.0, 1.0, *numbers)
    return _calibrated(raw, raw.squared_distances(calibration))


def _calibrated(raw: Suitability, distances: NDArray[np.float64]) -> Suitability:
    """Return ``raw`` with limit and steepness for which a share of :data:`FLAGGED` of the distances is beyond the limit
    and the median scores :data:`USUAL`.
    """
    middle, limit = (float(max(each, LEAST_VARIANCE)) for each in np.quantile(distances, [0.5, 1 - FLAGGED]))
    apart = math.log(limit / middle)
    steepness = min(STEEPEST, math.log(USUAL / (1 - USUAL)) / apart) if apart > 0 else STEEPEST
    return dataclasses.replace(raw, limit=limit, steepness=steepness)


def _require_enough(training: Values, calibration: Values) -> None:
    if len(training) < LEAST_TRAINING or len(calibration) < LEAST_CALIBRATION:
        raise DataError(
            f"There are {len(training)} training and {len(calibration)} validation images for the score `suitable`; "
            f"expected at least {LEAST_TRAINING} and {LEAST_CALIBRATION}. With fewer there is no such score."
        )
    if not (np.isfinite(training).all() and np.isfinite(calibration).all()) or not training.std(axis=0).any():
        raise DataError(
            "The encoder gives equal or non-finite features for all images, so there is no score `suitable`. Train the "
            "network longer, or with a lower learning rate."
        )
