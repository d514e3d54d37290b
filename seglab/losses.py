"""Losses on logits ``(N, C, H, W)`` and targets of the same shape with values 0 to 1.

Recipes name them and are read without torch, so torch is imported where a loss is computed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seglab.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    Loss = Callable[[Tensor, Tensor], Tensor]

SMOOTHING = 1.0
"""Pixels added to numerator and denominator of the Dice ratio, so that an empty truth has a gradient too."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels."""
    from torch.nn import functional

    return functional.binary_cross_entropy_with_logits(logits, target)


def dice(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss, 1 - Dice, per image and class, then averaged (Milletari et al., arXiv 1606.04797).

    It uses the form of Wang et al. (arXiv 2303.16296): the overlap of p and t is (|p| + |t| - |p - t|) / 2. For targets
    of 0 and 1 this equals the sum of p t. For soft targets the loss is lowest at p = t.
    """
    prob = logits.sigmoid()
    total = prob.sum(dim=(2, 3)) + target.sum(dim=(2, 3))  # (N, C)
    apart = (prob - target).abs().sum(dim=(2, 3))  # (N, C)
    return 1 - ((total - apart + SMOOTHING) / (total + SMOOTHING)).mean()


def focal(logits: Tensor, target: Tensor) -> Tensor:
    """smp's focal loss with gamma 2 (Lin et al., arXiv 1708.02002), mean over pixels."""
    return _of_smp("FocalLoss", logits, target)


def tversky(logits: Tensor, target: Tensor) -> Tensor:
    """smp's Tversky loss over the batch (Salehi et al., arXiv 1706.05721): misses weigh 0.7, false alarms 0.3.

    A batch without lesion counts as 0, as it does in :func:`jaccard`.
    """
    return _of_smp("TverskyLoss", logits, target, alpha=0.3, beta=0.7)


def jaccard(logits: Tensor, target: Tensor) -> Tensor:
    """smp's soft Jaccard loss, 1 - IoU over the batch."""
    return _of_smp("JaccardLoss", logits, target)


def lovasz(logits: Tensor, target: Tensor) -> Tensor:
    """smp's Lovasz hinge per image (Berman et al., arXiv 1705.08790); soft targets are cut at 0.5."""
    return _of_smp("LovaszLoss", logits, (target >= 0.5).to(target.dtype), per_image=True)


LOSSES: dict[str, Loss] = {
    "bce": bce,
    "dice": dice,
    "focal": focal,
    "tversky": tversky,
    "jaccard": jaccard,
    "lovasz": lovasz,
}
"""Every loss, by its name in a recipe; sums are written with ``+``."""


def terms_of(name: str) -> list[str]:
    """Return the names of the losses in a sum such as ``bce+dice``. Raises :class:`ConfigError` for unknown ones."""
    terms = name.split("+")
    if not set(terms) <= LOSSES.keys() or len(set(terms)) < len(terms):
        raise ConfigError(f"loss is {name!r}; expected one of {', '.join(LOSSES)}, or a sum of them, such as bce+dice.")
    return terms


def loss_of(name: str) -> Loss:
    """Return the loss that a recipe names, or the sum of several. Raises like :func:`terms_of`."""
    losses = [LOSSES[term] for term in terms_of(name)]

    def total(logits: Tensor, target: Tensor) -> Tensor:
        return functools.reduce(lambda one, other: one + other, (loss(logits, target) for loss in losses))

    return total if len(losses) > 1 else losses[0]


def _of_smp(name: str, logits: Tensor, target: Tensor, **options: Any) -> Tensor:
    value: Tensor = _made_by_smp(name, **options)(logits, target)
    return value


@functools.cache
def _made_by_smp(name: str, **options: Any) -> Any:
    import segmentation_models_pytorch as smp

    return getattr(smp.losses, name)("binary", **options)
