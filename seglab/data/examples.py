"""Training examples: pairs read through the package's image reader, augmented from a seed, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from seglab.data.augmentation import WHOLE, Augmentation, Box
from seglab.data.pairs import Pair, require_size
from seglab.data.soft_masks import SoftMasks
from seglab.images.hair import remove
from seglab.images.pixels.mask_resize import fit_mask
from seglab.images.pixels.resize import OVERSAMPLING, fit

Number = TypeVar("Number", bound=np.generic)


class Examples(Dataset[tuple[Tensor, Tensor]]):
    """Pairs as ``image`` uint8 ``(3, S, S)`` RGB and ``target`` float32 ``(1, S, S)``, 0-1 (soft at the border).

    Example ``i`` depends on ``(seed, epoch, i)`` only, so a resumed run sees the same examples. The index is
    ``(epoch, i)``, or ``i`` for epoch 0.
    ``hair``: how hairs are removed, unless a pair was stored without them. ``soft``: soft masks to mix with the truth.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        hair: str = "none",
        soft: SoftMasks | None = None,
    ) -> None:
        self.pairs = pairs
        self.size = size
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.hair = hair
        self.soft = soft

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = (0, place) if isinstance(place, int) else place
        rng = np.random.default_rng([self.seed, epoch, index])
        pair = self.pairs[index]
        box = self.augmentation.box(rng)
        photo = pair.photo(at_least=round(OVERSAMPLING * self.size / min(box[2:])))
        truth = pair.mask()
        require_size(pair.source, truth.shape, photo.size)
        pixels = fit(cut(photo.pixels, box), self.size)  # (S, S, 3)
        if pair.hair != self.hair:
            pixels = remove(self.hair, pixels)
        target = fit_mask(cut(truth, box), self.size).astype(np.float32) / 255  # (S, S)
        if self.soft:
            prob = cut(self.soft.read(pair.source, photo.size), box)
            soft = cv2.resize(prob, (self.size, self.size), interpolation=cv2.INTER_AREA)  # (S, S)
            target = (1 - self.soft.weight) * target + self.soft.weight * soft
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # (3, S, S)
        return self.augmentation.apply(rng, image, torch.from_numpy(target.astype(np.float32))[None])


def cut(array: NDArray[Number], box: Box) -> NDArray[Number]:
    """Return the part of ``(H, W, ...)`` inside ``box``, at least one pixel."""
    if box == WHOLE:
        return array
    top, left = int(box[0] * array.shape[0]), int(box[1] * array.shape[1])
    height, width = max(1, round(box[2] * array.shape[0])), max(1, round(box[3] * array.shape[1]))
    return array[top : top + height, left : left + width]
