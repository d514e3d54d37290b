"""Augmentation: random changes of an image together with its truth, drawn only from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from seglab.recipes.recipe import Recipe

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
"""Crop as ``(top, left, height, width)``, shares of the frame."""
CROPPED_SHARE = 0.7
"""Share of training examples that are crops; the others are whole frames."""
SMALLEST_CROP = 0.45
"""Area of the smallest crop, as a share of the frame's."""
ASPECT = 4 / 3
"""Largest factor by which crops are stretched along one side."""
BRIGHTNESS, SATURATION, HUE = 0.25, 0.25, 0.03
"""Half-widths of the colour changes of ``full`` (contrast like brightness); hue in turns of the colour circle."""
MARGIN = 0.25
"""Mirrored margin around the frame as a share of its side, so that rotation leaves no corner empty."""
SMOOTHNESS = 1 / 16
"""Deviation of the Gaussian that smooths an elastic deformation, as a share of the side (Simard et al., ICDAR 2003)."""

LEAST_BLUR = 0.05
"""Smallest deviation of a blur in pixels; a smaller one changes nothing, and OpenCV takes 0 as a default."""


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation; everything at 0 is off.

    ``crop``: read a stretched part of the frame. ``turn``: apply one of the eight symmetries of the square.
    ``rotate``: largest angle in degrees. ``elastic``: strength of the deformation in pixels. ``zoom_out``: the side
    shrinks to ``1 / (1 + zoom_out)`` at least. ``brightness`` (contrast too), ``saturation``, ``hue``: half-widths; hue
    in turns of the colour circle. ``gamma``: half-width of the exponent's logarithm. ``blur``: largest deviation in
    pixels. ``jpeg``: lowest quality. ``noise``: largest deviation in grey values.
    """

    crop: bool = False
    turn: bool = False
    rotate: float = 0.0
    elastic: float = 0.0
    brightness: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    zoom_out: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    jpeg: int = 0
    noise: float = 0.0

    def box(self, rng: np.random.Generator) -> Box:
        """Draw the part of the frame to read; often the whole frame."""
        if not self.crop or rng.random() >= CROPPED_SHARE:
            return WHOLE
        scale = np.sqrt(rng.uniform(SMALLEST_CROP, 1.0))
        stretch = np.sqrt(ASPECT ** rng.uniform(-1, 1))
        height, width = min(1.0, scale * stretch), min(1.0, scale / stretch)
        return rng.uniform(0, 1 - height), rng.uniform(0, 1 - width), height, width

    def apply(self, rng: np.random.Generator, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``image`` uint8 ``(3, S, S)`` RGB and ``target`` float32 ``(1, S, S)``, 0-1, changed alike.

        Colour changes apply to the image alone.
        """
        if self.turn:
            turn = int(rng.integers(8))
            image, target = turned(image, turn), turned(target, turn)
        if self.rotate or self.elastic:
            image, target = self._bend(rng, image, target)
        if self.zoom_out:
            image, target = self._shrink(rng, image, target)
        return self._degrade(rng, self._recolour(rng, image)), target

    def _bend(self, rng: np.random.Generator, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate and deform both alike with bilinear interpolation; the target stays soft at its border."""
        size = image.shape[-1]
        margin = min(size - 1, round(MARGIN * size + self.elastic))
        both = _stacked(image, target, margin)  # (1, 4, S + 2M, S + 2M)
        if self.rotate:
            angle = rng.uniform(-self.rotate, self.rotate)
            both = transforms.rotate(both, angle, interpolation=InterpolationMode.BILINEAR)
        if self.elastic:
            both = transforms.elastic(both, self._displacement(rng, both.shape[-1]))
        return _unstacked(transforms.center_crop(both, [size, size])[0])

    def _shrink(self, rng: np.random.Generator, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Shrink both by the same drawn factor; the area around them is filled by mirroring."""
        size = image.shape[-1]
        margin = min(size - 1, round(rng.uniform(0, self.zoom_out) * size / 2))
        wide = _stacked(image, target, margin)  # (1, 4, S + 2M, S + 2M)
        return _unstacked(
            functional.interpolate(wide, (size, size), mode="bilinear", antialias=True, align_corners=False)[0]
        )

    def _displacement(self, rng: np.random.Generator, side: int) -> Tensor:
        """Draw a smooth field ``(1, side, side, 2)`` in the units of ``grid_sample``, at most ``elastic`` pixels."""
        noise = rng.uniform(-1, 1, (1, 2, side, side)).astype(np.float32)
        smooth = torch.from_numpy(np.stack([smoothed(plane) for plane in noise[0]]))  # (2, side, side)
        strength = self.elastic * 2 / side / smooth.abs().amax().clamp_min(1e-6)
        field: Tensor = (smooth * strength).permute(1, 2, 0)[None]
        return field

    def _recolour(self, rng: np.random.Generator, image: Tensor) -> Tensor:
        if self.brightness:
            image = transforms.adjust_brightness(image, 1 + rng.uniform(-self.brightness, self.brightness))
            image = transforms.adjust_contrast(image, 1 + rng.uniform(-self.brightness, self.brightness))
        if self.saturation:
            image = transforms.adjust_saturation(image, 1 + rng.uniform(-self.saturation, self.saturation))
        if self.hue:
            image = transforms.adjust_hue(image, rng.uniform(-self.hue, self.hue))
        if self.gamma:
            image = transforms.adjust_gamma(image, float(np.exp(rng.uniform(-self.gamma, self.gamma))))
        return image

    def _degrade(self, rng: np.random.Generator, image: Tensor) -> Tensor:
        """Apply the effects of optics, sensor and file to an image, in that order: blur, noise, JPEG."""
        if not (self.blur or self.noise or self.jpeg):
            return image
        pixels = np.ascontiguousarray(image.numpy().transpose(1, 2, 0))  # (S, S, 3)
        if self.blur:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), max(LEAST_BLUR, rng.uniform(0, self.blur))), np.uint8)
        if self.noise:
            grain = rng.normal(0, rng.uniform(0, self.noise), pixels.shape)
            pixels = (pixels + grain).round().clip(0, 255).astype(np.uint8)
        if self.jpeg:
            quality = int(rng.integers(self.jpeg, 101))
            coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))  # (3, S, S)


def _stacked(image: Tensor, target: Tensor, margin: int) -> Tensor:
    """Return image and target as one float tensor ``(1, 4, S + 2M, S + 2M)``, 0-255, mirrored by ``margin`` M."""
    return functional.pad(torch.cat([image.float(), target * 255])[None], [margin] * 4, mode="reflect")


def _unstacked(both: Tensor) -> tuple[Tensor, Tensor]:
    """Split ``(4, S, S)`` into image and target as :meth:`Augmentation.apply` takes them."""
    return both[:3].round().clamp(0, 255).to(torch.uint8), (both[3:] / 255).clamp(0, 1)


def smoothed(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(side, side)`` blurred by a Gaussian of :data:`SMOOTHNESS`, cut at two deviations, borders mirrored."""
    side = noise.shape[0]
    sigma = SMOOTHNESS * side
    reach = (min(2 * round(2 * sigma) + 1, side - 1 + side % 2) - 1) // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (weights / weights.sum()).astype(np.float32)  # separable: a dense kernel is slow
    blurred = cv2.sepFilter2D(noise, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32)


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
        zoom_out=recipe.zoom_out,
        gamma=recipe.gamma,
        blur=recipe.blur,
        jpeg=recipe.jpeg,
        noise=recipe.noise,
    )


def turned(array: Tensor, turn: int) -> Tensor:
    """Return ``(..., S, S)`` under one of the eight symmetries of the square (0-7)."""
    array = torch.rot90(array, turn % 4, (-2, -1))
    return (array.flip(-1) if turn >= 4 else array).contiguous()
