"""The settings of a cross-validation, which ``folds.json`` keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.commands.common import MISSING
from seglab.commands.places import require_beside, require_folds_folder
from seglab.commands.runs.request import COMMAND, DEFAULT_RECIPE, Told
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from seglab.recipes.recipe import Recipe

FOLDS = "folds.json"
KIND = "seglab folds"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """``count`` folds to train with one recipe in folders below ``out``. ``changes``: ``--set`` for resumed folds."""

    out: Path
    count: int
    recipe: Recipe
    told: Told
    changes: tuple[str, ...] = ()

    @property
    def runs(self) -> list[Path]:
        """Folders of the folds."""
        return [self.out / f"fold-{number}" for number in range(self.count)]

    def plain(self) -> dict[str, Any]:
        """Return the content of ``folds.json``."""
        from seglab.training.run_folder import plain

        about = {"format_version": FORMAT_VERSION, "kind": KIND, "folds": self.count}
        return {**about, "recipe": plain(self.recipe), COMMAND: self.told.plain()}


def holds_folds(out: Path) -> bool:
    """Return whether ``out`` is the folder of a cross-validation."""
    return (out / FOLDS).exists()


def new_folds(out: Path | None, count: int, recipe: str | None, changes: tuple[str, ...], told: Told) -> Plan:
    """Return the plan of a new cross-validation. Raises :class:`ConfigError` where ``out`` holds one."""
    from seglab.recipes.recipe import load_recipe

    if out is None:
        raise click.UsageError("Missing option '--out': the folder for the folds (or --resume RUN, to continue them).")
    if told.split_file:
        raise click.UsageError(
            "--folds makes its own splits, so it cannot be used with --split-file. Leave one of them out."
        )
    if not told.named:
        raise click.UsageError(MISSING.format(data="a data set"))
    if holds_folds(out):
        raise ConfigError(f"{out} already holds folds ({FOLDS}). Add --resume to continue, or name another --out.")
    require_folds_folder(out)
    require_beside("--out", out, told.named)
    return Plan(out, count, load_recipe(recipe or DEFAULT_RECIPE, changes), told)


def resumed_folds(out: Path, count: int | None, recipe: str | None, changes: tuple[str, ...], told: Told) -> Plan:
    """Return the plan that ``out`` holds, with the options of this call.

    Raises :class:`ConfigError` where ``folds.json`` cannot be read, or has other folds or another seed.
    """
    from seglab.recipes.recipe import load_recipe, make_recipe, parse_changes
    from seglab.training.resuming import changes_between, require_may_change

    try:
        kept = json.loads((out / FOLDS).read_text())
        if kept["kind"] != KIND or kept["format_version"] > FORMAT_VERSION:
            raise ValueError(f"kind {kept['kind']!r}, format {kept['format_version']}")
        earlier, number, command = make_recipe(kept["recipe"]), int(kept["folds"]), kept[COMMAND]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{out / FOLDS} cannot be read ({error}); expected what `seglab train --folds` wrote. Check the folder, or "
            "leave --resume out to start anew."
        ) from error
    now = load_recipe(recipe, changes) if recipe else make_recipe(kept["recipe"] | parse_changes(changes))
    if (count or number, now.seed) != (number, earlier.seed):
        raise ConfigError(
            f"{out} holds {number} folds with seed {earlier.seed}, but this call asks for {count or number} with seed "
            f"{now.seed}. Use the same numbers, or name another --out."
        )
    require_may_change(out / FOLDS, changes_between(earlier, now), now, 0)
    return Plan(out, number, now, told.over(command), changes)


def write_plan(plan: Plan) -> None:
    """Write ``folds.json``."""
    from seglab.files import write_text

    write_text(plan.out / FOLDS, json.dumps(plan.plain(), indent=1) + "\n")
