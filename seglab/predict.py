"""The PyTorch original: what a mask ought to be. Parity compares everything else with this."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seglab.checkpoints import Checkpoint
from seglab.networks import restore_network


class Predictor:
    """A checkpoint ready to predict, in fp32 on ``device`` (a torch device name)."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self.checkpoint = checkpoint
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
        return torch.sigmoid(self.network((x / 255 - self._mean) / self._std))  # (1, 1, S, S)
