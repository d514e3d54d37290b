"""Checks of the arguments that name data, files and folders, and their conversion for the commands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from seglab.cli_support import said_of
from seglab.commands.common import DataNamed
from seglab.errors import ConfigError, SeglabError

PathLike = str | os.PathLike[str]
Sets = PathLike | Iterable[PathLike]
"""One data set, or several."""
ORIENTATIONS = ("exif", "stored")


@contextlib.contextmanager
def own_errors() -> Iterator[None]:
    """Raise errors of click and of the operating system as errors of this package, with the command's message."""
    try:
        yield
    except click.UsageError as error:
        raise ConfigError(error.message) from error
    except OSError as error:
        if (said := said_of(error)) is None:
            raise
        raise SeglabError(said) from error


def data_named(
    data: Sets | None, images: PathLike | None, masks: PathLike | None, orientation: str | None
) -> DataNamed:
    """Return the data that the arguments name, which may be none."""
    if (images is None) != (masks is None):
        raise ConfigError("Only one of images and masks was given; expected both or neither.")
    one_of("orientation", orientation, (None, *ORIENTATIONS))
    return DataNamed(paths_of("data", data), path_of("images", images), path_of("masks", masks), orientation)


def path_of(name: str, value: PathLike | None) -> Path | None:
    """Return a path. Raises :class:`ConfigError` for anything else."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or value == "":
        raise ConfigError(f"{name} is {value!r}; expected a path.")
    if "://" in os.fspath(value):
        raise ConfigError(f"{name} is {value!r}; expected a path, not a URL. Download it first.")
    return Path(value)


def paths_of(name: str, value: Sets | None) -> tuple[Path, ...]:
    """Return one path or several paths as a tuple. Raises :class:`ConfigError` for anything else."""
    if value is None:
        return ()
    is_one = isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable)
    entries: Iterable[Any] = [value] if is_one else cast("Iterable[Any]", value)
    found = [path_of(name, entry) for entry in entries]
    if None in found:
        raise ConfigError(f"{name} contains None; expected paths.")
    return tuple(path for path in found if path is not None)


def one_of(name: str, value: object, allowed: Sequence[str | None]) -> None:
    """Raise :class:`ConfigError` unless ``value`` is one of the ``allowed`` ones."""
    if not isinstance(value, str | None) or value not in allowed:
        words = ", ".join("None" if entry is None else entry for entry in allowed)
        raise ConfigError(f"{name} is {value!r}; expected one of {words}.")


def require_values(device: object, switches: Mapping[str, object], numbers: Mapping[str, object] | None = None) -> None:
    """Raise :class:`ConfigError` unless these are the name of a device, True or False, and numbers above 0 or None."""
    if not isinstance(device, str):
        raise ConfigError(f"device is {device!r}; expected auto, cpu, cuda or cuda:K.")
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {value!r}; expected True or False.")
    for name, value in (numbers or {}).items():
        if value is not None and not (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
            raise ConfigError(f"{name} is {value!r}; expected a number above 0, or None.")
