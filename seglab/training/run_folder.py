"""The folder of a training run: its files, and functions to write and read them.

``settings.json`` (recipe, data, tools), ``split.json`` (ids), ``log.csv`` (a row per epoch; equal for equal runs),
``timing.csv`` (a row per epoch; differs from machine to machine), ``curves.png``, ``batch.jpg`` (augmented training
examples), ``tensorboard/``, the checkpoints ``best.pt`` and ``last.pt``, ``report.html`` (a page of all this and of the
scores). Results of ``best.pt`` at the images' own sizes: ``scores.csv`` (a row per validation image), ``scores.json``,
``examples.jpg``, ``side_by_side.jpg``, ``confusion.png``. For folds (``--folds``) these results are in
``out-of-fold/``.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import CheckpointError, ConfigError, DataError
from seglab.files import write_text
from seglab.networks import run_weights
from seglab.recipes.recipe import Recipe, make_recipe

BEST, LAST = run_weights.BEST, "last.pt"
SETTINGS, SPLIT, LOG, TIMING = "settings.json", "split.json", "log.csv", "timing.csv"
CURVES, EXAMPLES, BATCH, TENSORBOARD = "curves.png", "examples.jpg", "batch.jpg", "tensorboard"
SCORES_CSV, SCORES_JSON, SIDE_BY_SIDE, CONFUSION = "scores.csv", "scores.json", "side_by_side.jpg", "confusion.png"
REPORT = "report.html"
OUT_OF_FOLD = "out-of-fold"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Epoch:
    """A row of ``log.csv``. Losses are means over images; Dice and IoU are per image at S x S, then averaged."""

    epoch: int
    train_loss: float
    val_loss: float
    val_dice: float
    val_iou: float
    lr: float


@dataclass(frozen=True)
class Timing:
    """A row of ``timing.csv``: seconds of the whole epoch, and images per second in its training part."""

    epoch: int
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Run:
    """A run that was read. ``about``: ``settings.json`` without the recipe (data, device, precision, parameters)."""

    path: Path
    recipe: Recipe
    about: dict[str, Any]
    history: tuple[Epoch, ...]
    timing: tuple[Timing, ...]

    @property
    def best(self) -> Epoch:
        """The best epoch, which ``best.pt`` is from."""
        return best_epoch(self.history, self.recipe.monitor)

    @property
    def finished(self) -> bool:
        """Whether the run reached its last epoch, or stopped early by the recipe's ``patience``."""
        return len(self.history) == self.recipe.epochs or stops_early(self.history, self.recipe)


def is_scored(out: Path) -> bool:
    """Return whether ``best.pt`` is scored: the picture that is drawn last at the end of a run is newer than it, and
    there is a page.
    """
    last = out / CONFUSION
    is_drawn = last.exists() and last.stat().st_mtime_ns >= (out / BEST).stat().st_mtime_ns
    return is_drawn and os.path.lexists(out / REPORT)


def best_epoch(history: Sequence[Epoch], monitor: str) -> Epoch:
    """Return the first epoch with the best value of ``monitor``: the highest ``val_dice`` or lowest ``val_loss``."""
    sign = -1 if monitor == "val_loss" else 1
    return max(history, key=lambda epoch: sign * getattr(epoch, monitor))


def stops_early(history: Sequence[Epoch], recipe: Recipe) -> bool:
    """Return whether the monitored value did not improve in the last ``patience`` epochs."""
    if not recipe.patience or not history:
        return False
    return len(history) - history.index(best_epoch(history, recipe.monitor)) > recipe.patience


def recipe_of(values: dict[str, Any], path: Path) -> Recipe:
    """Return the recipe in ``values``, read from the file ``path``; settings that are missing get their defaults.

    Raises :class:`CheckpointError` for settings that this version does not know.
    """
    try:
        return make_recipe(values)
    except ConfigError as error:
        raise CheckpointError(
            f"{path} was written by another version of seglab, probably a newer one: {error} Install that version."
        ) from error


def write_settings(out: Path, recipe: Recipe, about: dict[str, Any]) -> None:
    """Write ``settings.json``."""
    values = {"format_version": FORMAT_VERSION, "recipe": plain(recipe), **about}
    write_text(out / SETTINGS, json.dumps(values, indent=1) + "\n")


def write_epochs(out: Path, history: Sequence[Epoch], timing: Sequence[Timing]) -> None:
    """Write ``timing.csv`` and ``log.csv``, each atomically."""
    write_timing(out, timing)
    write_csv(out / LOG, (dataclasses.asdict(epoch) for epoch in history))


def read_run(path: Path) -> Run:
    """Read a run's settings and logs. Raises :class:`DataError` where ``path`` is no run with a finished epoch."""
    try:
        settings = json.loads((path / SETTINGS).read_text())
        recipe = recipe_of(settings.pop("recipe"), path / SETTINGS)
        history = tuple(Epoch(int(row.pop("epoch")), **_numbers(row)) for row in _rows(path / LOG))
        timing = read_timing(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not the folder of a training run ({error}); expected what `seglab train --out` wrote. Check "
            "the path, or train again."
        ) from error
    if not history:
        raise DataError(f"{path} has no finished epoch yet; expected at least one. Wait, or continue with --resume.")
    return Run(path, recipe, settings, history, timing)


def write_timing(out: Path, timing: Sequence[Timing]) -> None:
    """Write ``timing.csv``."""
    write_csv(out / TIMING, (dataclasses.asdict(row) for row in timing))


def read_timing(path: Path) -> tuple[Timing, ...]:
    """Return the rows of ``timing.csv``; none where there is no such file."""
    if not (path / TIMING).exists():
        return ()
    return tuple(Timing(int(row.pop("epoch")), **_numbers(row)) for row in _rows(path / TIMING))


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write dictionaries with the same keys as CSV, numbers with six significant digits."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values for JSON, TOML and checkpoints (lists for tuples)."""
    values = dataclasses.asdict(recipe)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items()}
