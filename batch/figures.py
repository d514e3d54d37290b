"""What is measured on a mask, and what became of an image: the ledger keeps both, and processes send them."""

from __future__ import annotations

from typing import NamedTuple

SUITABLE_FROM = 0.5
"""Images with a lower score do not look like those that their model learned from: models set their scores so."""

CERTAIN_FROM = 0.8
"""Masks with a lower ``confidence`` are worth a look."""
CUT_FROM = 3
"""A lesion that reaches three or four borders of the photograph is cut off: its area is not known."""


class Figures(NamedTuple):
    """What is known of a mask.

    ``height``, ``width``: pixels. ``lesion_area``: pixels. ``bbox``: ``(x0, y0, x1, y1)`` of the lesion, half-open (x1
    and y1 are the first column and row after it), None for an empty mask. Of a label map, lesion is all that is not
    background. ``confidence``: 0 to 1, see :func:`export.runtime.masks.confidence`. ``suitable``: whether the image
    looks like those that the model learned from, 0 to 1; None where the model does not say.
    """

    height: int
    width: int
    lesion_area: int
    bbox: tuple[int, int, int, int] | None
    confidence: float
    suitable: float | None = None

    @property
    def is_unsuitable(self) -> bool:
        """Does the image look like none of those that the model learned from?"""
        return self.suitable is not None and self.suitable < SUITABLE_FROM

    @property
    def is_uncertain(self) -> bool:
        """Does the network doubt the outline that it found?"""
        return not self.is_empty and self.confidence < CERTAIN_FROM

    @property
    def is_empty(self) -> bool:
        """Was no lesion found?"""
        return self.lesion_area == 0

    @property
    def is_cut(self) -> bool:
        """Does the lesion go beyond the photograph?"""
        if self.bbox is None:
            return False
        x0, y0, x1, y1 = self.bbox
        return (x0 == 0) + (y0 == 0) + (x1 == self.width) + (y1 == self.height) >= CUT_FROM

    @property
    def lesion_fraction(self) -> float:
        """Lesion area over image area."""
        return self.lesion_area / (self.height * self.width)


class Finish(NamedTuple):
    """What became of an image: ``error`` or ``figures``; size and time of change of the file as it was read.

    ``row``: of the ledger. ``version``: see :class:`batch.sources.image_ref.ImageRef`. ``sha256``: of the mask's file.
    ``was_read``: could the image's file be read, so that an error speaks of what it holds now? ``remark``: what a user
    should know of an image that is done. ``attempts``: how often a process or a run ended on it.
    """

    row: int
    bytes: int = -1
    mtime_ns: int = 0
    seconds: float = 0.0
    figures: Figures | None = None
    error: str | None = None
    version: str = ""
    sha256: str = ""
    was_read: bool = True
    remark: str = ""
    attempts: int = 0
