"""Logging of epochs to TensorBoard, and to W&B and MLflow through Lightning's loggers."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from seglab.errors import MissingDependencyError, SeglabError
from seglab.files import write_text
from seglab.recipes.recipe import Recipe
from seglab.training.run_folder import TENSORBOARD, Epoch, Timing, plain

Log = Callable[[Epoch, Timing | None], None]
EVENT_FILES = "events.out.tfevents.*"
"""TensorBoard's."""
LOGGERS = ("wandb", "mlflow")
"""Names of loggers; each is also the name of an extra and of the package that it installs."""
PROJECT = "seglab"
KEPT = "loggers.json"
"""File in the run's folder: for each logger, the id of its run and how many epochs it has received."""


@contextlib.contextmanager
def event_log(out: Path, history: Sequence[Epoch], timing: Sequence[Timing]) -> Iterator[Log]:
    """Yield a function that writes an epoch to TensorBoard's event files.

    ``history``, ``timing``: the epochs done so far. They are written anew, because TensorBoard stops reading at the
    place where a kill tore a file.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "The event log needs tensorboard; install it with: pip install 'seglab[train]'"
        ) from error

    for earlier in list((out / TENSORBOARD).glob(EVENT_FILES)):
        earlier.unlink()
    writer = SummaryWriter(str(out / TENSORBOARD))

    def write(epoch: Epoch, timing: Timing | None) -> None:
        values = dataclasses.asdict(epoch) | (dataclasses.asdict(timing) if timing else {})
        for key, value in values.items():
            if key != "epoch":
                writer.add_scalar(key, value, epoch.epoch)
        writer.flush()

    seconds = {row.epoch: row for row in timing}
    try:
        for epoch in history:
            write(epoch, seconds.get(epoch.epoch))
        yield write
    finally:
        writer.close()


def require_loggers(names: Sequence[str]) -> None:
    """Raise :class:`MissingDependencyError` for a logger whose package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"--logger {name} needs the package {name}; install it with: pip install 'seglab[{name}]'"
            )


@contextlib.contextmanager
def loggers(out: Path, names: Sequence[str], recipe: Recipe, history: Sequence[Epoch]) -> Iterator[Log]:
    """Yield a function that logs an epoch to the loggers of these names, and to those that the run used before.

    ``history``: the epochs done so far; a logger first receives those that it misses. The loggers are configured by
    their own environment variables (``WANDB_MODE``, ``MLFLOW_TRACKING_URI``). Raises like :func:`require_loggers`, and
    :class:`SeglabError` where a tracker fails.
    """
    kept = _kept(out)
    wanted = list(dict.fromkeys((*kept, *names)))
    require_loggers(wanted)
    made = {}
    for name in wanted:
        with _said_of(name):
            made[name] = _made(name, out, kept.get(name, {}).get("run"))
            if name not in kept:  # trackers do not let settings change; the run's own files record changes
                made[name].log_hyperparams(plain(recipe))

    def tell(epoch: Epoch, timing: Timing | None) -> None:
        values = dataclasses.asdict(epoch) | (dataclasses.asdict(timing) if timing else {})
        for name, logger in made.items():
            with _said_of(name):
                told = kept.setdefault(name, {"run": _run_id(name, logger), "epochs": 0})
                if epoch.epoch > told["epochs"]:
                    metrics = {key: value for key, value in values.items() if key != "epoch"}
                    logger.log_metrics(metrics, step=epoch.epoch)
                    told["epochs"] = epoch.epoch
        if made:
            write_text(out / KEPT, json.dumps(kept) + "\n")

    status = "failed"
    try:
        for epoch in history:
            tell(epoch, None)
        yield tell
        status = "success"
    finally:
        for logger in made.values():
            logger.finalize(status)


@contextlib.contextmanager
def _said_of(name: str) -> Iterator[None]:
    """Raise :class:`SeglabError` for the errors of a tracker and of its HTTP library."""
    try:
        yield
    except Exception as error:
        raise SeglabError(
            f"--logger {name} failed ({type(error).__name__}: {error}). Check its environment variables and its "
            "server, then continue with --resume, which also logs the epochs that it missed."
        ) from error


def _made(name: str, out: Path, run: str | None) -> Any:
    from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

    if name == "mlflow":
        uri = os.environ.get("MLFLOW_TRACKING_URI")  # Lightning itself reads it only on import
        return MLFlowLogger(PROJECT, run_name=out.resolve().name, tracking_uri=uri, run_id=run)
    return WandbLogger(out.resolve().name, save_dir=out, project=PROJECT, id=run, resume="allow")


def _run_id(name: str, logger: Any) -> str:
    return str(logger.run_id if name == "mlflow" else logger.experiment.id)


def _kept(out: Path) -> dict[str, dict[str, Any]]:
    try:
        kept = json.loads((out / KEPT).read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
