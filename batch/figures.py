"""What is measured on a mask, and the outcome of an image: stored in the ledger and sent between processes."""

from __future__ import annotations

from typing import NamedTuple

SUITABLE_FROM = 0.5
"""Images with a lower score do not look like the model's training images; models calibrate their scores to this."""

CERTAIN_FROM = 0.8
"""Masks with a lower ``confidence`` should be checked by a person."""
CUT_FROM = 3
"""A lesion that touches three or four borders of the photograph is cut off: its area is not known."""


class Figures(NamedTuple):
    """The figures of a mask.

    ``height``, ``width``: pixels. ``lesion_area``: pixels. ``bbox``: ``(x0, y0, x1, y1)`` of the lesion, half-open (x1
    and y1 are the first column and row after it), None for an empty mask. In a label map, every class but the
    background counts as lesion. ``confidence``: 0 to 1, see :func:`export.runtime.masks.confidence`. ``suitable``: how
    much the image looks like the model's training images, 0 to 1; None if the model does not say.
    """

    height: int
    width: int
    lesion_area: int
    bbox: tuple[int, int, int, int] | None
    confidence: float
    suitable: float | None = None

    @property
    def is_unsuitable(self) -> bool:
        """Return whether the image looks unlike the model's training images; False if the model does not say."""
        return self.suitable is not None and self.suitable < SUITABLE_FROM

    @property
    def is_uncertain(self) -> bool:
        """Return whether the confidence is below :data:`CERTAIN_FROM`; False for an empty mask."""
        return not self.is_empty and self.confidence < CERTAIN_FROM

    @property
    def is_empty(self) -> bool:
        """Return whether no lesion was found."""
        return self.lesion_area == 0

    @property
    def is_cut(self) -> bool:
        """Return whether the lesion extends beyond the photograph, see :data:`CUT_FROM`."""
        if self.bbox is None:
            return False
        x0, y0, x1, y1 = self.bbox
        return (x0 == 0) + (y0 == 0) + (x1 == self.width) + (y1 == self.height) >= CUT_FROM

    @property
    def lesion_fraction(self) -> float:
        """Return lesion area divided by image area."""
        return self.lesion_area / (self.height * self.width)


class Finish(NamedTuple):
    """The outcome of an image: ``error`` or ``figures``, with the size and modification time of the file as read.

    ``row``: in the ledger. ``version``: see :class:`batch.sources.image_ref.ImageRef`. ``sha256``: of the mask's file.
    ``was_read``: whether the image's file could be read, so that an error applies to its present content. ``remark``:
    a note for the user about an image that is done. ``attempts``: how often a process or a run ended on it.
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
