"""The folder of a training run: what is in it, how it is written, how it is read back.

``settings.json`` (recipe, data, tools), ``split.json`` (ids), ``log.csv`` (a row per epoch; equal for equal runs),
``timing.csv`` (what differs from machine to machine), ``curves.png``, ``examples.jpg``, ``tensorboard/``, and the
checkpoints ``best.pt`` and ``last.pt``.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import ConfigError, DataError, MissingDependencyError
from seglab.files import replacing, write_text
from seglab.recipes.recipe import Recipe, make_recipe

BEST, LAST = "best.pt", "last.pt"
SETTINGS, SPLIT, LOG, TIMING = "settings.json", "split.json", "log.csv", "timing.csv"
CURVES, EXAMPLES, TENSORBOARD = "curves.png", "examples.jpg", "tensorboard"
FORMAT_VERSION = 1
FREE_TO_CHANGE = {"workers", "precision", "compile"}
"""Settings that may differ between a run and the run that resumes it: they change nothing before."""


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
    """A row of ``timing.csv``: seconds of the whole epoch, and images/s of its training part."""

    epoch: int
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Run:
    """A run read back. ``about``: ``settings.json`` without the recipe (data, device, precision, parameters)."""

    path: Path
    recipe: Recipe
    about: dict[str, Any]
    history: tuple[Epoch, ...]
    timing: tuple[Timing, ...]

    @property
    def best(self) -> Epoch:
        """The epoch that ``best.pt`` is from."""
        return best_epoch(self.history, self.recipe.monitor)

    @property
    def finished(self) -> bool:
        """Whether the run went to its last epoch, or stopped early by its recipe."""
        return len(self.history) == self.recipe.epochs or stops_early(self.history, self.recipe)


def best_epoch(history: Sequence[Epoch], monitor: str) -> Epoch:
    """Return the first epoch with the best monitored value: the highest ``val_dice``, or the lowest ``val_loss``."""
    sign = -1 if monitor == "val_loss" else 1
    return max(history, key=lambda epoch: sign * getattr(epoch, monitor))


def stops_early(history: Sequence[Epoch], recipe: Recipe) -> bool:
    """Return whether the last ``patience`` epochs brought no better monitored value."""
    if not recipe.patience or not history:
        return False
    return len(history) - history.index(best_epoch(history, recipe.monitor)) > recipe.patience


def require_same(path: Path, training: dict[str, Any], recipe: Recipe, about_data: dict[str, Any]) -> None:
    """Raise :class:`ConfigError` where a checkpoint's ``training`` names another recipe, or other data.

    A recipe of an earlier version lacks settings that are new: they count as their defaults.
    """
    earlier = make_recipe(training["recipe"])
    changed = [
        f"{field.name} ({getattr(earlier, field.name)!r} before, {getattr(recipe, field.name)!r} now)"
        for field in dataclasses.fields(Recipe)
        if field.name not in FREE_TO_CHANGE and getattr(earlier, field.name) != getattr(recipe, field.name)
    ]
    if training["data"] != about_data:
        changed.append(f"the data ({training['data']} before, {about_data} now)")
    if changed:
        raise ConfigError(
            f"{path} was trained otherwise: {'; '.join(changed)}. Resume with the same settings, or name a new --out."
        )


def write_settings(out: Path, recipe: Recipe, about: dict[str, Any]) -> None:
    """Write ``settings.json``."""
    values = {"format_version": FORMAT_VERSION, "recipe": plain(recipe), **about}
    write_text(out / SETTINGS, json.dumps(values, indent=1) + "\n")


def write_epochs(out: Path, history: Sequence[Epoch], timing: Sequence[Timing]) -> None:
    """Write ``log.csv``, ``timing.csv`` and ``curves.png``, each as a whole."""
    write_csv(out / LOG, (dataclasses.asdict(epoch) for epoch in history))
    write_csv(out / TIMING, (dataclasses.asdict(row) for row in timing))
    draw_curves(out / CURVES, history)


@contextlib.contextmanager
def event_log(out: Path, done: int) -> Iterator[Callable[[Epoch, Timing], None]]:
    """Yield what writes an epoch to TensorBoard's event files; ``done``: epochs that an earlier run logged."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "The event log needs tensorboard; install it with: pip install 'seglab[train]'"
        ) from error

    writer = SummaryWriter(str(out / TENSORBOARD), purge_step=done + 1)

    def write(epoch: Epoch, timing: Timing) -> None:
        for key, value in (dataclasses.asdict(epoch) | dataclasses.asdict(timing)).items():
            if key != "epoch":
                writer.add_scalar(key, value, epoch.epoch)
        writer.flush()

    try:
        yield write
    finally:
        writer.close()


def read_run(path: Path) -> Run:
    """Read a run's settings and logs. Raises :class:`DataError` where the folder holds no whole run."""
    try:
        settings = json.loads((path / SETTINGS).read_text())
        recipe = make_recipe(settings.pop("recipe"))
        history = tuple(Epoch(int(row.pop("epoch")), **_numbers(row)) for row in _rows(path / LOG))
        timing = read_timing(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not the folder of a training run ({error}); expected one that `seglab train --out` wrote. "
            "Check the path, or train it again."
        ) from error
    if not history:
        raise DataError(f"{path} has no finished epoch yet; expected a run with some. Wait, or go on with --resume.")
    return Run(path, recipe, settings, history, timing)


def read_timing(path: Path) -> tuple[Timing, ...]:
    """Return the rows of ``timing.csv``; none where there is no such file."""
    if not (path / TIMING).exists():
        return ()
    return tuple(Timing(int(row.pop("epoch")), **_numbers(row)) for row in _rows(path / TIMING))


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write dictionaries of the same keys as CSV, numbers with six significant digits."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as values that JSON, TOML and checkpoints hold (lists for tuples)."""
    values = dataclasses.asdict(recipe)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def draw_curves(path: Path, history: Sequence[Epoch]) -> None:
    """Draw losses, scores and learning rate over epochs as a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError("Curves need matplotlib; install it with: pip install 'seglab[train]'") from error

    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [epoch.epoch for epoch in history]
    panels = (("loss", ("train_loss", "val_loss")), ("score", ("val_dice", "val_iou")), ("learning rate", ("lr",)))
    for axes, (label, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            values = [getattr(epoch, name) for epoch in history]
            axes.plot(epochs, values, marker=".", label=f"{name.replace('_', ' ')} {values[-1]:.4g}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _numbers(row: dict[str, str]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items()}
