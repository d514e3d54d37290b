"""The baseline of all benchmarks, as a user would write it: eager PyTorch, a DataLoader, OpenCV for files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seglab.networks.build import restore_network
from seglab.networks.checkpoints import Checkpoint

BATCH = 16


class Files(Dataset[tuple[Tensor, str, int, int]]):
    """Images as float32 ``(3, S, S)``, normalised, with path, height and width."""

    def __init__(self, paths: Sequence[Path], checkpoint: Checkpoint) -> None:
        self.paths = paths
        self.size = checkpoint.size
        self.mean = np.array(checkpoint.mean, np.float32)
        self.std = np.array(checkpoint.std, np.float32)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, str, int, int]:
        image = cv2.imread(str(self.paths[index]))
        if image is None:
            raise ValueError(f"{self.paths[index]} cannot be read")
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # (H, W, 3)
        small = cv2.resize(rgb, (self.size, self.size), interpolation=cv2.INTER_AREA)  # (S, S, 3)
        x = (small.astype(np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(x.transpose(2, 0, 1).copy()), str(self.paths[index]), *image.shape[:2]


class OriginalLoop:
    """A checkpoint in eager PyTorch, fp32, over files."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.network = restore_network(checkpoint).to(device)

    @torch.inference_mode()
    def run(self, paths: Sequence[Path], out: Path) -> None:
        """Write a mask PNG per image into ``out``."""
        out.mkdir(parents=True)
        loader = DataLoader(Files(paths, self.checkpoint), batch_size=BATCH, num_workers=os.cpu_count() or 1)
        for x, names, heights, widths in loader:
            probs = torch.sigmoid(self.network(x.to(self.device)))[:, 0].cpu().numpy()  # (N, S, S)
            for prob, name, height, width in zip(probs, names, heights.tolist(), widths.tolist(), strict=True):
                cv2.imwrite(str(out / f"{Path(name).stem}.png"), self._mask(prob, height, width))

    def _mask(self, prob: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
        full = cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.where(full >= self.checkpoint.threshold, np.uint8(255), np.uint8(0))
