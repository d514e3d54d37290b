"""What the functions are told of data, files and folders, as the commands take it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from seglab.commands.common import DataNamed
from seglab.errors import ConfigError

PathLike = str | os.PathLike[str]
Sets = PathLike | Sequence[PathLike]
"""One data set, or several."""
ORIENTATIONS = ("exif", "stored")


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a usage error of click into a :class:`ConfigError` with the same message."""
    try:
        yield
    except click.UsageError as error:
        raise ConfigError(error.message) from error


def data_named(
    data: Sets | None, images: PathLike | None, masks: PathLike | None, orientation: str | None
) -> DataNamed:
    """Return the data that were named; none is no error."""
    if (images is None) != (masks is None):
        raise ConfigError("images and masks name two folders; expected both or neither.")
    one_of("orientation", orientation, (None, *ORIENTATIONS))
    return DataNamed(paths_of("data", data), path_of("images", images), path_of("masks", masks), orientation)


def path_of(name: str, value: PathLike | None) -> Path | None:
    """Return a path. Raises :class:`ConfigError` for anything else."""
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str) or value == "":
        raise ConfigError(f"{name} is {value!r}; expected a path.")
    return Path(value)


def paths_of(name: str, value: Sets | None) -> tuple[Path, ...]:
    """Return one path or several as several. Raises :class:`ConfigError` for anything else."""
    entries: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    found = (path_of(name, entry) for entry in entries)
    return tuple(path for path in found if path is not None)


def one_of(name: str, value: object, allowed: Sequence[str | None]) -> None:
    """Raise :class:`ConfigError` unless ``value`` is one of those."""
    if value not in allowed:
        words = ", ".join("None" if entry is None else entry for entry in allowed)
        raise ConfigError(f"{name} is {value!r}; expected one of {words}.")
