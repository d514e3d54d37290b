"""Whether a network gives logits or probabilities, judged by its values on images and not by its layers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.samples import Sample
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import Checkpoint

ROUNDING = 1e-6
"""How far rounding may move a probability outside 0 to 1."""
TELLING = 1e-3
"""If the values differ by less than this over all images, they decide nothing."""


def kind_of_values(values: Iterable[NDArray[np.float32]]) -> str | None:
    """Return ``logits`` or ``probabilities`` for a network's outputs, one array per image; None if nearly all equal.

    One value outside 0 to 1 means logits. If all values of all images are inside, they are probabilities.
    """
    lowest, highest = np.inf, -np.inf
    for given in values:
        lowest, highest = min(lowest, float(given.min())), max(highest, float(given.max()))
        if lowest < -ROUNDING or highest > 1 + ROUNDING:
            return "logits"
    return "probabilities" if highest - lowest > TELLING else None


def output_kind(checkpoint: Checkpoint, samples: Iterable[Sample]) -> str:
    """Return ``logits`` or ``probabilities``, by the network's output on ``samples``.

    Raises :class:`ContractError` if the output does not decide it.
    """
    original = Predictor(checkpoint)
    kind = kind_of_values(original.given(sample.image) for sample in samples)
    if kind is None:
        raise ContractError(
            f"{checkpoint.path} gives nearly the same value everywhere on all images; expected an output that shows "
            "whether it is logits or probabilities. State it with --output, or use other images with --parity."
        )
    return kind
