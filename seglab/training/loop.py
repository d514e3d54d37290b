"""The training loop: one epoch after another, on one process or several, each ending in files that are whole."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from seglab.data.augmentation import augmentation_of
from seglab.data.examples import Examples
from seglab.data.pairs import Pair
from seglab.errors import CheckpointError, ConfigError
from seglab.losses import LOSSES
from seglab.metrics.overlap import Confusion
from seglab.networks.build import build_network, network_spec, require_size_fits
from seglab.networks.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from seglab.networks.normalisation import NORMALISATION
from seglab.recipes.recipe import Recipe
from seglab.training import run_folder
from seglab.training.determinism import order_of, repeatable, seed_draws
from seglab.training.device import require_compiler
from seglab.training.distributed import leave_out_idle, normalise_globally, shards, share_of
from seglab.training.optimizers import Schedule, average_of, make_optimiser
from seglab.training.run_folder import Epoch, Timing, best_epoch, plain, stops_early

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps the batches of a phase in a progress bar: ``(batches, description)``."""


class Trainer:
    """Trains a recipe on pairs, epoch by epoch.

    ``fabric``: of :func:`seglab.training.device.make_fabric`; in several processes within
    :func:`seglab.training.processes.together`.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: Sequence[Pair],
        validation: Sequence[Pair],
        *,
        fabric: Fabric,
        precision: str = "fp32",
        about_data: dict[str, Any] | None = None,
    ) -> None:
        self.recipe = recipe
        self.fabric = fabric
        self.precision = precision
        self.about_data = about_data or {}
        self.history: list[Epoch] = []
        self.timing: list[Timing] = []
        self.loss = LOSSES[recipe.loss]
        self.examples = Examples(training, recipe.size, augmentation_of(recipe), recipe.seed, recipe.hair)
        self.validation = Examples(validation, recipe.size, hair=recipe.hair)
        torch.manual_seed(recipe.seed)
        self.spec = network_spec(recipe)
        self.network = self._network()
        self.average = average_of(self.network, recipe.ema)
        optimiser = make_optimiser(recipe, self.network)
        self.model, self.optimiser = fabric.setup(self._compiled(), optimiser)
        self.schedule = Schedule(recipe, optimiser)
        mean, std = NORMALISATION[recipe.normalise]
        self._mean = torch.tensor(mean, device=fabric.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=fabric.device).view(1, 3, 1, 1)

    def resume(self, path: Path) -> None:
        """Go on from ``last.pt`` of the same recipe and data. Raises :class:`ConfigError` where they differ.

        Raises :class:`CheckpointError` for a checkpoint that holds no such state, or that of an earlier version.
        """
        checkpoint = load_checkpoint(path)
        state = checkpoint.resume
        try:
            run_folder.require_same(path, checkpoint.training, self.recipe, self.about_data)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.restore(state["schedule"])
            if state["precision"]:
                self.fabric.strategy.precision.load_state_dict(state["precision"])
            if self.average:
                self.average.load_state_dict(state["average"])
            self.history = [Epoch(**row) for row in checkpoint.training["history"]]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} cannot be gone on from ({error}); expected last.pt that this version of `seglab train` wrote. "
                f"Train anew, from its weights if you like: --set init={path}"
            ) from error
        self.timing = list(run_folder.read_timing(path.parent))[: len(self.history)]

    def run(self, out: Path, track: Track) -> Iterator[Epoch]:
        """Train the epochs that are left; after each, write the run's files and yield the epoch's figures."""
        writes = self.fabric.is_global_zero
        if writes and self.history:  # a run that was killed between its last epoch and the logs of it
            run_folder.write_epochs(out, self.history, self.timing)
        with repeatable(self.fabric.device):
            while len(self.history) < self.recipe.epochs and not stops_early(self.history, self.recipe):
                epoch, timing = self._epoch(len(self.history) + 1, track)
                self.history.append(epoch)
                self.timing.append(timing)
                if writes:
                    self._save(out)
                    run_folder.write_epochs(out, self.history, self.timing)
                self.fabric.barrier()
                yield epoch

    def best(self) -> Epoch:
        """Return the epoch that ``best.pt`` is from."""
        return best_epoch(self.history, self.recipe.monitor)

    def _epoch(self, number: int, track: Track) -> tuple[Epoch, Timing]:
        started = time.perf_counter()
        train_loss = self._train(number, track)
        trained = time.perf_counter()
        val_loss, dice, iou = self._validate(number, track)
        lr = self.schedule.lr
        self.schedule.after_epoch(val_loss)
        rate = len(self.examples) / (trained - started)
        return Epoch(number, train_loss, val_loss, dice, iou, lr), Timing(number, time.perf_counter() - started, rate)

    def _train(self, number: int, track: Track) -> float:
        self.network.train()
        self.examples.epoch = number
        seed_draws(self.recipe.seed, number, self.fabric.global_rank)
        order = order_of(self.recipe.seed, number, len(self.examples))
        batches = self._batches(self.examples, order, self.recipe.batch)
        loss_sum, images = 0.0, 0.0
        for step, (image, target) in enumerate(track(batches, f"epoch {number}/{self.recipe.epochs}")):
            self.schedule.before_step((number - 1 + step / len(batches)) / self.recipe.epochs)
            self.optimiser.zero_grad(set_to_none=True)
            loss = self._loss(self._trained(len(image)), image, target)[0]
            loss_sum += _finite(loss, number) * len(image)
            images += len(image)
            self.fabric.backward(loss * self._share(len(order), step))
            self.optimiser.step()
            if self.average:
                self.average.update_parameters(self.network)
        loss_sum, images = self._summed(loss_sum, images)
        return loss_sum / images

    @torch.inference_mode()
    def _validate(self, number: int, track: Track) -> tuple[float, float, float]:
        network = self.average.module if self.average else self.network
        network.eval()
        order = list(range(len(self.validation)))
        batches = self._batches(self.validation, order, self.recipe.val_batch or self.recipe.batch, drop=False)
        totals = [0.0, 0.0, 0.0, 0.0]  # loss, Dice, IoU, images
        for image, target in track(batches, f"epoch {number}/{self.recipe.epochs}, validation"):
            loss, logits = self._loss(network, image, target)
            lesion = torch.sigmoid(logits) >= self.recipe.threshold  # (N, 1, S, S)
            counts = list(confusions(lesion.cpu(), target >= 0.5))
            dice, iou = sum(count.dice for count in counts), sum(count.iou for count in counts)
            batch = (float(loss) * len(image), dice, iou, len(image))
            totals = [total + value for total, value in zip(totals, batch, strict=True)]
        loss_sum, dice, iou, images = self._summed(*totals)
        return loss_sum / images, dice / images, iou / images

    def _loss(self, network: nn.Module, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        device = self.fabric.device
        x = image.to(device, non_blocking=True, memory_format=torch.channels_last)  # (N, 3, S, S)
        x = (x.float() / 255 - self._mean) / self._std
        with self.fabric.autocast():
            logits = network(x)
        logits = logits.float()  # (N, 1, S, S)
        return self.loss(logits, target.to(device, non_blocking=True)), logits

    def _trained(self, count: int) -> nn.Module:
        """Return what a training step calls: a compiled network is compiled for whole batches, others run as it is."""
        partial = self.recipe.compile and self.fabric.world_size == 1 and count < self.recipe.batch
        network: nn.Module = self.network if partial else self.model
        return network

    def _share(self, images: int, step: int) -> float:
        whole = min(self.recipe.batch, images - step * self.recipe.batch)
        return share_of(whole, self.recipe.batch, self.fabric.global_rank, self.fabric.world_size)

    def _summed(self, *values: float) -> list[float]:
        """Return the values' sums over the processes."""
        mine = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        return torch.as_tensor(self.fabric.all_reduce(mine, reduce_op="sum")).tolist()

    def _batches(
        self, examples: Examples, order: list[int], batch: int, drop: bool = True
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        rank, world = self.fabric.global_rank, self.fabric.world_size
        if drop:
            mine = shards(order, batch, rank, world)
        else:
            own, step = order[rank::world], max(1, batch // world)
            mine = [own[start : start + step] for start in range(0, len(own), step)]
        return DataLoader(
            examples,
            batch_sampler=mine,
            num_workers=worker_count(self.recipe.workers, world),
            pin_memory=self.fabric.device.type == "cuda",
        )

    def _network(self) -> nn.Module:
        network = build_network(self.spec, self.recipe.encoder_weights or None)
        require_size_fits(network, self.spec, self.recipe.size)
        if self.recipe.init:
            _start_from(network, Path(self.recipe.init))
        if self.fabric.world_size > 1:
            leave_out_idle(network, self.recipe.size)
            network = normalise_globally(network, self.fabric.device)
        return network.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _compiled(self) -> nn.Module:
        if not self.recipe.compile:
            return self.network
        require_compiler()
        compiled: nn.Module = torch.compile(self.network, dynamic=False)  # type: ignore[assignment]
        return compiled

    def _save(self, out: Path) -> None:
        checkpoint = self._checkpoint()
        if self.best() is self.history[-1]:
            save_checkpoint(checkpoint, out / run_folder.BEST)
        checkpoint.resume = {
            "network": _on_cpu(self.network),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": self.average.state_dict() if self.average else {},
        }
        save_checkpoint(checkpoint, out / run_folder.LAST)

    def _checkpoint(self) -> Checkpoint:
        mean, std = NORMALISATION[self.recipe.normalise]
        return Checkpoint(
            network=self.spec,
            size=self.recipe.size,
            state=_on_cpu(self.average.module if self.average else self.network),
            mean=mean,
            std=std,
            threshold=self.recipe.threshold,
            hair=self.recipe.hair,
            tta=self.recipe.tta,
            training={
                "recipe": plain(self.recipe),
                "data": self.about_data,
                "precision": self.precision,
                "epoch": len(self.history),
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
                "tools": {"torch": str(torch.__version__)},
            },
        )


def worker_count(asked: int, processes: int = 1) -> int:
    """Return the number of reading processes: ``asked``, or by the cores (at most 8) where it is negative."""
    return asked if asked >= 0 else min(8, max(1, (os.cpu_count() or 1) // 2 // processes))


def confusions(lesion: Tensor, truth: Tensor) -> Iterator[Confusion]:
    """Count pixels of boolean ``(N, 1, S, S)`` masks against truths, image by image."""
    tp = (lesion & truth).sum(dim=(1, 2, 3)).tolist()
    predicted = lesion.sum(dim=(1, 2, 3)).tolist()
    actual = truth.sum(dim=(1, 2, 3)).tolist()
    pixels = lesion[0].numel()
    for both, mask, lesions in zip(tp, predicted, actual, strict=True):
        yield Confusion(both, mask - both, lesions - both, pixels - mask - lesions + both)


def _on_cpu(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}


def _finite(loss: Tensor, epoch: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ConfigError(f"The loss became {value} in epoch {epoch}; expected a number. Lower lr.")
    return value


def _start_from(network: nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(load_checkpoint(path).state)
    except RuntimeError as error:
        raise CheckpointError(f"init: {path} holds another network; expected weights of the recipe's own.") from error
