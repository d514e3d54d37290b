"""The training loop: one epoch after another, each ending in files that are whole."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seglab.checkpoints import IMAGENET_MEAN, IMAGENET_STD, Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from seglab.dataset import Examples
from seglab.errors import CheckpointError, ConfigError
from seglab.losses import LOSSES
from seglab.metrics import Confusion, Scores
from seglab.networks import build_network
from seglab.pairs import Pair
from seglab.precision import AUTOCAST, choose_device, choose_precision
from seglab.settings import Recipe, make_recipe

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps the batches of a phase in a progress bar: ``(batches, description)``."""

WARM_UP = 0.05
LOWEST = 0.01
# What may differ between a run and the run that resumes it, because it changes no result up to there.
FREE_TO_CHANGE = {"workers", "precision"}


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One row of ``log.csv``. Losses are means over images; Dice and IoU are per image at S x S, then averaged."""

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    val_iou: float
    lr: float
    seconds: float
    images_per_second: float


class Trainer:
    """Trains a recipe on pairs, epoch by epoch."""

    def __init__(
        self,
        recipe: Recipe,
        training: Sequence[Pair],
        validation: Sequence[Pair],
        *,
        device: str = "auto",
        about_data: dict[str, Any] | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        self.precision = choose_precision(recipe.precision, self.device)
        self.about_data = about_data or {}
        torch.manual_seed(recipe.seed)
        self.spec = network_spec(recipe)
        network = build_network(self.spec, recipe.encoder_weights or None)
        if recipe.init:
            _start_from(network, Path(recipe.init))
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.lr)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.loss = LOSSES[recipe.loss]
        self.examples = Examples(training, recipe.size, recipe.augment, recipe.seed)
        self.validation = Examples(validation, recipe.size)
        self.history: list[Epoch] = []
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(1, 3, 1, 1)

    def resume(self, path: Path) -> None:
        """Go on from ``last.pt`` of the same recipe. Raises :class:`ConfigError` where the recipe differs."""
        checkpoint = load_checkpoint(path)
        earlier = make_recipe(checkpoint.training["recipe"])
        changed = [
            f"{field.name} ({getattr(earlier, field.name)!r} before, {getattr(self.recipe, field.name)!r} now)"
            for field in dataclasses.fields(Recipe)
            if field.name not in FREE_TO_CHANGE and getattr(earlier, field.name) != getattr(self.recipe, field.name)
        ]
        if checkpoint.training["data"] != self.about_data:
            changed.append(f"the data ({checkpoint.training['data']} before, {self.about_data} now)")
        if changed:
            raise ConfigError(
                f"{path} was trained otherwise: {'; '.join(changed)}. "
                "Resume with the same settings, or name a new --out."
            )
        if not checkpoint.resume:
            raise CheckpointError(f"{path} holds no optimiser state; expected last.pt of a run.")
        self.network.load_state_dict(checkpoint.state)
        self.optimiser.load_state_dict(checkpoint.resume["optimiser"])
        self.scaler.load_state_dict(checkpoint.resume["scaler"])
        torch.set_rng_state(checkpoint.resume["rng"])
        self.history = [Epoch(**row) for row in checkpoint.training["history"]]

    def run(self, out: Path, track: Track) -> Iterator[Epoch]:
        """Train the epochs that are left; after each, write ``last.pt`` (and ``best.pt``) and yield its figures."""
        for number in range(len(self.history) + 1, self.recipe.epochs + 1):
            started = time.perf_counter()
            train_loss = self._train(number, track)
            trained = time.perf_counter()
            val_loss, scores = self._validate(number, track)
            epoch = Epoch(
                epoch=number,
                train_loss=train_loss,
                val_loss=val_loss,
                val_dice=scores["dice"],
                val_iou=scores["iou"],
                lr=self.optimiser.param_groups[0]["lr"],
                seconds=time.perf_counter() - started,
                images_per_second=len(self.examples) / (trained - started),
            )
            self.history.append(epoch)
            self._save(out)
            yield epoch

    def best(self) -> Epoch:
        """Return the epoch with the highest validation Dice so far (the first of equals)."""
        return max(self.history, key=lambda epoch: epoch.val_dice)

    def _train(self, number: int, track: Track) -> float:
        self.network.train()
        self.examples.epoch = number
        order = np.random.default_rng([self.recipe.seed, number]).permutation(len(self.examples))
        batches = self._batches(self.examples, order.tolist())
        total = 0.0
        for step, (image, target) in enumerate(track(batches, f"epoch {number}/{self.recipe.epochs}")):
            self._set_lr((number - 1 + step / len(batches)) / self.recipe.epochs)
            self.optimiser.zero_grad(set_to_none=True)
            loss = self._loss(image, target)[0]
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.step(self.optimiser)
            self.scaler.update()
            value = float(loss.detach())
            if not math.isfinite(value):
                raise ConfigError(f"The loss became {value} in epoch {number}; expected a number. Lower lr.")
            total += value * len(image)
        return total / len(self.examples)

    @torch.inference_mode()
    def _validate(self, number: int, track: Track) -> tuple[float, dict[str, float]]:
        self.network.eval()
        scores, total = Scores(), 0.0
        batches = self._batches(self.validation, list(range(len(self.validation))))
        for image, target in track(batches, f"epoch {number}/{self.recipe.epochs}, validation"):
            loss, logits = self._loss(image, target)
            total += float(loss) * len(image)
            lesion = torch.sigmoid(logits) >= self.recipe.threshold  # (N, 1, S, S)
            for counts in confusions(lesion.cpu(), target >= 0.5):
                scores.add(str(len(scores.names)), counts)
        return total / len(self.validation), scores.summary()

    def _loss(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        x = image.to(self.device, non_blocking=True, memory_format=torch.channels_last)  # (N, 3, S, S)
        x = (x.float() / 255 - self._mean) / self._std
        dtype = AUTOCAST.get(self.precision, torch.bfloat16)
        with torch.autocast(self.device.type, dtype, enabled=self.precision in AUTOCAST):
            logits = self.network(x)
        logits = logits.float()  # (N, 1, S, S)
        return self.loss(logits, target.to(self.device, non_blocking=True)), logits

    def _batches(self, examples: Examples, order: list[int]) -> DataLoader[tuple[Tensor, Tensor]]:
        return DataLoader(
            examples,
            batch_size=self.recipe.batch,
            sampler=order,
            num_workers=worker_count(self.recipe.workers),
            pin_memory=self.device.type == "cuda",
        )

    def _set_lr(self, progress: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.lr * lr_factor(self.recipe.schedule, progress)

    def _save(self, out: Path) -> None:
        checkpoint = Checkpoint(
            network=self.spec,
            size=self.recipe.size,
            state={key: value.detach().cpu().contiguous() for key, value in self.network.state_dict().items()},
            threshold=self.recipe.threshold,
            training={
                "recipe": plain(self.recipe),
                "data": self.about_data,
                "precision": self.precision,
                "epoch": len(self.history),
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
                "tools": {"torch": str(torch.__version__)},
            },
        )
        if self.best() is self.history[-1]:
            save_checkpoint(checkpoint, out / "best.pt")
        checkpoint.resume = {
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
        }
        save_checkpoint(checkpoint, out / "last.pt")


def network_spec(recipe: Recipe) -> NetworkSpec:
    """Return the network that a recipe names."""
    if recipe.arch == "unet-scratch":
        return NetworkSpec("unet-scratch", options={"widths": list(recipe.widths)})
    return NetworkSpec("unet", recipe.encoder, options={"decoder_channels": list(recipe.decoder_channels)})


def lr_factor(schedule: str, progress: float) -> float:
    """Return the share of the highest learning rate at ``progress`` (0-1) of a run."""
    if schedule == "constant":
        return 1.0
    if progress < WARM_UP:
        return max(LOWEST, progress / WARM_UP)
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def worker_count(asked: int) -> int:
    """Return the number of reading processes: ``asked``, or by the cores (at most 8) where it is negative."""
    return asked if asked >= 0 else min(8, max(1, (os.cpu_count() or 1) // 2))


def confusions(lesion: Tensor, truth: Tensor) -> Iterator[Confusion]:
    """Count pixels of boolean ``(N, 1, S, S)`` masks against truths, image by image."""
    tp = (lesion & truth).sum(dim=(1, 2, 3)).tolist()
    predicted = lesion.sum(dim=(1, 2, 3)).tolist()
    actual = truth.sum(dim=(1, 2, 3)).tolist()
    pixels = lesion[0].numel()
    for both, mask, lesions in zip(tp, predicted, actual, strict=True):
        yield Confusion(both, mask - both, lesions - both, pixels - mask - lesions + both)


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as values that JSON, TOML and checkpoints hold (lists for tuples)."""
    values = dataclasses.asdict(recipe)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _start_from(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(load_checkpoint(path).state)
    except RuntimeError as error:
        raise CheckpointError(f"init: {path} holds another network; expected weights of the recipe's own.") from error
