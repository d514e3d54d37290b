"""Starting a training: a new run, a resumed one, or all folds of a cross-validation."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from seglab.cli_support import require_packages, say_of_stops
from seglab.commands.runs.fold_plan import Plan, holds_folds, new_folds, resumed_folds
from seglab.commands.runs.folds import train_folds
from seglab.commands.runs.pairs import RunPairs, pairs_of
from seglab.commands.runs.request import Task, Told, new_task, resumed_task
from seglab.commands.runs.session import go_on, limit_of, reserved, said_at_the_beginning, train_in_session

ONE_PROCESS = (
    "--folds trains in one process; expected --devices and --nodes to be 1. Once it has started, folds can be trained "
    "separately, several at a time: seglab train --data DIR --split-file RUN/fold-0/split.json --out RUN/fold-0. "
    "In the end --resume RUN scores them."
)
PACKAGES = ("torch", "torchvision", "lightning", "matplotlib", "tensorboard")


def train_run(
    told: Told,
    *,
    recipe: str | None = None,
    changes: Sequence[str] = (),
    out: Path | None = None,
    folds: int | None = None,
    resume: str | None = None,
    hours: float | None = None,
    loggers: tuple[str, ...] = (),
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
) -> Path:
    """Train a run, or folds, and return the folder. Arguments and errors are those of ``seglab train``.

    ``resume``: the folder of the run to resume; an empty text means ``out``; None starts a new run.
    """
    until, changes = limit_of(hours), tuple(changes)
    require_packages(PACKAGES, "This command trains in PyTorch")
    from seglab.training.loggers import require_loggers

    require_loggers(loggers)
    folder = None if resume is None else _folder_of(resume, out)
    if folds or (folder and holds_folds(folder)):
        if devices > 1 or nodes > 1:
            raise click.UsageError(ONE_PROCESS)
        plan = _plan(folder, out, folds, recipe, changes, told)
        told_of = functools.partial(dataclasses.replace, loggers=loggers, is_fold=True)
        train_folds(plan, device, lambda task: _run(told_of(task), device, devices, nodes, until))
        return plan.out
    if folder is None:
        task = new_task(out, recipe, changes, told)
        say_of_stops(lambda: said_at_the_beginning(task.out))
    else:
        task = resumed_task(folder, recipe, changes, told)
        say_of_stops(f"Interrupted after epoch {task.done}; continue with: {go_on(task.out)}")
    _run(dataclasses.replace(task, loggers=loggers), device, devices, nodes, until)
    return task.out


def _plan(
    folder: Path | None, out: Path | None, folds: int | None, recipe: str | None, changes: tuple[str, ...], told: Told
) -> Plan:
    if folder:
        return resumed_folds(folder, folds, recipe, changes, told)
    return new_folds(out, folds or 0, recipe, changes, told)


def _run(task: Task, device: str, devices: int, nodes: int, until: float) -> None:
    from seglab.networks.timing import step_seconds
    from seglab.training.device import choose_device, choose_precision, keep_freed_memory, make_fabric
    from seglab.training.processes import together

    chosen = choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    is_alone = devices * nodes == 1
    # Several processes must choose alike, so they go by the hardware and not by their own measurements.
    measure = functools.partial(step_seconds, task.recipe, chosen) if is_alone else None
    with contextlib.ExitStack() as stack:
        # Process 0 finds the pairs and sends them to the others.
        made = _made(task, stack) if is_alone else None
        precision = choose_precision(task.precision, chosen, measure)
        fabric = make_fabric(chosen, precision, devices, nodes)
        if fabric.is_global_zero and not is_alone:
            made = _made(task, stack)
        stack.enter_context(together(fabric))
        pairs = cast("RunPairs", fabric.broadcast(made))
        train_in_session(task, fabric, precision, pairs, until)


def _made(task: Task, stack: contextlib.ExitStack) -> RunPairs:
    stack.enter_context(reserved(task))
    return pairs_of(task)


def _folder_of(resume: str, out: Path | None) -> Path:
    """Return the folder that ``--resume`` names, or ``--out`` where ``--resume`` has no value."""
    if not resume and out is None:
        raise click.UsageError("--resume does not say which run. Name its folder: --resume RUN.")
    if resume and out is not None and Path(resume).resolve() != out.resolve():
        raise click.UsageError(
            f"--resume {resume} and --out {out} are different folders; a run is resumed in its own. Remove --out."
        )
    return Path(resume) if resume else out or Path()
