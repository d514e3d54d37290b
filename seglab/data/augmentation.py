"""Augmentation: random changes of an image and its truth together, drawn from a seed and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from seglab.recipes.recipe import Recipe

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
"""``(top, left, height, width)`` as shares of the frame."""
CROPPED_SHARE = 0.7
"""Share of training examples that are crops; the others are whole frames, as in use."""
SMALLEST_CROP = 0.45
"""Smallest crop, as a share of the frame's area."""
ASPECT = 4 / 3
"""Crops are stretched by up to this factor either way."""
BRIGHTNESS, SATURATION, HUE = 0.25, 0.25, 0.03
"""Half-widths of the colour changes of ``full`` (contrast as brightness); hue in turns of the colour circle."""
MARGIN = 0.25
"""Of the side, mirrored around the frame before it is turned or bent, so that no corner is empty at any angle."""
SMOOTHNESS = 1 / 16
"""Deviation of the Gaussian that smooths an elastic deformation, as a share of the side (Simard et al., ICDAR 2003)."""


@dataclass(frozen=True)
class Augmentation:
    """What may change. ``crop``: part of the frame, stretched. ``turn``: the eight symmetries of the square.

    ``rotate``: degrees either way. ``elastic``: strength of the deformation in pixels. ``brightness`` (contrast too),
    ``saturation``, ``hue``: half-widths; hue in turns of the colour circle. Everything at 0 is off.
    """

    crop: bool = False
    turn: bool = False
    rotate: float = 0.0
    elastic: float = 0.0
    brightness: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def box(self, rng: np.random.Generator) -> Box:
        """Draw the part of the frame to read; often all of it."""
        if not self.crop or rng.random() >= CROPPED_SHARE:
            return WHOLE
        scale = np.sqrt(rng.uniform(SMALLEST_CROP, 1.0))
        stretch = np.sqrt(ASPECT ** rng.uniform(-1, 1))
        height, width = min(1.0, scale * stretch), min(1.0, scale / stretch)
        return rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width

    def apply(self, rng: np.random.Generator, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Change ``image`` uint8 ``(3, S, S)`` RGB and ``target`` float32 ``(1, S, S)``, 0-1; colour only the image."""
        if self.turn:
            turn = int(rng.integers(8))
            image, target = turned(image, turn), turned(target, turn)
        if self.rotate or self.elastic:
            image, target = self._bend(rng, image, target)
        return self._recolour(rng, image), target

    def _bend(self, rng: np.random.Generator, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate and deform both alike, each point by bilinear interpolation: a target stays soft at its border."""
        size = image.shape[-1]
        margin = min(size - 1, round(MARGIN * size + self.elastic))
        both = torch.cat([image.float(), target * 255])  # (4, S, S)
        both = functional.pad(both[None], [margin] * 4, mode="reflect")  # (1, 4, S + 2M, S + 2M)
        if self.rotate:
            angle = rng.uniform(-self.rotate, self.rotate)
            both = transforms.rotate(both, angle, interpolation=InterpolationMode.BILINEAR)
        if self.elastic:
            both = transforms.elastic(both, self._displacement(rng, both.shape[-1]))
        both = transforms.center_crop(both, [size, size])[0]  # (4, S, S)
        return both[:3].round().clamp(0, 255).to(torch.uint8), (both[3:] / 255).clamp(0, 1)

    def _displacement(self, rng: np.random.Generator, side: int) -> Tensor:
        """Draw a smooth field ``(1, side, side, 2)`` in ``grid_sample``'s units, ``elastic`` pixels at most."""
        noise = torch.from_numpy(rng.uniform(-1, 1, (1, 2, side, side)).astype(np.float32))
        sigma = SMOOTHNESS * side
        kernel = min(2 * round(2 * sigma) + 1, side - 1 + side % 2)
        smooth = transforms.gaussian_blur(noise, [kernel, kernel], [sigma, sigma])
        strength = self.elastic * 2 / side / smooth.abs().amax().clamp_min(1e-6)
        field: Tensor = (smooth * strength).permute(0, 2, 3, 1)
        return field

    def _recolour(self, rng: np.random.Generator, image: Tensor) -> Tensor:
        if self.brightness:
            image = transforms.adjust_brightness(image, 1 + rng.uniform(-self.brightness, self.brightness))
            image = transforms.adjust_contrast(image, 1 + rng.uniform(-self.brightness, self.brightness))
        if self.saturation:
            image = transforms.adjust_saturation(image, 1 + rng.uniform(-self.saturation, self.saturation))
        if self.hue:
            image = transforms.adjust_hue(image, rng.uniform(-self.hue, self.hue))
        return image


def augmentation_of(recipe: Recipe) -> Augmentation:
    """Return the augmentation that a recipe names."""
    full = recipe.augment == "full"
    return Augmentation(
        crop=full,
        turn=recipe.augment != "none",
        rotate=recipe.rotate,
        elastic=recipe.elastic,
        brightness=recipe.jitter or (BRIGHTNESS if full else 0.0),
        saturation=SATURATION if full else 0.0,
        hue=HUE if full else 0.0,
    )


def turned(array: Tensor, turn: int) -> Tensor:
    """Apply one of the eight symmetries of the square (0-7) to ``(..., S, S)``."""
    array = torch.rot90(array, turn % 4, (-2, -1))
    return (array.flip(-1) if turn >= 4 else array).contiguous()
