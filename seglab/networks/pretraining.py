"""The normalisation with which the first weights of a run were trained."""

from __future__ import annotations

from pathlib import Path

from seglab.networks.checkpoints import load_checkpoint
from seglab.networks.normalisation import NORMALISATION, Normalisation, Triple
from seglab.recipes.packaged import PACKAGE, PACKAGED_NORMALISATION
from seglab.recipes.recipe import SMP_ARCHITECTURES, Recipe

TIMM = "tu-"
"""Prefix of the names of timm's encoders in smp."""


def learned_with(recipe: Recipe) -> Normalisation | None:
    """Return the normalisation with which the recipe's first weights were trained; None if none or unknown."""
    if recipe.init:
        start = load_checkpoint(Path(recipe.init))
        return Normalisation(start.mean, start.std)
    if recipe.arch not in SMP_ARCHITECTURES or not recipe.encoder_weights:
        return None
    if recipe.encoder_weights == PACKAGE:
        return Normalisation(*NORMALISATION[PACKAGED_NORMALISATION])
    if recipe.encoder.startswith(TIMM) and not Path(recipe.encoder_weights).suffix:
        return _of_timm(recipe.encoder.removeprefix(TIMM))
    return None


def _of_timm(model: str) -> Normalisation | None:
    from timm.models import get_pretrained_cfg

    known = get_pretrained_cfg(model)
    return Normalisation(_triple(known.mean), _triple(known.std)) if known else None


def _triple(values: tuple[float, ...]) -> Triple:
    red, green, blue = values
    return red, green, blue
