"""The training loop: epochs on one process or several; the run's files are written after each."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seglab.data.augmentation import augmentation_of
from seglab.data.examples import Examples
from seglab.data.pairs import Pair
from seglab.data.soft_masks import soft_masks_of
from seglab.errors import CheckpointError, DivergedError
from seglab.networks.build import build_network, network_spec, quantised_as, require_single_fits, require_size_fits
from seglab.networks.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from seglab.networks.normalisation import NORMALISATION
from seglab.networks.quantised import Quantised
from seglab.recipes.recipe import Recipe
from seglab.training import run_folder
from seglab.training.beginning import begun
from seglab.training.curves import draw_curves
from seglab.training.determinism import repeatable
from seglab.training.device import require_compiler
from seglab.training.distributed import leave_out_idle, normalise_globally
from seglab.training.optimizers import Schedule, average_of, make_optimiser
from seglab.training.run_folder import Epoch, Timing, best_epoch, plain, stops_early
from seglab.training.steps import Steps, Track, require_finite

if TYPE_CHECKING:
    from lightning.fabric import Fabric


DRAWN_EVERY = 20.0
"""Least seconds between two drawings of the curves, because drawing takes as long as an epoch of a small run."""


class Trainer:
    """Trains a recipe on pairs, epoch by epoch.

    ``fabric``: from :func:`seglab.training.device.make_fabric`; with several processes, use the trainer within
    :func:`seglab.training.processes.together`. ``about``: what checkpoints keep beside the recipe: ``data``, ``split``
    (ids by part), ``changes``. ``start``: ``last.pt`` of the run to resume; only settings that may change
    (:mod:`seglab.training.resuming`) may differ. Raises :class:`CheckpointError` where it cannot be resumed.
    """

    def __init__(
        self,
        recipe: Recipe,
        training: Sequence[Pair],
        validation: Sequence[Pair],
        *,
        fabric: Fabric,
        precision: str = "fp32",
        about: dict[str, Any] | None = None,
        start: Checkpoint | None = None,
    ) -> None:
        self.recipe = recipe
        self.fabric = fabric
        self.precision = precision
        self.about = about or {}
        self.history: list[Epoch] = []
        self.timing: list[Timing] = []
        soft = soft_masks_of(recipe, training)
        self.examples = Examples(training, recipe.size, augmentation_of(recipe), recipe.seed, recipe.hair, soft)
        self.validation = Examples(validation, recipe.size, hair=recipe.hair)
        torch.manual_seed(recipe.seed)
        self.spec = start.network if start else network_spec(recipe)
        self.network = self._network(is_new=start is None)
        self.average = average_of(self.network, recipe.ema)
        optimiser = make_optimiser(recipe, self.network)
        self.model, self.optimiser = fabric.setup(self._compiled(), optimiser)
        self.schedule = Schedule(recipe, optimiser)
        self.steps = Steps(
            recipe, fabric, network=self.network, model=self.model, optimiser=self.optimiser, schedule=self.schedule,
            average=self.average,
        )  # fmt: skip
        self.start = start
        if start:
            self._go_on_from(start)

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left, by the recipe's ``epochs`` or ``patience``."""
        return len(self.history) >= self.recipe.epochs or stops_early(self.history, self.recipe)

    def run(self, out: Path, track: Track, until: float = math.inf) -> Iterator[Epoch]:
        """Train the remaining epochs; after each, write the run's files and yield the epoch's figures.

        ``until``: time by :func:`time.monotonic`; after the first epoch, another starts only if it will probably end by
        then. Raises :class:`DivergedError` for a loss of NaN or infinity; the files stay those of the epoch before.
        """
        writes = self.fabric.is_global_zero
        if writes and self.start:
            self._make_up_for(self.start, out)
        slowest, drawn = 0.0, time.monotonic()
        with repeatable(self.fabric.device):
            while not self.is_finished and not self._is_late(slowest, until):
                try:
                    epoch, timing = self._epoch(len(self.history) + 1, track)
                except (DivergedError, KeyboardInterrupt):
                    if writes and self.history:
                        self._draw(out)
                    raise
                slowest = max(slowest, timing.seconds)
                self.history.append(epoch)
                self.timing.append(timing)
                if writes:
                    self._save(out)
                if writes and time.monotonic() > drawn + DRAWN_EVERY:
                    drawn = self._draw(out)
                self.fabric.barrier()
                yield epoch
        if writes:
            self._draw(out)

    def _draw(self, out: Path) -> float:
        """Draw the curves; return the time by :func:`time.monotonic`."""
        draw_curves(out / run_folder.CURVES, self.history)
        return time.monotonic()

    def _make_up_for(self, start: Checkpoint, out: Path) -> None:
        """Write the files that are missing because the run was killed after it wrote ``last.pt`` of its last epoch."""
        best = out / run_folder.BEST
        if self.best() is self.history[-1]:
            if not best.exists() or load_checkpoint(best).training["epoch"] != self.best().epoch:
                save_checkpoint(dataclasses.replace(start, resume={}), best)
        elif not best.exists():
            raise CheckpointError(
                f"{best} does not exist; expected the checkpoint of epoch {self.best().epoch}, the run's best. Copy it "
                "back beside last.pt, or train again with another --out."
            )
        run_folder.write_epochs(out, self.history, self.timing)

    def _is_late(self, slowest: float, until: float) -> bool:
        """Return whether an epoch as slow as the slowest of this call would end too late; process 0 decides for all."""
        is_late = slowest > 0 and time.monotonic() + slowest > until
        return is_late if self.fabric.world_size == 1 else bool(self.fabric.broadcast(is_late))

    def _go_on_from(self, start: Checkpoint) -> None:
        state = start.resume
        try:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.restore(state["schedule"])
            if state["precision"] and self.precision == start.training["precision"]:
                self.fabric.strategy.precision.load_state_dict(state["precision"])
            if self.average:
                self.average.load_state_dict(state["average"])
            self.history = [Epoch(**row) for row in start.training["history"]]
            earlier = start.training["recipe"]
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{start.path} cannot be resumed ({error}); expected last.pt from this version of `seglab train`. "
                f"Start a new run, from its weights if you like: --set init={start.path}"
            ) from error
        if earlier.get("lr", self.recipe.lr) != self.recipe.lr:
            self._take_rate()
        for group in self.optimiser.param_groups:
            group["weight_decay"] = self.recipe.weight_decay
        if start.path:
            done = {epoch.epoch for epoch in self.history}
            self.timing = [row for row in run_folder.read_timing(start.path.parent) if row.epoch in done]

    def _take_rate(self) -> None:
        """Set the recipe's learning rate from here on; parameter groups keep their ratios to it."""
        groups = self.optimiser.param_groups
        factor = self.recipe.lr / groups[0]["lr"]
        for group in groups:
            group["lr"] *= factor

    def best(self) -> Epoch:
        """Return the best epoch so far, which ``best.pt`` is from."""
        return best_epoch(self.history, self.recipe.monitor)

    def _epoch(self, number: int, track: Track) -> tuple[Epoch, Timing]:
        started = time.perf_counter()
        train_loss = self.steps.train(self.examples, number, track)
        trained = time.perf_counter()
        require_finite(train_loss, "training loss", number)
        val_loss, dice, iou = self.steps.validate(self.validation, number, track)
        require_finite(val_loss, "validation loss", number)
        lr = self.schedule.lr
        self.schedule.after_epoch(val_loss)
        rate = len(self.examples) / (trained - started)
        return Epoch(number, train_loss, val_loss, dice, iou, lr), Timing(number, time.perf_counter() - started, rate)

    def _network(self, is_new: bool) -> nn.Module:
        # The weights of `init` replace all others, so pretrained encoder weights are not downloaded.
        weights = self.recipe.encoder_weights if is_new and not self.recipe.init else None
        network = build_network(self.spec, weights or None)
        require_size_fits(network, self.spec, self.recipe.size)
        if min(self.recipe.batch, len(self.examples)) == 1:
            require_single_fits(network, self.spec, self.recipe.size)
        if is_new:
            network, self.spec = begun(network, self.spec, self.recipe, self.examples.pairs)
        else:
            network = quantised_as(network, self.spec)
        if isinstance(network, Quantised):
            network.simulates = True
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
        run_folder.write_timing(out, self.timing)
        checkpoint = self._checkpoint()
        resume = {
            "network": _on_cpu(self.network),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": self.average.state_dict() if self.average else {},
        }
        save_checkpoint(dataclasses.replace(checkpoint, resume=resume), out / run_folder.LAST)
        if self.best() is self.history[-1]:
            save_checkpoint(checkpoint, out / run_folder.BEST)
        run_folder.write_epochs(out, self.history, self.timing)

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
                **self.about,
                "precision": self.precision,
                "epoch": len(self.history),
                "history": [dataclasses.asdict(epoch) for epoch in self.history],
                "tools": {"torch": str(torch.__version__)},
            },
        )


def _on_cpu(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
