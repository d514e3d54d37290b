"""``seglab train --folds K``: K runs that each validate on one fold, and scores over all images."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.cli_support import echo, progress, say_of_stops
from seglab.commands.places import require_outside
from seglab.commands.runs.fold_plan import Plan, holds_folds, write_plan
from seglab.commands.runs.pairs import DEFAULT_MODE, looked_at
from seglab.commands.runs.request import Task, new_task, resumed_task
from seglab.commands.runs.session import go_on, say_no_page
from seglab.errors import DataError
from seglab.words import counted

if TYPE_CHECKING:
    from seglab.data.collection import Collection
    from seglab.data.pairs import Pair
    from seglab.data.splits import Split
    from seglab.evaluation.out_of_fold import Fold, OutOfFold
    from seglab.pages.page import Page
    from seglab.recipes.recipe import Recipe


def train_folds(plan: Plan, device: str, train: Callable[[Task], None]) -> None:
    """Train each fold as an ordinary run with ``train``, then score every image with the run that validated on it."""
    from seglab.training.lock import held
    from seglab.training.run_folder import BEST

    with held(plan.out):
        say_of_stops(f"Interrupted; continue with: {go_on(plan.out)}")
        if not holds_folds(plan.out):
            say_of_stops("Interrupted before the first fold began; run the same command again.")
            _divide(plan)
        write_plan(plan)
        for run in plan.runs:
            if not _is_complete(run, plan.recipe):
                echo(f"{run.name}:", err=True)
                _train(plan, run, train)
            if not _is_trained(run):
                echo(f"{run.name} is not finished. Continue with all folds: {go_on(plan.out)}", err=True)
                return
        say_of_stops(f"Interrupted; continue with: {go_on(plan.out)}")
        _score(plan, device)
    command = ["seg-export", "onnx", "--ensemble", *(str(run / BEST) for run in plan.runs)]
    line = shlex.join([*command, "--out", str(plan.out / "ensemble.onnx")])
    echo(f"To export one model of all folds: {line}", whole=True)


def _train(plan: Plan, run: Path, train: Callable[[Task], None]) -> None:
    try:
        train(_task(plan, run))
    except KeyboardInterrupt:  # the message of a single run names that run only
        say_of_stops(f"Interrupted; continue with all folds: {go_on(plan.out)}")
        raise


def _divide(plan: Plan) -> None:
    """Write the split of every fold and print the sizes."""
    from seglab.data.splits import write_split
    from seglab.training.run_folder import SPLIT

    splits = _splits(plan)
    for run, split in zip(plan.runs, splits, strict=True):
        write_split(run / SPLIT, split)
    sizes = ", ".join(str(len(split.validation)) for split in splits)
    kept = f"; {counted(len(splits[0].test), 'pair')} of the official test part in no fold" if splits[0].test else ""
    echo(
        f"{counted(plan.count, 'fold')} by lesion, of {sizes} pairs{kept}. split={plan.recipe.split} has no effect.",
        err=True,
    )


def _splits(plan: Plan) -> list[Split]:
    """Return the split of every fold. All are inspected before the first trains: a picture may be in two folds."""
    from seglab.data.folds import fold_splits
    from seglab.data.groups import with_twins
    from seglab.data.splits import EXCLUDED, read_ids

    collection = plan.told.named.collect()
    require_outside(plan.out, collection.pairs)
    excluded = with_twins({id for source in plan.told.exclude for id in read_ids(source)})
    left_out = tuple(pair for pair in collection.pairs if pair.id in excluded)
    kept = [pair for pair in collection.pairs if pair.id not in excluded]
    splits = [
        dataclasses.replace(split, unused={**split.unused, **({EXCLUDED: left_out} if left_out else {})})
        for split in fold_splits(kept, plan.count, plan.recipe.seed)
    ]
    splits = looked_at(collection, splits, plan.told.mode or DEFAULT_MODE, plan.recipe)
    _say_used(collection, splits)
    return splits


def _say_used(collection: Collection, splits: Sequence[Split]) -> None:
    """Print how many pairs validate or test, and why the others are unused."""
    from seglab.data.collection import used_lines

    parts = {"validation": [pair for split in splits for pair in split.validation], "test": splits[0].test}
    said = {pair.source for pairs in parts.values() for pair in pairs}
    unused: dict[str, list[Pair]] = {}
    for reason, pair in (
        (reason, pair) for split in splits for reason, pairs in split.unused.items() for pair in pairs
    ):
        if pair.source not in said:
            said.add(pair.source)
            unused.setdefault(reason, []).append(pair)
    for line in used_lines(collection, parts, unused):
        echo(line, err=True)


def _task(plan: Plan, run: Path) -> Task:
    """Return the task that begins or resumes a fold."""
    from seglab.training.run_folder import LAST, SPLIT

    told = dataclasses.replace(plan.told, exclude=(), mode=None)
    if (run / LAST).exists():
        return resumed_task(run, None, plan.changes, told)
    told = dataclasses.replace(told, split_file=run / SPLIT, mode="off", begun={})
    return dataclasses.replace(new_task(run, None, (), told), recipe=plan.recipe)


def _is_complete(run: Path, recipe: Recipe) -> bool:
    """Return whether the run is trained to the end of the recipe, and scored."""
    from seglab.training.run_folder import is_scored, read_run

    return _is_trained(run) and is_scored(run) and read_run(run).recipe == recipe


def _is_trained(run: Path) -> bool:
    from seglab.training.run_folder import read_run

    try:
        return read_run(run).finished
    except DataError:
        return False


def _folds(plan: Plan) -> list[Fold]:
    """Return the folds with the pairs that their checkpoints name, found in the data as they are now."""
    from seglab.data.kept_split import missing_ids, split_by_ids
    from seglab.evaluation.out_of_fold import Fold
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.training.run_folder import BEST

    collection, folds = plan.told.named.collect(), []
    for run in plan.runs:
        training = load_checkpoint(run / BEST).training
        split = split_by_ids(collection, training["split"], training["data"]["sets"])
        if missing := missing_ids(split, training["split"], "validation"):
            raise DataError(
                f"The data lack {counted(missing, 'image')} that {run.name} validated on; expected all. Name their "
                "folder: --data DIR."
            )
        folds.append(Fold(run, split.validation))
    return folds


def _score(plan: Plan, device: str) -> None:
    from seglab.evaluation.out_of_fold import score_out_of_fold
    from seglab.training.device import choose_device
    from seglab.training.run_folder import OUT_OF_FOLD

    folds = _folds(plan)
    with progress(sum(len(fold.validation) for fold in folds), "out of fold", "image") as bar:
        found = score_out_of_fold(plan.out / OUT_OF_FOLD, folds, str(choose_device(device)), bar.update)
    _write_page(plan, folds, found, str(choose_device(device)))
    verdict = found.verdict
    summary, intervals = verdict.summary(), verdict.intervals()
    figures = ", ".join(_figure(key, title, summary, intervals) for key, title in (("dice", "Dice"), ("iou", "IoU")))
    echo(
        f"{plan.out / OUT_OF_FOLD}: {counted(len(verdict.lesions), 'image')}, each by the fold that did not train on "
        f"it: {figures}"
    )


def _write_page(plan: Plan, folds: Sequence[Fold], found: OutOfFold, device: str) -> None:
    from seglab.evaluation.pages.files import try_page
    from seglab.evaluation.pages.machine import machine_facts
    from seglab.evaluation.pages.scored import ScoredImages, masked
    from seglab.evaluation.pages.validation import folds_page
    from seglab.training.run_folder import OUT_OF_FOLD, REPORT

    pairs = [pair for fold in folds for pair in fold.validation]
    whose = "Every image, each by the network that did not train on it."
    scored = ScoredImages(found.verdict, pairs, masked(pairs, found.masks), whose)

    def page() -> Page:
        return folds_page(scored, found.folds, plan.out.resolve().name, machine_facts(device))

    try_page(plan.out / OUT_OF_FOLD / REPORT, page, say_no_page)


def _figure(key: str, title: str, summary: dict[str, float], intervals: dict[str, tuple[float, float]]) -> str:
    return f"{title} {summary[key]:.4f} (95 % {intervals[key][0]:.4f} to {intervals[key][1]:.4f})"
