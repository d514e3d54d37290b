"""An image with its scores, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seglab.metrics.overlap import Confusion


@dataclass(frozen=True)
class ScoredImage:
    """An image with its scores. ``name``: as in reports; ``mask``: below the output; ``photograph``: its path, if it is
    known; ``truth``: its truth's file.
    """

    name: str
    mask: str
    photograph: str | None
    truth: Path
    counts: Confusion

    @property
    def share(self) -> float:
        """Return the share of the image that is lesion by the truth."""
        return (self.counts.tp + self.counts.fn) / self.pixels

    @property
    def pixels(self) -> int:
        """Return the number of the image's pixels."""
        return self.counts.tp + self.counts.fp + self.counts.fn + self.counts.tn
