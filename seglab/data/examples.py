"""Examples for a network: pairs read through the one pixel reader, augmented from a seed, as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from seglab.data.augmentation import WHOLE, Augmentation, Box
from seglab.data.layouts import require_size
from seglab.data.pairs import Pair
from seglab.images.hair import remove
from seglab.images.pixels.resize import OVERSAMPLING, fit


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Pairs as ``image`` uint8 ``(3, S, S)`` RGB and ``target`` float32 ``(1, S, S)``, 0-1 (soft at the border).

    What example ``i`` looks like depends on ``(seed, epoch, i)`` alone, so a resumed run sees the same ones.
    ``hair``: how hairs are removed, unless a pair was stored without them.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        hair: str = "none",
    ) -> None:
        self.pairs = pairs
        self.size = size
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.hair = hair
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        pair = self.pairs[index]
        box = self.augmentation.box(rng)
        photo = pair.photo(at_least=round(OVERSAMPLING * self.size / min(box[2:])))
        truth = pair.mask()
        require_size(pair.source, truth.shape, photo.size)
        pixels = fit(cut(photo.pixels, box), self.size)  # (S, S, 3)
        if pair.hair != self.hair:
            pixels = remove(self.hair, pixels)
        target = cv2.resize(cut(truth, box), (self.size, self.size), interpolation=cv2.INTER_AREA)  # (S, S)
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # (3, S, S)
        return self.augmentation.apply(rng, image, torch.from_numpy(target.astype(np.float32) / 255)[None])


def cut(array: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Return the part of ``(H, W, ...)`` inside ``box``, at least one pixel."""
    if box == WHOLE:
        return array
    top, left = int(box[0] * array.shape[0]), int(box[1] * array.shape[1])
    height, width = max(1, round(box[2] * array.shape[0])), max(1, round(box[3] * array.shape[1]))
    return array[top : top + height, left : left + width]
