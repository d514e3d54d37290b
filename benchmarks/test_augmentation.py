"""Elastic deformation: the separable blur beside the dense one of torchvision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from torchvision.transforms.v2 import functional as transforms

from seglab.data.augmentation import SMOOTHNESS, Augmentation, smoothed

SIZES = [64, 384]
CLOSE = 2e-7

Plane = NDArray[np.float32]


def densely(noise: Plane) -> Plane:
    """Blur by one two-dimensional kernel."""
    side = noise.shape[0]
    sigma = SMOOTHNESS * side
    kernel = min(2 * round(2 * sigma) + 1, side - 1 + side % 2)
    blurred = transforms.gaussian_blur(torch.from_numpy(noise)[None, None], [kernel, kernel], [sigma, sigma])
    return np.asarray(blurred[0, 0].numpy(), np.float32)


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("blur", [smoothed, densely])
def test_blur(benchmark: BenchmarkFixture, blur: Callable[[Plane], Plane], side: int) -> None:
    noise = np.random.default_rng(side).uniform(-1, 1, (side, side)).astype(np.float32)
    benchmark.group = f"blur {side}"
    blurred = benchmark(blur, noise)
    assert np.abs(blurred - densely(noise)).max() <= CLOSE


@pytest.mark.parametrize("elastic", [0, 8])
def test_rotation_and_deformation(benchmark: BenchmarkFixture, elastic: int) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 256, 256), np.uint8))
    target = torch.ones(1, 256, 256)
    benchmark.group = "rotation without, with deformation"
    augmentation = Augmentation(rotate=30, elastic=elastic)
    changed, whole = benchmark(lambda: augmentation.apply(np.random.default_rng(1), image, target))
    assert changed.shape == image.shape
    assert float(whole.min()) == pytest.approx(1)
