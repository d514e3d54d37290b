"""Optimisers, learning-rate schedules and the moving average of the weights."""

from __future__ import annotations

import math
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from seglab.recipes.recipe import Recipe

WARM_UP = 0.05
LOWEST = 0.01
MOMENTUM = 0.9
OPTIMISERS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def make_optimiser(recipe: Recipe, network: nn.Module) -> Optimizer:
    """Return the recipe's optimiser over the network's weights; ``sgd`` uses Nesterov momentum of 0.9."""
    options: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimiser == "sgd":
        options |= {"momentum": MOMENTUM, "nesterov": True}
    optimiser: Optimizer = OPTIMISERS[recipe.optimiser](_groups(recipe, network), **options)
    return optimiser


def _groups(recipe: Recipe, network: nn.Module) -> list[dict[str, Any]]:
    """Return one parameter group, or two where the encoder has its own learning rate."""
    if recipe.encoder_lr_factor == 1:
        return [{"params": list(network.parameters())}]
    encoder = list(network.get_submodule("encoder").parameters())
    theirs = set(encoder)
    others = [parameter for parameter in network.parameters() if parameter not in theirs]
    return [{"params": others}, {"params": encoder, "lr": recipe.lr * recipe.encoder_lr_factor}]


def average_of(network: nn.Module, decay: float) -> AveragedModel | None:
    """Return the exponential moving average of a network's weights and buffers; None for a decay of 0."""
    if not decay:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


class Schedule:
    """Sets the learning rate: by the progress of the run before each step, or by the loss after each epoch."""

    def __init__(self, recipe: Recipe, optimiser: Optimizer) -> None:
        self.recipe = recipe
        self.optimiser = optimiser
        self._highest = [float(group["lr"]) for group in optimiser.param_groups]
        self.plateau: ReduceLROnPlateau | None = None
        if recipe.schedule == "plateau":
            # torch's patience counts one epoch less than plateau_patience.
            patience = max(0, recipe.plateau_patience - 1)
            self.plateau = ReduceLROnPlateau(optimiser, factor=recipe.plateau_factor, patience=patience, threshold=0)

    @property
    def lr(self) -> float:
        """The current learning rate (not that of an encoder with its own)."""
        return float(self.optimiser.param_groups[0]["lr"])

    def before_step(self, progress: float) -> None:
        """Set the learning rate at ``progress`` (0-1) of the run."""
        if self.recipe.schedule == "cosine":
            for group, highest in zip(self.optimiser.param_groups, self._highest, strict=True):
                group["lr"] = highest * cosine(progress)

    def after_epoch(self, val_loss: float) -> None:
        """Lower the learning rate where the validation loss has stopped falling."""
        if self.plateau:
            self.plateau.step(val_loss)

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return self.plateau.state_dict() if self.plateau else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned. Later reductions of the rate follow the recipe."""
        if self.plateau:
            ours = {key: getattr(self.plateau, key) for key in ("factor", "patience", "threshold")}
            self.plateau.load_state_dict(state | ours)


def cosine(progress: float) -> float:
    """Return the learning rate as a share of its maximum: a warm-up, then half a cosine down to 0.01."""
    if progress < WARM_UP:
        return max(LOWEST, progress / WARM_UP)
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2
