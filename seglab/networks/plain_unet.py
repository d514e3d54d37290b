"""The U-Net of milesial/Pytorch-UNet, which many notebooks copy, with the same names of weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainUNet(nn.Module):
    """``(N, 3, H, W)`` to logits ``(N, classes, H, W)``, for any H and W of at least ``2 ** (len(widths) - 1)``.

    ``widths``: channels per level. ``bilinear``: upsampling by interpolation instead of transposed convolutions; the
    deepest levels then have half the channels. ``bias``: whether convolutions have a bias (in older copies).
    """

    def __init__(
        self,
        classes: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        bilinear: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.levels = len(widths) - 1
        shrink = 2 if bilinear else 1
        outputs = [*widths[:-1], widths[-1] // shrink]
        self.inc = _DoubleConv(3, widths[0], bias)
        for level, (shallow, deep) in enumerate(itertools.pairwise(outputs), start=1):
            self.add_module(f"down{level}", _Down(shallow, deep, bias))
        for level in range(1, self.levels + 1):
            deep, shallow = widths[-level], widths[-level - 1]
            given = shallow if level == self.levels else shallow // shrink
            self.add_module(f"up{level}", _Up(deep, given, bilinear, bias))
        self.outc = _OutConv(widths[0], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits at the input's height and width."""
        features = [self.inc(image)]
        for level in range(1, self.levels + 1):
            features.append(self.get_submodule(f"down{level}")(features[-1]))
        x = features.pop()
        for level in range(1, self.levels + 1):
            x = self.get_submodule(f"up{level}")(x, features.pop())
        logits: Tensor = self.outc(x)
        return logits  # (N, classes, H, W)


class _DoubleConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: bool, middle: int | None = None) -> None:
        super().__init__()
        middle = middle or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, middle, 3, padding=1, bias=bias),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, outputs, 3, padding=1, bias=bias),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.double_conv(x)
        return y


class _Down(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), _DoubleConv(inputs, outputs, bias))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.maxpool_conv(x)
        return y


class _Up(nn.Module):
    up: nn.Module

    def __init__(self, inputs: int, outputs: int, bilinear: bool, bias: bool) -> None:
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = _DoubleConv(inputs, outputs, bias, inputs // 2)
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)
            self.conv = _DoubleConv(inputs, outputs, bias)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        deep = self.up(deep)
        rows, columns = shallow.shape[2] - deep.shape[2], shallow.shape[3] - deep.shape[3]
        deep = functional.pad(deep, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        y: Tensor = self.conv(torch.cat([shallow, deep], dim=1))
        return y


class _OutConv(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y
