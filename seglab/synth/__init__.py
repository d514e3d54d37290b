"""Synthetic dermoscopy images and their masks from a seed; needs only numpy and OpenCV."""

from __future__ import annotations

from seglab.synth.scene import MIN_SIDE, SynthImage, synthesise
from seglab.synth.sets import write_set

__all__ = ["MIN_SIDE", "SynthImage", "synthesise", "write_set"]
