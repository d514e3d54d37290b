"""The PyTorch original: what a mask ought to be. Parity compares everything else with this."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seglab.checkpoints import Checkpoint
from seglab.hair import remove
from seglab.networks import restore_network

MIRRORS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
"""Axes of ``(N, C, H, W)`` to flip for test-time flips: none, left to right, top to bottom, both."""


class Predictor:
    """A checkpoint ready to predict, in fp32 on ``device`` (a torch device name).

    ``tta``: ``flips`` for the mean probability over the image and its mirror images, ``none``, or None for what the
    checkpoint says. Hairs are removed where the checkpoint was trained without them.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", tta: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.tta = checkpoint.tta if tta is None else tta
        self.device = torch.device(device)
        self.network = restore_network(checkpoint).to(self.device)
        self._mean = torch.tensor(checkpoint.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(checkpoint.std, device=self.device).view(1, 3, 1, 1)

    def prob(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities ``(S, S)`` in 0-1 of an RGB image, uint8 ``(H, W, 3)``."""
        return np.asarray(self._prob(image)[0, 0].cpu().numpy(), np.float32)

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mask ``(H, W)``, 0 or 255, of an RGB image, uint8 ``(H, W, 3)``."""
        return self.prob_and_mask(image)[1]

    def prob_and_mask(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Both of the above from one pass."""
        prob = self._prob(image)
        height, width = image.shape[:2]
        full = functional.interpolate(prob, (height, width), mode="bilinear", align_corners=False)
        lesion = (full[0, 0] >= self.checkpoint.threshold).cpu().numpy()  # (H, W)
        mask = np.where(lesion, np.uint8(255), np.uint8(0))
        return np.asarray(prob[0, 0].cpu().numpy(), np.float32), mask

    @torch.inference_mode()
    def _prob(self, image: NDArray[np.uint8]) -> Tensor:
        size = self.checkpoint.size
        pixels = torch.from_numpy(np.array(image)).to(self.device)
        x = pixels.permute(2, 0, 1).unsqueeze(0).float()  # (1, 3, H, W)
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
        if self.checkpoint.hair != "none":
            x = self._without_hair(x)
        x = (x / 255 - self._mean) / self._std
        if self.tta == "none":
            return torch.sigmoid(self.network(x))  # (1, 1, S, S)
        views = [torch.sigmoid(self.network(x.flip(axes))).flip(axes) for axes in MIRRORS]
        return torch.stack(views).mean(dim=0)  # (1, 1, S, S)

    def _without_hair(self, x: Tensor) -> Tensor:
        pixels = x[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # (S, S, 3)
        cleaned = remove(self.checkpoint.hair, pixels)
        return torch.from_numpy(cleaned).to(self.device).permute(2, 0, 1).unsqueeze(0).float()  # (1, 3, S, S)
