"""The constants that pixels are normalised with, per RGB channel on the scale 0-1."""

from __future__ import annotations

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORMALISATION = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))}
"""Mean and deviation by the name that recipes use; ``unit`` is pixels scaled to 0-1."""
