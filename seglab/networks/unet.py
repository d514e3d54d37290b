"""The U-Net written out in plain ``torch.nn`` (Ronneberger et al., arXiv 1505.04597), padded and batch-normalised."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with batch normalisation and ReLU; keeps height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UNet(nn.Module):
    """``(N, 3, H, W)`` to logits ``(N, classes, H, W)``; H and W divisible by ``2 ** (len(widths) - 1)``."""

    def __init__(self, classes: int = 1, widths: Sequence[int] = (64, 128, 256, 512, 1024)) -> None:
        super().__init__()
        self.stem = DoubleConv(3, widths[0])
        steps = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(DoubleConv(shallow, deep) for shallow, deep in steps)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, 2) for shallow, deep in steps[::-1])
        self.merge = nn.ModuleList(DoubleConv(2 * shallow, shallow) for shallow, _ in steps[::-1])
        self.head = nn.Conv2d(widths[0], classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits at the input's height and width."""
        features = [self.stem(image)]
        for down in self.down:
            features.append(down(self.pool(features[-1])))
        x = features.pop()
        for rise, merge in zip(self.rise, self.merge, strict=True):
            x = merge(torch.cat([features.pop(), rise(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits  # (N, classes, H, W)
