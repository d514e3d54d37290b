"""What is measured on a mask, and what became of an image: the ledger keeps both, and processes send them."""

from __future__ import annotations

from typing import NamedTuple


class Figures(NamedTuple):
    """What is known of a mask.

    ``height``, ``width``: pixels. ``lesion_area``: pixels. ``bbox``: ``(x0, y0, x1, y1)`` of the lesion, half-open (x1
    and y1 are the first column and row after it), None for an empty mask. ``confidence``: mean over the probability
    map of max(p, 1 - p), 0.5 to 1. Of a label map, lesion is all that is not background, and the confidence is the
    mean of the largest probability.
    """

    height: int
    width: int
    lesion_area: int
    bbox: tuple[int, int, int, int] | None
    confidence: float

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
