"""What is measured on a mask, and kept in the ledger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a mask.

    ``height``, ``width``: pixels. ``lesion_area``: pixels. ``bbox``: ``(x0, y0, x1, y1)`` of the lesion, half-open (x1
    and y1 are the first column and row after it), None for an empty mask. ``confidence``: mean over the probability
    map of max(p, 1 - p), 0.5 to 1.
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
