"""The request of ``seglab train``: a new run, or one to resume from its files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.commands.common import MISSING, DataNamed
from seglab.commands.places import require_run_folder
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from seglab.networks.checkpoints import Checkpoint
    from seglab.recipes.recipe import Recipe
    from seglab.training.resuming import Changes

DEFAULT_RECIPE = "quick"
COMMAND = "command"
"""Key in ``settings.json``: the data options of the run."""


@dataclass(frozen=True)
class Told:
    """The data options of a run. ``mode``: value of ``--inspect``; None where it was not given.

    ``begun``: for a resumed run, what :meth:`plain` returned when it began.
    """

    named: DataNamed
    exclude: tuple[Path, ...] = ()
    split_file: Path | None = None
    mode: str | None = None
    begun: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return plain values with absolute paths: where the data are now, and the options that divided them."""
        named = {key: _plain(value) for key, value in dataclasses.asdict(self.named).items()}
        divided = {"exclude": _plain(self.exclude), "split_file": _plain(self.split_file)}
        return {**named, **divided, **{key: self.begun[key] for key in divided if key in self.begun}}

    def over(self, kept: dict[str, Any]) -> Told:
        """Return the options for a resumed run: data that are not named now come from ``kept`` (of :meth:`plain`).

        ``exclude`` and ``split_file`` are not taken over, because the run's split is in its checkpoints.
        """
        named = self.named or DataNamed(
            **{entry.name: _path(kept.get(entry.name, entry.default)) for entry in dataclasses.fields(DataNamed)}
        )
        orientation = self.named.orientation or kept.get("orientation")
        return dataclasses.replace(self, named=dataclasses.replace(named, orientation=orientation), begun=kept)


@dataclass(frozen=True)
class Task:
    """A run to train. ``start``: ``last.pt`` to resume from, with ``changes`` of its recipe; None for a new run.

    ``loggers``: experiment trackers to log to (:mod:`seglab.training.loggers`). ``is_fold``: whether the run is a fold
    of a cross-validation.
    """

    out: Path
    recipe: Recipe
    told: Told
    start: Checkpoint | None = None
    changes: Changes = field(default_factory=dict)
    loggers: tuple[str, ...] = ()
    is_fold: bool = False

    @property
    def precision(self) -> str:
        """The precision to train in. ``auto`` becomes that of a resumed run, and fp32 where the recipe quantises."""
        if self.recipe.quantise != "none":
            return "fp32"
        if self.start and self.recipe.precision == "auto":
            return str(self.start.training.get("precision", "auto"))
        return self.recipe.precision

    @property
    def done(self) -> int:
        """Number of finished epochs."""
        return len(self.start.training["history"]) if self.start else 0


def new_task(out: Path | None, recipe: str | None, changes: tuple[str, ...], told: Told) -> Task:
    """Return the task of a new run. Raises :class:`click.UsageError` where ``out`` or the data are not named."""
    from seglab.recipes.recipe import load_recipe
    from seglab.training.run_folder import LAST

    if out is None:
        raise click.UsageError("Missing option '--out': the folder for the run (or --resume RUN, to continue one).")
    settings = load_recipe(recipe or DEFAULT_RECIPE, changes)
    if not told.named:
        raise click.UsageError(MISSING.format(data="a data set"))
    if (out / LAST).exists():
        raise ConfigError(f"{out} already holds a run ({LAST}). Add --resume to continue, or name another --out.")
    require_run_folder(out)
    return Task(out, settings, told)


def resumed_task(out: Path, recipe: str | None, changes: tuple[str, ...], told: Told) -> Task:
    """Return the task that resumes the run in ``out``, a folder or its ``last.pt``.

    Recipe and data are those of the run, except for the options of this call. Raises :class:`ConfigError` where there
    is no such run, or where its recipe cannot be changed so.
    """
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.recipes.recipe import load_recipe, make_recipe, parse_changes
    from seglab.training.resuming import changes_between, require_may_change
    from seglab.training.run_folder import LAST, plain, recipe_of

    out = out.parent if out.name == LAST and out.is_file() else out
    last = out / LAST
    if not last.exists():
        raise ConfigError(
            f"--resume: {last} does not exist. Check the folder, or leave --resume out to start a new run."
        )
    start = load_checkpoint(last)
    earlier = recipe_of(start.training.get("recipe", {}), last)
    now = load_recipe(recipe, changes) if recipe else make_recipe(plain(earlier) | parse_changes(changes))
    task = Task(out, now, told.over(_kept(out)), start, changes_between(earlier, now))
    require_may_change(last, task.changes, now, task.done)
    if not told.named:
        _require_there(task.told.named, out)
    return task


def data_of_run(out: Path, named: DataNamed) -> DataNamed:
    """Return the data that were named, else those of the run in ``out``.

    Raises :class:`ConfigError` where these are unknown or no longer exist.
    """
    found = Told(named).over(_kept(out)).named
    if not named:
        _require_there(found, out)
    return found


def _require_there(named: DataNamed, out: Path) -> None:
    gone = [str(path) for path in (*named.data, named.images, named.masks) if path and not path.exists()]
    if gone or not named:
        where = f"are no longer there ({', '.join(gone)})" if gone else "are not named in its files"
        raise ConfigError(f"The data of the run in {out} {where}. Name their folder: --data DIR.")


def _kept(out: Path) -> dict[str, Any]:
    from seglab.training.run_folder import SETTINGS

    try:
        kept = json.loads((out / SETTINGS).read_text()).get(COMMAND)
    except (OSError, ValueError, AttributeError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value.absolute()) if isinstance(value, Path) else value


def _path(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(Path, value))
    return Path(value) if isinstance(value, str) else value
