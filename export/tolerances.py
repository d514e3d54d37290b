"""How far a model may be from its original: one named set of limits per precision.

``fp32`` allows for fp32 arithmetic in another order. ``fp16`` rounds weights and activations to 11 significant bits,
``fp16-weights`` the weights alone. ``bf16`` (OpenVINO, on CPUs that compute in it) rounds the operands of every
convolution to 8 significant bits; a network that exceeds these limits in bf16 runs in fp32 instead. ``int8`` rounds
activations to 256 steps of each tensor's range: single probabilities change much, masks little.
"""

from __future__ import annotations

from dataclasses import dataclass

from export.errors import ParityError


@dataclass(frozen=True)
class Tolerance:
    """Limits of one precision.

    ``max_prob``, ``mean_prob``: largest and mean difference of probabilities at S x S, over all images. ``flipped``:
    share of all mask pixels that may differ. ``mean_dice``, ``worst_dice``: of masks against the original's masks.
    ``stray_pixels``: so many may flip, however few images there are (see :meth:`most_flipped`), and an image with no
    more of them counts as Dice 1, however small its mask.
    ``suitable``: largest difference of the score of that name, on pictures (its threshold is 0.5). ``edge_flipped``:
    share of an edge case's pixels that may differ (None: ``flipped``). ``truth_dice``: how far the mean Dice against
    the truth may move, either way; None: it may not fall, see :data:`MOST_LOST`.
    """

    name: str
    max_prob: float
    mean_prob: float
    flipped: float
    mean_dice: float
    worst_dice: float
    stray_pixels: int
    suitable: float
    truth_dice: float | None = None
    edge_flipped: float | None = None

    def most_flipped(self, pixels: int) -> float:
        """Return the largest share of ``pixels`` that may flip: one pixel of a few small masks is more than a share
        that is meant for many, and a network that is unsure leaves some within rounding of the threshold.
        """
        return max(self.flipped, self.stray_pixels / pixels)

    def counted_dice(self, dice: float, flipped: int, edge_pixels: int = 0) -> float:
        """Return the Dice by which an image with ``flipped`` differing pixels is judged.

        ``edge_pixels``: number of pixels of an edge case, else 0. On noise a network marks almost nothing, and the
        Dice of a few pixels says nothing; on a black image int8 moves the border of a meaningless mask. An edge case
        therefore counts as 1 if no larger share of its pixels flips than allowed.
        """
        share = self.flipped if self.edge_flipped is None else self.edge_flipped
        return 1.0 if flipped <= max(self.stray_pixels, share * edge_pixels) else dice


TOLERANCES = {
    entry.name: entry
    for entry in (
        Tolerance("fp32", 1e-3, 1e-5, 1e-5, 0.9999, 0.999, 2, 1e-2, 1e-4),
        Tolerance("fp16", 1e-1, 1e-3, 5e-4, 0.9995, 0.998, 8, 2e-2),
        Tolerance("fp16-weights", 2e-2, 5e-4, 2e-4, 0.9998, 0.999, 4, 1e-2),
        Tolerance("bf16", 2.5e-1, 5e-3, 1e-3, 0.9995, 0.998, 16, 1e-1),
        Tolerance("int8", 5e-1, 1e-2, 5e-3, 0.998, 0.985, 16, 2e-1, edge_flipped=2.5e-2),
    )
}

SIMULATED = Tolerance("int8 as it was simulated", 5e-1, 2e-3, 1e-3, 0.9985, 0.985, 16, 5e-2, edge_flipped=1e-2)
"""For int8 against an original that rounds as it does: sums in another order sometimes end on the next step."""


MOST_LOST = 2e-3
"""How much Dice against the truth may be lost in every precision below fp32: the 95 % interval of the mean paired
difference to the original may not reach further below zero. With few images the interval is wide, so they must agree.
"""

PRECISIONS = ("fp32", "fp16", "fp16-weights", "int8")
"""Precisions of model files; bf16 is how a device may compute."""


def tolerance_for(precision: str) -> Tolerance:
    """Return a precision's limits. Raises :class:`ParityError` if it has none."""
    if precision not in TOLERANCES:
        raise ParityError(
            f"There are no tolerances for precision {precision!r}; expected one of {', '.join(TOLERANCES)}. "
            "Export with one of these."
        )
    return TOLERANCES[precision]
