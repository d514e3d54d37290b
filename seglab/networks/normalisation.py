"""Normalisation of pixels: mean, deviation, and the order of channels."""

from __future__ import annotations

from dataclasses import dataclass

Triple = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
NORMALISATION = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "inception": (HALF, HALF),
}
"""Mean and deviation by their name in recipes; ``unit`` scales pixels to 0-1, ``inception`` to -1 to 1."""

CHANNEL_ORDERS = ("rgb", "bgr")
BYTE = 255.0


@dataclass(frozen=True)
class Normalisation:
    """``mean``, ``std``: per channel in the order RGB, on the scale 0-1. ``channels``: the network's order, ``rgb`` or
    ``bgr``.
    """

    mean: Triple
    std: Triple
    channels: str = "rgb"


_RAW_STD = (1 / BYTE, 1 / BYTE, 1 / BYTE)
PRESETS = {
    "imagenet": Normalisation(IMAGENET_MEAN, IMAGENET_STD),
    "0-1": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0-255": Normalisation((0.0, 0.0, 0.0), _RAW_STD),
    "-1..1": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "caffe-bgr": Normalisation((123.68 / BYTE, 116.779 / BYTE, 103.939 / BYTE), _RAW_STD, "bgr"),
}
"""Common normalisations by the name that commands take: ImageNet's statistics (torchvision, smp, timm); pixels in 0-1,
in 0-255, in -1 to 1 (TensorFlow, Inception); Caffe's BGR, 0-255 minus ImageNet's mean (VGG and ResNet of Keras).
"""
