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
    """A trained run, which can be used as the path of its folder. ``folder``: of checkpoints, logs and pictures."""

    def __init__(self, folder: Path) -> None:
        from seglab.training.run_folder import BEST, read_run

        self.folder = folder
        self.best = folder / BEST
        self._run: Run = read_run(folder)

    best: Path
    """The checkpoint of the best epoch."""

    @property
    def dice(self) -> float:
        """The mean Dice of the validation images in the best epoch, 0 to 1, at the network's size. For Dice at the
        images' own sizes use :func:`seglab.validate`.
        """
        return self._run.best.val_dice

    @property
    def iou(self) -> float:
        """The mean IoU, measured in the same way."""
        return self._run.best.val_iou

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """Losses and scores of each epoch."""
        return self._run.history

    @property
    def recipe(self) -> Recipe:
        """The recipe that it was trained with."""
        return self._run.recipe

    @property
    def is_finished(self) -> bool:
        """Whether it reached its last epoch or stopped early by its recipe. If not, ``hours`` ended it."""
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

    ``data``: a data set, or a list of them; or give two folders, ``images`` and ``masks``. ``out``: the folder of the
    run. ``recipe``: a name that ``seglab recipes`` lists, or a TOML file; None means ``quick``, or the recipe of the
    resumed run. Other keyword arguments are ``settings`` of the recipe: ``epochs=5, lr=1e-3``
    (:class:`seglab.recipes.recipe.Recipe` describes them). ``resume``: the folder of a run to continue, or True for
    ``out``. ``exclude``: files of ids to leave out. ``split_file``: a run's ``split.json``. ``inspect``: ``refuse``,
    ``report`` or ``off``; None means ``refuse`` for a new run and ``off`` for a resumed one. ``hours``: start no epoch
    that would end later. ``loggers``: ``wandb``, ``mlflow``. ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:K``.
    ``verbose``: print what the command prints.

    After Ctrl-C (:class:`KeyboardInterrupt`), continue with ``seglab.train(resume=out)``. It trains in one process. For
    several GPUs or the folds of a cross-validation, use the command: ``seglab train --devices N``, ``--folds K``.

    Raises :class:`seglab.errors.ConfigError` for wrong arguments, :class:`seglab.errors.DataError` for unusable data,
    :class:`seglab.errors.DivergedError` if the loss diverges, and :class:`seglab.errors.MissingDependencyError` if
    ``seglab[train]`` is not installed.

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
        raise ConfigError("out is missing; expected the folder of the run, or resume=RUN to continue one.")
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
    """Return settings of a recipe as ``--set`` takes them. Raises :class:`ConfigError` for values of wrong types."""
    changes = []
    for name, value in settings.items():
        if name == "soft_masks" and value and isinstance(value, str | os.PathLike):
            value = os.path.abspath(value)  # a resumed run may have another working folder
        changes.append(f"{name}={_as_toml(name, value)}")
    return tuple(changes)


def _as_toml(name: str, value: object) -> str:
    if isinstance(value, bool | str | os.PathLike):
        return json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else value)
    if isinstance(value, Integral):  # of Python or NumPy
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, list | tuple) and all(isinstance(entry, Integral) for entry in value):
        return json.dumps([int(entry) for entry in value])
    raise ConfigError(f"{name} is {value!r}; expected a string, a number, True, False, or a list of whole numbers.")


def _resumed(resume: PathLike | bool, out: PathLike | None) -> str | None:
    """Return the value of ``--resume``, empty for ``--out``; None for a new run."""
    if isinstance(resume, bool):
        if resume and out is None:
            raise ConfigError("resume is True and out is missing; expected the folder of the run in one of them.")
        return "" if resume else None
    return str(path_of("resume", resume))


def _trackers(loggers: object) -> tuple[str, ...]:
    names = (loggers,) if isinstance(loggers, str) else loggers
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name in LOGGERS for name in names):
        raise ConfigError(f"loggers is {loggers!r}; expected {' or '.join(LOGGERS)}, or a list of them.")
    return tuple(names)
