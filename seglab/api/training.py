"""``seglab.train``: what ``seglab train`` does, from Python."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.api.data import PathLike, Sets, data_named, one_of, own_errors, path_of, paths_of, require_values
from seglab.arguments import for_python
from seglab.cli_support import quiet
from seglab.errors import ConfigError
from seglab.recipes.recipe import Recipe

if TYPE_CHECKING:
    from seglab.training.run_folder import Epoch, Run

MODES = ("refuse", "report", "off")
LOGGERS = ("wandb", "mlflow")
SETTINGS = [field.name for field in dataclasses.fields(Recipe)]


class TrainedRun:
    """A run that was trained. ``folder``: of its checkpoints, logs and pictures. A run can be named as its folder."""

    def __init__(self, folder: Path) -> None:
        from seglab.training.run_folder import BEST, read_run

        self.folder = folder
        self.best = folder / BEST
        self._run: Run = read_run(folder)

    best: Path
    """The checkpoint of the best epoch."""

    @property
    def dice(self) -> float:
        """The mean Dice of the validation images in the best epoch, 0 to 1, at the network's size; at the images' own
        sizes it is :func:`seglab.validate`'s.
        """
        return self._run.best.val_dice

    @property
    def iou(self) -> float:
        """The mean IoU in the same way."""
        return self._run.best.val_iou

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """Losses and scores of each epoch."""
        return self._run.history

    @property
    def recipe(self) -> Recipe:
        """The settings that it was trained by."""
        return self._run.recipe

    @property
    def is_finished(self) -> bool:
        """Did it go to its last epoch, or stop early by its recipe? Otherwise ``hours`` ended it."""
        return self._run.finished

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"TrainedRun({str(self.folder)!r}, epochs={len(self.epochs)}, dice={self.dice:.4f})"


@for_python("seglab train", settings=SETTINGS, renamed={"logger": "loggers"})
def train(
    data: Sets | None = None,
    *,
    out: PathLike | None = None,
    recipe: PathLike | None = None,
    resume: PathLike | bool = False,
    images: PathLike | None = None,
    masks: PathLike | None = None,
    orientation: str | None = None,
    exclude: Sets | None = None,
    split_file: PathLike | None = None,
    inspect: str | None = None,
    hours: float | None = None,
    loggers: str | Sequence[str] = (),
    device: str = "auto",
    verbose: bool = False,
    **settings: Any,
) -> TrainedRun:
    """Train a network on data sets, as ``seglab train`` does, and return the run.

    ``data``: a data set, or a list of them; or two folders, ``images`` and ``masks``. ``out``: the folder of the run.
    ``recipe``: a name that ``seglab recipes`` lists, or a TOML file; None is ``quick``, or the run's own. Other keyword
    arguments are ``settings`` of the recipe: ``epochs=5, lr=1e-3`` (:class:`seglab.recipes.recipe.Recipe` describes
    them). ``resume``: the folder of a run to go on with, or True for ``out``. ``exclude``: files of ids to leave out.
    ``split_file``: a run's ``split.json``. ``inspect``: ``refuse``, ``report`` or ``off``; None is ``refuse``, and
    ``off`` of a run that goes on. ``hours``: begin no epoch that would end later. ``loggers``: ``wandb``, ``mlflow``.
    ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:K``. ``verbose``: print what the command prints.

    After Ctrl-C (:class:`KeyboardInterrupt`) go on with ``seglab.train(resume=out)``. One process trains; several GPUs,
    and the folds of a cross-validation, are the command's: ``seglab train --devices N``, ``--folds K``.

    Raises :class:`seglab.errors.ConfigError` for wrong arguments, :class:`seglab.errors.DataError` for the data,
    :class:`seglab.errors.DivergedError`, :class:`seglab.errors.MissingDependencyError` without ``seglab[train]``.

    >>> import seglab
    >>> run = seglab.train("isic2018", recipe="quick", out="runs/quick")  # doctest: +SKIP
    >>> run.best, run.dice  # doctest: +SKIP
    (PosixPath('runs/quick/best.pt'), 0.8577)
    """
    changes = changes_of(settings)
    one_of("inspect", inspect, (None, *MODES))
    require_values(device, {"verbose": verbose}, {"hours": hours})
    trackers = _trackers(loggers)
    named = data_named(data, images, masks, orientation)
    folder = _resumed(resume, out)
    if folder is None and out is None:
        raise ConfigError("out is missing; expected the folder of the run, or resume=RUN to go on with one.")
    from seglab.commands.runs.request import Told
    from seglab.commands.runs.training import train_run

    told = Told(named, paths_of("exclude", exclude), path_of("split_file", split_file), inspect)
    name = None if recipe is None else str(path_of("recipe", recipe))
    with own_errors(), quiet(not verbose):
        trained = train_run(
            told,
            recipe=name, changes=changes, out=path_of("out", out), resume=folder, hours=hours, loggers=trackers,
            device=device,
        )  # fmt: skip
    return TrainedRun(trained)


def changes_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return settings of a recipe as ``--set`` takes them. Raises :class:`ConfigError` for what none can be."""
    changes = []
    for name, value in settings.items():
        if name == "soft_masks" and value and isinstance(value, str | os.PathLike):
            value = os.path.abspath(value)  # it is read from elsewhere, too, when the run goes on
        changes.append(f"{name}={_as_toml(name, value)}")
    return tuple(changes)


def _as_toml(name: str, value: object) -> str:
    if isinstance(value, bool | str | os.PathLike):
        return json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if isinstance(value, Integral):  # one of NumPy's, too
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, list | tuple) and all(isinstance(entry, Integral) for entry in value):
        return json.dumps([int(entry) for entry in value])
    raise ConfigError(f"{name} is {value!r}; expected text, a number, True or False, or a list of whole numbers.")


def _resumed(resume: PathLike | bool, out: PathLike | None) -> str | None:
    """Return the folder to go on in as ``--resume`` has it; None for a new run."""
    if isinstance(resume, bool):
        if resume and out is None:
            raise ConfigError("resume is True and out is missing; expected the folder of the run in either.")
        return "" if resume else None
    return str(path_of("resume", resume))


def _trackers(loggers: object) -> tuple[str, ...]:
    names = (loggers,) if isinstance(loggers, str) else loggers
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name in LOGGERS for name in names):
        raise ConfigError(f"loggers is {loggers!r}; expected {' or '.join(LOGGERS)}, or a list of them.")
    return tuple(names)
