"""How a foreign network takes its images, and what its output means."""

from __future__ import annotations

from dataclasses import dataclass

from seglab.networks.normalisation import PRESETS, Triple

PIXEL_MEAN: Triple = PRESETS["0-255"].mean
PIXEL_STD: Triple = PRESETS["0-255"].std
"""For pixels 0-255 that are not normalised."""


@dataclass(frozen=True)
class Wrapping:
    """What a foreign file does not say about its network.

    ``mean``, ``std``: per RGB channel on the scale 0-1. ``channels``: ``rgb``, or ``bgr`` if it takes blue first.
    ``threshold``: the lowest probability that counts as lesion. ``class_names``: one for a single class, else one per
    class, the background first. ``lesion_class``: in a network of several classes, the one whose probability is used.
    ``hair``: how hairs are removed before it, ``none`` or ``dullrazor``.
    """

    mean: Triple = PIXEL_MEAN
    std: Triple = PIXEL_STD
    channels: str = "rgb"
    threshold: float = 0.5
    class_names: tuple[str, ...] = ("lesion",)
    lesion_class: int | None = None
    hair: str = "none"
