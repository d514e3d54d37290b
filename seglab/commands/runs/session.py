"""A training session: every process trains; the first one writes files and prints."""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from seglab.cli_support import echo, progress, said_of, say_of_stops
from seglab.commands.runs.request import COMMAND, Task
from seglab.commands.runs.taught import start_remarks, teacher_remarks
from seglab.errors import CheckpointError, DataError, DivergedError, WriteError
from seglab.words import counted

if TYPE_CHECKING:
    from pathlib import Path

    from lightning.fabric import Fabric

    from seglab.commands.runs.pairs import RunPairs
    from seglab.data.splits import Split
    from seglab.evaluation.pages.run import RunPage
    from seglab.evaluation.validate import Verdict
    from seglab.training.loop import Trainer
    from seglab.training.run_folder import Epoch

SAFE_RATE = 1e-3
"""Highest learning rate that is suggested after the loss became NaN or infinite."""
USED = "used"
"""Key in ``settings.json``: how much of each data set is used, and why the rest is not."""


@contextlib.contextmanager
def reserved(task: Task) -> Iterator[None]:
    """Lock the run's folder. Raises :class:`WriteError` where another command holds it, or trained in it meanwhile."""
    from seglab.files import sha256
    from seglab.training.lock import held
    from seglab.training.run_folder import LAST

    last = task.out / LAST
    with held(task.out):
        if last.exists() and (task.start is None or sha256(last) != task.start.sha256):
            raise WriteError(f"Another command trained in {task.out} meanwhile. Run this command again.")
        yield


def train_in_session(task: Task, fabric: Fabric, precision: str, pairs: RunPairs, until: float = math.inf) -> None:
    """Train the task in every process. ``until``: see :meth:`seglab.training.loop.Trainer.run`."""
    from seglab.training.failures import said_in_words
    from seglab.training.loop import Trainer
    from seglab.training.resuming import record_of

    changes = task.start.training.get("changes", []) if task.start else []
    if task.changes:
        changes = [*changes, record_of(task.changes, task.done)]
    with said_in_words():
        trainer = Trainer(
            task.recipe, pairs.split.training, pairs.split.validation, fabric=fabric, precision=precision,
            about=pairs.about | ({"changes": changes} if changes else {}), start=task.start,
        )  # fmt: skip
        if fabric.is_global_zero:
            _keep_log(trainer, task, pairs, until)
        else:
            with _advised(trainer, task.out):  # this process may be the first to fail, and then prints the reason
                for _ in trainer.run(task.out, _just_iterate, until):
                    pass


def _keep_log(trainer: Trainer, task: Task, pairs: RunPairs, until: float) -> None:
    from seglab.training.loggers import event_log, loggers

    page = _write_beginning(trainer, task, pairs)
    with (
        event_log(task.out, trainer.history, trainer.timing) as log_event,
        loggers(task.out, task.loggers, task.recipe, trainer.history) as tell,
        _advised(trainer, task.out),
    ):
        for epoch in trainer.run(task.out, _track, until):
            log_event(epoch, trainer.timing[-1])
            tell(epoch, trainer.timing[-1])
            page.write(trainer.history, trainer.timing)
            say_of_stops(f"Interrupted after epoch {epoch.epoch}; continue with: {go_on(task.out)}")
            echo(_epoch_line(epoch, trainer.recipe.epochs, trainer.timing[-1].images_per_second), err=True)
            _require_credible(epoch, task.out)
    _end(trainer, task, pairs.split, page)


def _write_beginning(trainer: Trainer, task: Task, pairs: RunPairs) -> RunPage:
    from seglab.data.splits import write_split
    from seglab.evaluation.batch_sheet import draw_batch
    from seglab.evaluation.pages.machine import machine_facts
    from seglab.evaluation.pages.run import RunPage
    from seglab.networks.build import parameter_count
    from seglab.training import resuming, run_folder

    split = pairs.split
    about = {
        "data": trainer.about["data"],
        USED: pairs.used,
        COMMAND: task.told.plain(),
        "precision": trainer.precision,
        "parameters": parameter_count(trainer.network),
        **{key: trainer.about[key] for key in ("changes",) if key in trainer.about},
    }
    write_split(task.out / run_folder.SPLIT, split)
    run_folder.write_settings(task.out, trainer.recipe, about)
    for line in _first_lines(trainer, task, split, about["parameters"]):
        echo(line, err=True)
    for line in (*resuming.remarks(task.changes, task.recipe, task.done), *teacher_remarks(task.recipe, split)):
        echo(line, err=True)
    if not task.start:
        for line in start_remarks(task.recipe):
            echo(line, err=True)
        draw_batch(task.out / run_folder.BATCH, trainer.examples)
    page = RunPage(task.out, task.recipe, about, machine_facts(str(trainer.fabric.device)), say_no_page)
    if not trainer.is_finished:
        page.write(trainer.history, trainer.timing)
    return page


def say_no_page(error: Exception) -> None:
    """Print that a page cannot be written, and why."""
    said = (said_of(error) if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    echo(f"No page is written, and nothing else is affected: {said}", err=True)


def _first_lines(trainer: Trainer, task: Task, split: Split, parameters: int) -> list[str]:
    """Return the lines that are printed at the start: images, network, training, and output folder."""
    from seglab.recipes.recipe import network_name
    from seglab.terminal import aligned

    recipe, device = trainer.recipe, trainer.fabric.device
    side = recipe.size
    images = f"{counted(len(split.training), 'image')} train, {len(split.validation)} validate, {len(split.test)} test"
    return aligned(
        [
            ("split", f"{split.method}: {images}"),
            ("network", f"{network_name(recipe)}, {parameters / 1e6:.2f} million weights, {side} x {side} pixels"),
            (
                "training",
                f"{counted(recipe.epochs, 'epoch')}, batches of {recipe.batch}; {device}, {trainer.precision}",
            ),
            ("run", str(task.out)),
        ]
    )


def _end(trainer: Trainer, task: Task, split: Split, page: RunPage) -> None:
    from seglab.training import run_folder

    done, best = len(trainer.history), trainer.best()
    _require_credible(best, task.out)
    if not trainer.is_finished:
        echo(
            f"Stopped after epoch {done} of {task.recipe.epochs}: the next one would probably not end within --hours. "
            f"Continue with: {go_on(task.out)}",
            err=True,
        )
    elif done > task.done or not run_folder.is_scored(task.out):
        _measure_suitability(task.out, split, str(trainer.fabric.device))
        _score(trainer, task.out, split, page)
    else:
        echo(
            f"{task.out} is finished after {counted(done, 'epoch')}. For more: {go_on(task.out)} --set epochs=N",
            err=True,
        )
    echo(
        f"{task.out / run_folder.BEST}: epoch {best.epoch}, validation Dice {best.val_dice:.4f}, IoU {best.val_iou:.4f}"
    )
    if trainer.is_finished and not task.is_fold:
        echo(f"Next: seg-export onnx {shlex.quote(str(task.out))} --out model.onnx", err=True, whole=True)


def _require_credible(epoch: Epoch, out: Path) -> None:
    from seglab.training.run_folder import SPLIT

    if epoch.val_dice == 1.0:
        raise DataError(
            f"Every validation image scored exactly 1.0000 in epoch {epoch.epoch}; expected some errors. The truth "
            f"masks are probably read as empty: check them with `seglab inspect`, and check {out / SPLIT}."
        )


@contextlib.contextmanager
def _advised(trainer: Trainer, out: Path) -> Iterator[None]:
    """Add to a :class:`DivergedError` from which epoch to continue, and with which command."""
    try:
        yield
    except DivergedError as error:
        rate = f"--set lr={min(trainer.recipe.lr / 10, SAFE_RATE):g}"
        way = f"continue from epoch {len(trainer.history)} with" if trainer.history else "start again with"
        call = f"{go_on(out)} {rate}" if trainer.history else f"{rate} in the same command"
        raise DivergedError(f"{error} Nothing of that epoch was kept: {way} a lower learning rate: {call}") from error


def said_at_the_beginning(out: Path) -> str:
    """Return the message for a stop before the first epoch was printed; the epoch may already have been saved."""
    from seglab.training.run_folder import LAST

    if (out / LAST).exists():
        return f"Interrupted; continue with: {go_on(out)}"
    return "Interrupted before the first epoch was saved; run the same command again to start anew."


def go_on(out: Path) -> str:
    """Return the command that resumes a run."""
    return f"seglab train --resume {shlex.quote(str(out))}"


def limit_of(hours: float | None) -> float:
    """Return the time, by :func:`time.monotonic`, at which so many hours are over."""
    return math.inf if hours is None else time.monotonic() + 3600 * hours


def _score(trainer: Trainer, out: Path, split: Split, page: RunPage) -> None:
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.pages.scored import ScoredImages, predicted
    from seglab.evaluation.scoring import score_run
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.training import run_folder

    predictor = Predictor(load_checkpoint(out / run_folder.BEST), device=str(trainer.fabric.device))
    pairs = split.validation

    def show(verdict: Verdict) -> None:
        scored = ScoredImages(verdict, pairs, predicted(predictor, pairs), "The best network on the validation images.")
        page.write(trainer.history, trainer.timing, scored)

    with progress(len(pairs), "scores", "image") as bar:
        score_run(out, predictor, pairs, bar.update, show)


def _measure_suitability(out: Path, split: Split, device: str) -> None:
    """Add the score ``suitable`` to the run's best checkpoint, or print why it cannot be measured."""
    from seglab.commands.suitable import with_suitability
    from seglab.networks.checkpoints import load_checkpoint, save_checkpoint
    from seglab.training import run_folder

    best = load_checkpoint(out / run_folder.BEST)
    try:
        best = with_suitability(best, split.training, split.validation, device)
    except (CheckpointError, DataError) as error:
        echo(f"No score `suitable`: {error}", err=True)
        return
    save_checkpoint(best, out / run_folder.BEST)


def _track(batches: Iterable[Any], description: str) -> Iterable[Any]:
    with progress(len(batches), description, "batch") as bar:  # type: ignore[arg-type]
        for batch in batches:
            yield batch
            bar.update()


def _just_iterate(batches: Iterable[Any], _description: str) -> Iterable[Any]:
    return batches


def _epoch_line(epoch: Epoch, epochs: int, rate: float) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: loss {epoch.train_loss:.3f}, val loss {epoch.val_loss:.3f}, "
        f"Dice {epoch.val_dice:.4f}, IoU {epoch.val_iou:.4f}, {rate:.1f} images/s"
    )
