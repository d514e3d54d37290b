"""Losses on logits ``(N, C, H, W)`` and targets of the same shape with values 0 to 1.

Recipes name them, and recipes are read without torch: it is imported where a loss is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

SMOOTHING = 1.0
"""Added to both sides of the Dice ratio, in pixels: an empty truth has a gradient too."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels."""
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(logits, target)


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss, 1 - Dice, per image and class, then averaged (Milletari et al., arXiv 1606.04797)."""
    prob = logits.sigmoid()
    overlap = (prob * target).sum(dim=(2, 3))  # (N, C)
    total = prob.sum(dim=(2, 3)) + target.sum(dim=(2, 3))  # (N, C)
    return 1 - ((2 * overlap + SMOOTHING) / (total + SMOOTHING)).mean()


def bce_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Sum of :func:`bce` and :func:`dice`."""
    return bce(logits, target) + dice(logits, target)


LOSSES: dict[str, Loss] = {"bce": bce, "dice": dice, "bce+dice": bce_dice}
"""Every loss, by its name in a recipe."""
