"""Networks as other people train them, and their expected masks by torch, which are neither empty nor full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seglab.networks.normalisation import PRESETS
from tests.support.artefact import blobs

SIZE = 64
Activation = Callable[[Tensor], Tensor]


class TwoHeads(nn.Module):
    """Gives a dictionary as torchvision's networks do: the head's logits under ``out``, another's under ``aux``."""

    def __init__(self, classes: int = 1, after: str = "none") -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.head, self.other, self.after = nn.Conv2d(8, classes, 1), nn.Conv2d(8, classes, 1), after

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return both at the image's size."""
        features = self.body(x)
        out: dict[str, Tensor] = {}
        for name, given in (("aux", self.other(features)), ("out", self.head(features))):
            out[name] = functional.interpolate(given, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return out


class Sure(nn.Module):
    """A network that turns another one's logits into probabilities."""

    def __init__(self, logits: nn.Module) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        """Return the sigmoid of one class, the softmax of several."""
        given = self.logits(x)
        return torch.sigmoid(given) if given.shape[1] == 1 else torch.softmax(given, dim=1)


def lively(network: nn.Module, head: nn.Conv2d, preset: str = "imagenet") -> nn.Module:
    """Return the network in evaluation mode with a head under which half of all pixels are lesion."""
    images = [torch.from_numpy(blobs(np.random.default_rng(seed), SIZE, SIZE)[0].copy()) for seed in range(4)]
    with torch.no_grad():
        given = network.eval()(_fed(torch.stack(images).permute(0, 3, 1, 2).float(), preset))
        given = given["out"] if isinstance(given, dict) else given
        scale = 5 / given.std()
        middle = given.median() if given.shape[1] == 1 else given.mean(dim=(0, 2, 3))
        head.weight *= scale
        assert head.bias is not None
        head.bias.copy_((head.bias - middle) * scale)
    return network


def pictures(folder: Path, count: int = 3) -> Path:
    """Write blobs as photographs of several sizes, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = blobs(np.random.default_rng(index), 90 + index, 120)[0]
        assert cv2.imwrite(str(folder / f"p{index}.png"), image[..., ::-1])
    return folder


@torch.inference_mode()
def expected_mask(
    network: Callable[[Tensor], Tensor], image: NDArray[np.uint8], activation: Activation, preset: str = "imagenet"
) -> NDArray[np.uint8]:
    """Return the mask ``(H, W)`` of an image ``(H, W, 3)`` as a notebook makes it: resize, normalise, run, enlarge."""
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    small = functional.interpolate(pixels, (SIZE, SIZE), mode="bilinear", antialias=True)
    prob = activation(network(_fed(small, preset)))
    full = functional.interpolate(prob, image.shape[:2], mode="bilinear")
    return np.where(full[0, 0].numpy() >= 0.5, 255, 0).astype(np.uint8)


def _fed(pixels: Tensor, preset: str) -> Tensor:
    given = PRESETS[preset]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (given.mean, given.std))
    return (pixels / 255 - mean) / std
