"""Whether a network gives logits or probabilities: its values on images tell, not what it is made of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.samples import Sample
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import Checkpoint

ROUNDING = 1e-6
"""How far beyond 0 and 1 rounding may take a probability."""
TELLING = 1e-3
"""Values that are closer together than this on all images tell nothing."""


def kind_of_values(values: Iterable[NDArray[np.float32]]) -> str | None:
    """Return ``logits`` or ``probabilities`` for what a network gave, an array an image; None where all is alike.

    Logits are seen at the first value outside 0-1; what stays within on all images are probabilities.
    """
    lowest, highest = np.inf, -np.inf
    for given in values:
        lowest, highest = min(lowest, float(given.min())), max(highest, float(given.max()))
        if lowest < -ROUNDING or highest > 1 + ROUNDING:
            return "logits"
    return "probabilities" if highest - lowest > TELLING else None


def output_kind(checkpoint: Checkpoint, samples: Iterable[Sample]) -> str:
    """Return what the checkpoint's network gives for images. Raises :class:`ContractError` where that does not tell."""
    original = Predictor(checkpoint)
    kind = kind_of_values(original.given(sample.image) for sample in samples)
    if kind is None:
        raise ContractError(
            f"{checkpoint.path} gives nearly the same value everywhere on all images; expected a network whose output "
            "tells logits from probabilities. Say it with --output, or prove it on other images with --parity."
        )
    return kind
