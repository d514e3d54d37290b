"""Decide what the values of a foreign network's output are, from the values and not from its last operator."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.adoption.head import LOGITS, PROBABILITIES, Head, gives_labels
from export.adoption.untouched import Untouched
from export.errors import ContractError

BYTE = 255.0
TANH = 0.9
"""Values beyond this on both sides, but none beyond 1, look like those of a tanh."""
TOLERANCE = 1e-6
"""How far probabilities may exceed 0 and 1; fp16 rounds by more than this only inside that range."""
SUM_TOLERANCE = 1e-2
"""How far the sum of all classes' probabilities may be from 1, in fp16."""
FEW_VALUES = 32
"""Up to this many different values, all whole numbers, are labels; more are probabilities in bytes."""


@dataclass(frozen=True)
class Kind:
    """``output``: ``logits`` or ``probabilities``. ``scale``: what the values are divided by, 1 or 255. ``exclusive``:
    for several classes, whether the probabilities add up to 1.
    """

    output: str
    scale: float = 1.0
    exclusive: bool = True


@dataclass
class Values:
    """What was seen of an output's values over all images."""

    low: float = math.inf
    high: float = -math.inf
    sum_low: float = math.inf
    sum_high: float = -math.inf
    is_whole: bool = True
    different: frozenset[float] = frozenset()

    def add(self, planes: NDArray[np.float64]) -> None:
        """Add planes ``(C, side, side)``."""
        self.low, self.high = min(self.low, float(planes.min())), max(self.high, float(planes.max()))
        total = planes.sum(axis=0)
        self.sum_low, self.sum_high = min(self.sum_low, float(total.min())), max(self.sum_high, float(total.max()))
        if self.is_whole:
            self.is_whole = bool((planes == np.round(planes)).all())
            if len(self.different) <= FEW_VALUES:
                self.different |= frozenset(np.unique(planes).tolist())

    @property
    def are_labels(self) -> bool:
        """Return whether there are only a few different whole numbers, and more than one."""
        return self.is_whole and 1 < len(self.different) <= FEW_VALUES

    @property
    def is_tanh(self) -> bool:
        """Return whether the values range from near -1 to near 1, and not beyond."""
        return self.low < -TANH and self.high > TANH and max(-self.low, self.high) <= 1

    def within(self, high: float) -> bool:
        """Return whether all values are between 0 and ``high``."""
        return self.low >= -TOLERANCE * high and self.high <= high * (1 + TOLERANCE)

    def add_up_to(self, total: float) -> bool:
        """Return whether the classes of each pixel add up to ``total``."""
        return max(abs(self.sum_low - total), abs(self.sum_high - total)) <= SUM_TOLERANCE * total


def find_kind(
    untouched: Untouched, head: Head, all_planes: Iterable[tuple[str, NDArray[np.float64]]], said: str | None
) -> tuple[Kind, str]:
    """Return what an output's values are, and a sentence about it. ``said``: what the user says they are.

    ``all_planes``: names of images, and the untouched network's output for them, ``(C, side, side)``. Raises
    :class:`ContractError` for labels, for NaN or infinite values, and if ``said`` does not fit the values.
    """
    seen = Values()
    for image, planes in all_planes:
        if not np.isfinite(planes).all():
            raise ContractError(
                f"The output {head.name!r} of {untouched.source} is NaN or infinite for the image {image}; expected "
                "numbers. Check how it is fed (--mean), and whether it overflows in fp16."
            )
        seen.add(planes)
    kind = _said(untouched, head, seen, said) if said else _decided(untouched, head, seen)
    return kind, _sentence(head, seen, kind, said)


def _said(untouched: Untouched, head: Head, seen: Values, said: str) -> Kind:
    if said == LOGITS and seen.are_labels:
        raise gives_labels(untouched, head)
    if said == LOGITS:
        return Kind(LOGITS)
    for scale in (1.0, BYTE):
        if seen.within(scale):
            return Kind(PROBABILITIES, scale, seen.add_up_to(scale))
    raise ContractError(
        f"The output {head.name!r} of {untouched.source} has values from {seen.low:.4g} to {seen.high:.4g}; expected "
        "0 to 1 (or 0 to 255), as --output probabilities says. Use --output logits, or leave it out."
    )


def _decided(untouched: Untouched, head: Head, seen: Values) -> Kind:
    if seen.are_labels or head.dtype == "bool":
        raise gives_labels(untouched, head)
    if seen.within(1.0):
        return Kind(PROBABILITIES, 1.0, seen.add_up_to(1.0))
    if seen.within(BYTE) and (head.classes == 1 or seen.add_up_to(BYTE)):
        return Kind(PROBABILITIES, BYTE, seen.add_up_to(BYTE))
    return Kind(LOGITS)


def _sentence(head: Head, seen: Values, kind: Kind, said: str | None) -> str:
    values = f"Values of output {head.name!r}: {seen.low:.4g} to {seen.high:.4g}"
    if said:
        return f"{values}; {kind.output}, as --output says{_divided(kind)}."
    if kind.output == PROBABILITIES:
        return f"{values}: taken as probabilities{_divided(kind)} (if they are logits, use --output logits)."
    activation = "a sigmoid" if head.classes == 1 else f"a softmax over {head.classes} classes"
    tanh = (
        " If it ends in a tanh, masks are right, and probabilities lie between 0.27 and 0.73." if seen.is_tanh else ""
    )
    return f"{values}: taken as logits, so {activation} follows.{tanh}"


def _divided(kind: Kind) -> str:
    return ", divided by 255" if kind.scale != 1 else ""
