"""Training examples: crops read through the one pixel reader, augmented from a seed, as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as colour

from seglab.layouts import require_size
from seglab.pairs import Pair
from seglab.pixels import OVERSAMPLING, fit

Box = tuple[float, float, float, float]
CROPPED_SHARE = 0.7
"""Share of training examples that are crops; the others are whole frames, as in use."""
SMALLEST_CROP = 0.45
"""Smallest crop, as a share of the frame's area."""
ASPECT = 4 / 3
"""Crops are stretched by up to this factor either way."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.25, 0.25, 0.25, 0.03
"""Half-widths of the colour changes; hue in turns of the colour circle."""


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Pairs as ``image`` uint8 ``(3, S, S)`` RGB and ``target`` float32 ``(1, S, S)``, 0-1 (soft at the border).

    What example ``i`` looks like depends on ``(seed, epoch, i)`` alone, so a resumed run sees the same ones.
    """

    def __init__(self, pairs: Sequence[Pair], size: int, augment: str = "none", seed: int = 0) -> None:
        self.pairs = pairs
        self.size = size
        self.augment = augment
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        pair = self.pairs[index]
        box = random_box(rng) if self.augment == "full" else WHOLE
        photo = pair.photo(at_least=round(OVERSAMPLING * self.size / min(box[2:])))
        truth = pair.mask()
        require_size(pair.source, truth.shape, photo.size)
        pixels = fit(cut(photo.pixels, box), self.size)  # (S, S, 3)
        target = cv2.resize(cut(truth, box), (self.size, self.size), interpolation=cv2.INTER_AREA)  # (S, S)
        if self.augment != "none":
            turn = int(rng.integers(8))
            pixels, target = turned(pixels, turn), turned(np.asarray(target, np.uint8), turn)
        tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # (3, S, S)
        if self.augment == "full":
            tensor = _recolour(rng, tensor)
        return tensor, torch.from_numpy(target.astype(np.float32) / 255)[None]


def random_box(rng: np.random.Generator) -> Box:
    """Draw ``(top, left, height, width)`` of a crop, as shares of the frame; often the whole frame."""
    if rng.random() >= CROPPED_SHARE:
        return WHOLE
    scale = np.sqrt(rng.uniform(SMALLEST_CROP, 1.0))
    stretch = np.sqrt(ASPECT ** rng.uniform(-1, 1))
    height, width = min(1.0, scale * stretch), min(1.0, scale / stretch)
    return rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width


def cut(array: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return the part of ``(H, W, ...)`` inside ``box``, at least one pixel."""
    top, left = int(box[0] * array.shape[0]), int(box[1] * array.shape[1])
    height, width = max(1, round(box[2] * array.shape[0])), max(1, round(box[3] * array.shape[1]))
    return array[top : top + height, left : left + width]


def turned(array: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Apply one of the eight symmetries of the square (0-7) to ``(S, S, ...)``."""
    array = np.rot90(array, turn % 4)
    return np.ascontiguousarray(array[:, ::-1] if turn >= 4 else array)


def _recolour(rng: np.random.Generator, image: Tensor) -> Tensor:
    image = colour.adjust_brightness(image, 1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    image = colour.adjust_contrast(image, 1 + rng.uniform(-CONTRAST, CONTRAST))
    image = colour.adjust_saturation(image, 1 + rng.uniform(-SATURATION, SATURATION))
    recoloured: Tensor = colour.adjust_hue(image, rng.uniform(-HUE, HUE))
    return recoloured  # (3, S, S)
