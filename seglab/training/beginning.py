"""The start of a run: weights of another run, and the ranges for training with the rounding of int8."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from seglab.data.examples import Examples
from seglab.data.pairs import Pair
from seglab.errors import CheckpointError, ConfigError
from seglab.networks.build import quantised_as
from seglab.networks.checkpoints import NetworkSpec, load_checkpoint
from seglab.networks.normalisation import NORMALISATION
from seglab.networks.quantised import Quantised, fold_normalisation, measure_ranges
from seglab.recipes.recipe import Recipe

MEASURED_IMAGES = 128
MEASURED_TOGETHER = 8


def begun(
    network: nn.Module, spec: NetworkSpec, recipe: Recipe, pairs: Sequence[Pair]
) -> tuple[nn.Module, NetworkSpec]:
    """Return a new run's network, with the weights of the recipe's ``init``, and its spec.

    ``pairs``: training pairs; where the recipe quantises, ranges are measured on some of them. Raises
    :class:`CheckpointError` where ``init`` holds another network, :class:`ConfigError` where it was trained with the
    rounding of int8 and the recipe does not quantise.
    """
    if not recipe.init:
        return network, spec
    init = load_checkpoint(Path(recipe.init))
    if init.network.ranges and recipe.quantise == "none":
        raise ConfigError(
            f"init: {recipe.init} was trained with the rounding of int8; expected a recipe that does the same. Add "
            "--set quantise=int8, or name the network that it started from."
        )
    spec = dataclasses.replace(spec, ranges=init.network.ranges)
    network = quantised_as(network, spec)
    try:
        network.load_state_dict(init.state)
    except RuntimeError as error:
        raise CheckpointError(
            f"init: {init.path} holds another network; expected the network of the recipe. Change the recipe, or name "
            "other weights."
        ) from error
    if recipe.quantise != "none" and not spec.ranges:
        folded = fold_normalisation(network)
        spec = dataclasses.replace(spec, ranges=tuple(measure_ranges(folded, _batches(recipe, pairs))))
        network = Quantised(folded, spec.ranges)
    return network, spec


def _batches(recipe: Recipe, pairs: Sequence[Pair]) -> Iterator[Tensor]:
    """Yield batches ``(N, 3, S, S)`` of evenly spaced training images, normalised and not augmented."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in NORMALISATION[recipe.normalise])
    examples = Examples(
        pairs[:: max(1, len(pairs) // MEASURED_IMAGES)][:MEASURED_IMAGES], recipe.size, hair=recipe.hair
    )
    for start in range(0, len(examples), MEASURED_TOGETHER):
        images = [examples[index][0] for index in range(start, min(start + MEASURED_TOGETHER, len(examples)))]
        yield (torch.stack(images).float() / 255 - mean) / std
