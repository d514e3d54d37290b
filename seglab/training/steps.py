"""The steps of an epoch: forward and backward passes, the loss, and validation scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from seglab.data.examples import Examples
from seglab.data.loading import Loader, worker_count
from seglab.errors import ConfigError, DivergedError
from seglab.losses import loss_of
from seglab.metrics.overlap import Confusion
from seglab.networks.normalisation import NORMALISATION
from seglab.networks.teacher import Teacher
from seglab.recipes.recipe import Recipe
from seglab.training.determinism import order_of, seed_draws
from seglab.training.distributed import shards, share_of
from seglab.training.optimizers import Schedule

if TYPE_CHECKING:
    from lightning.fabric import Fabric

Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Wraps the batches of a phase in a progress bar: ``(batches, description)``."""
LOOK_EVERY = 50
"""Steps between two checks for a finite loss on a GPU; each check makes the GPU wait."""


class Steps:
    """Runs the steps of an epoch.

    ``network``: holds the weights. ``model``: what a training step calls; it may be compiled or distributed.
    ``average``: the moving average of the weights, which is validated, or None.
    """

    def __init__(
        self,
        recipe: Recipe,
        fabric: Fabric,
        *,
        network: nn.Module,
        model: nn.Module,
        optimiser: Any,
        schedule: Schedule,
        average: AveragedModel | None,
    ) -> None:
        if recipe.freeze_encoder and fabric.world_size > 1:
            raise ConfigError("freeze_encoder works in one process only. Leave it out, or use --devices 1.")
        self.recipe = recipe
        self.fabric = fabric
        self.network = network
        self.model = model
        self.optimiser = optimiser
        self.schedule = schedule
        self.average = average
        self.loss = loss_of(recipe.loss)
        self.teacher = Teacher(Path(recipe.teacher), fabric.device, recipe.hair) if recipe.teacher else None
        mean, std = NORMALISATION[recipe.normalise]
        self._mean = torch.tensor(mean, device=fabric.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=fabric.device).view(1, 3, 1, 1)
        self._loaders: dict[int, tuple[Examples, Loader]] = {}

    def train(self, examples: Examples, number: int, track: Track) -> float:
        """Train epoch ``number`` (from 1); return the mean loss over its images."""
        self.network.train()
        self._freeze(number)
        seed_draws(self.recipe.seed, number, self.fabric.global_rank)
        order = order_of(self.recipe.seed, number, len(examples))
        mine = shards(order, self.recipe.batch, self.fabric.global_rank, self.fabric.world_size)
        batches = self._loader(examples).batches(number, mine)
        losses = _Losses(self.fabric.device, number)
        for step, (image, target) in enumerate(track(batches, f"epoch {number}/{self.recipe.epochs}")):
            first = step - step % self.recipe.accumulate
            last = min(first + self.recipe.accumulate, len(mine)) - 1
            if step == first:
                self.schedule.before_step((number - 1 + step / len(mine)) / self.recipe.epochs)
                self.optimiser.zero_grad(set_to_none=True)
            pixels, target = self._on_device(image, target)
            with self.fabric.no_backward_sync(self.model, enabled=step < last):  # type: ignore[arg-type]
                loss = self.loss(self._logits(self._trained(len(image)), pixels), self._taught(pixels, target))
                losses.add(loss, len(image), step)
                self.fabric.backward(loss * self._share(len(order), step, first, last))
            if step == last:
                self._change_weights()
        loss_sum, images = self._summed(*losses.total())
        return loss_sum / images

    @torch.inference_mode()
    def validate(self, examples: Examples, number: int, track: Track) -> tuple[float, float, float]:
        """Return loss, Dice and IoU over ``examples``, means over images at S x S."""
        network = self.average.module if self.average else self.network
        network.eval()
        rank, world = self.fabric.global_rank, self.fabric.world_size
        mine = list(range(len(examples)))[rank::world]
        size = max(1, (self.recipe.val_batch or self.recipe.batch) // world)
        batches = self._loader(examples).batches(number, [mine[at : at + size] for at in range(0, len(mine), size)])
        losses, counted = torch.zeros((), dtype=torch.float64, device=self.fabric.device), []
        for image, target in track(batches, f"epoch {number}/{self.recipe.epochs}, validation"):
            pixels, target = self._on_device(image, target)
            logits = self._logits(network, pixels)
            losses += self.loss(logits, target).double() * len(image)
            lesion = torch.sigmoid(logits) >= self.recipe.threshold  # (N, 1, S, S)
            counted.append(_counted(lesion, target >= 0.5))
        counts = list(_confusions(counted, self.recipe.size**2))
        dice, iou = sum(count.dice for count in counts), sum(count.iou for count in counts)
        loss_sum, dice, iou, images = self._summed(float(losses), dice, iou, len(counts))
        return loss_sum / images, dice / images, iou / images

    def _on_device(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        device = self.fabric.device
        pixels = image.to(device, non_blocking=True, memory_format=torch.channels_last)  # (N, 3, S, S)
        return pixels, target.to(device, non_blocking=True)

    def _logits(self, network: nn.Module, pixels: Tensor) -> Tensor:
        x = (pixels.float() / 255 - self._mean) / self._std
        with self.fabric.autocast():
            logits: Tensor = network(x)
        return logits.float()  # (N, 1, S, S)

    def _taught(self, pixels: Tensor, target: Tensor) -> Tensor:
        """Return the target, mixed with the teacher's probabilities if there is a teacher."""
        if not self.teacher:
            return target
        with self.fabric.autocast():
            prob = self.teacher.prob(pixels)
        return torch.lerp(target, prob, self.recipe.teacher_weight)

    def _change_weights(self) -> None:
        if self.recipe.clip:
            norm = self.recipe.clip
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=norm, error_if_nonfinite=False)
        self.optimiser.step()
        if self.average:
            self.average.update_parameters(self.network)

    def _freeze(self, number: int) -> None:
        if self.recipe.freeze_encoder:
            encoder = self.network.get_submodule("encoder")
            is_frozen = number <= self.recipe.freeze_encoder
            encoder.requires_grad_(not is_frozen).train(not is_frozen)

    def _trained(self, count: int) -> nn.Module:
        """Return what a training step calls: the compiled network for full batches only, since it has a fixed shape."""
        partial = self.recipe.compile and self.fabric.world_size == 1 and count < self.recipe.batch
        network: nn.Module = self.network if partial else self.model
        return network

    def _share(self, images: int, step: int, first: int, last: int) -> float:
        """Return the weight of this process's mean loss in the update from batches ``first`` to ``last``."""
        whole = [min(self.recipe.batch, images - batch * self.recipe.batch) for batch in range(first, last + 1)]
        mine = whole[step - first]
        return share_of(mine, self.recipe.batch, self.fabric.global_rank, self.fabric.world_size) * mine / sum(whole)

    def _summed(self, *values: float) -> list[float]:
        """Return the sum of each value over the processes."""
        mine = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        return torch.as_tensor(self.fabric.all_reduce(mine, reduce_op="sum")).tolist()

    def _loader(self, examples: Examples) -> Loader:
        """Return the loader of ``examples``, the same one in every epoch."""
        if id(examples) not in self._loaders:
            workers = worker_count(self.recipe.workers, self.fabric.world_size)
            self._loaders[id(examples)] = examples, Loader(examples, workers, self.fabric.device.type == "cuda")
        return self._loaders[id(examples)][1]


class _Losses:
    """The sum of an epoch's losses, kept on the device.

    Raises :class:`DivergedError` where the sum is no longer finite: on a CPU at once, on a GPU within some steps.
    """

    def __init__(self, device: torch.device, epoch: int) -> None:
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._every = 1 if device.type == "cpu" else LOOK_EVERY
        self._epoch = epoch
        self._images = 0

    def add(self, loss: Tensor, images: int, step: int) -> None:
        """Add the mean loss of ``images`` images."""
        self._sum += loss.detach().double() * images
        self._images += images
        if (step + 1) % self._every == 0:
            self.total()

    def total(self) -> tuple[float, int]:
        """Return the sum of the losses, and the number of images."""
        return require_finite(float(self._sum), "training loss", self._epoch), self._images


def _counted(lesion: Tensor, truth: Tensor) -> Tensor:
    """Count pixels of boolean masks ``(N, 1, S, S)``: ``(N, 3)``, in both, in the mask, in the truth."""
    return torch.stack([part.sum(dim=(1, 2, 3)) for part in (lesion & truth, lesion, truth)], dim=1)


def _confusions(counted: list[Tensor], pixels: int) -> Iterator[Confusion]:
    """Yield the confusion of each image from the counts of :func:`_counted`, copied from the device at once."""
    for both, mask, lesions in torch.cat(counted).tolist():
        yield Confusion(both, mask - both, lesions - both, pixels - mask - lesions + both)


def require_finite(value: float, what: str, epoch: int) -> float:
    """Return ``value``. Raises :class:`DivergedError` unless it is finite."""
    if not math.isfinite(value):
        raise DivergedError(f"The {what} became {value} in epoch {epoch}; expected a finite number.")
    return value
