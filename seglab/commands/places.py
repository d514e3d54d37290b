"""Where a command may write: a new file, or one that such a command wrote before; a user's own files stay."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from seglab.commands.common import DataNamed
from seglab.errors import ConfigError
from seglab.files import require_folder, require_writable
from seglab.images.formats import IMAGE_SUFFIXES, PICTURE_MARK

STDOUT = "-"
BEGINNING = 4096
"""Bytes in which a mark is looked for."""
FOLD = re.compile(r"fold-\d+")


@dataclass(frozen=True)
class Kind:
    """What a command writes: how it is known by its content, and what it is in words."""

    is_ours: Callable[[Path], bool]
    words: str


def json_with(*keys: str, words: str) -> Kind:
    """Return the kind of a JSON object with these keys."""
    return Kind(lambda path: _is_json(path, *keys), words)


def table_of(*columns: str, words: str) -> Kind:
    """Return the kind of a CSV table whose header begins with these columns."""
    return Kind(lambda path: _beginning(path).startswith(",".join(columns).encode() + b","), words)


def text_with(mark: str, words: str) -> Kind:
    """Return the kind of a text that has ``mark`` near its beginning."""
    return Kind(lambda path: mark.encode() in _beginning(path), words)


PICTURE = Kind(lambda path: PICTURE_MARK in _beginning(path), "a picture that seglab drew")


def require_outputs(outputs: Mapping[str, tuple[Path | None, Kind]]) -> None:
    """Raise unless every file, by option, can be written, is another one than the rest, and takes no user's file away.

    To be asked before the work whose result they get. ``-`` is no file. Raises :class:`click.UsageError` or
    :class:`WriteError`.
    """
    files = {option: (path, kind) for option, (path, kind) in outputs.items() if path and str(path) != STDOUT}
    require_apart({option: path for option, (path, _) in files.items()})
    for option, (path, kind) in files.items():
        require_writable(path, option)
        require_own(option, path, kind.is_ours, kind.words)


def require_picture_folder(option: str, folder: Path) -> None:
    """Raise unless the folder can get pictures: it holds none that seglab did not draw."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not _is_own(option, path, PICTURE.is_ours):
                raise click.UsageError(
                    f"{option} {folder} holds pictures that seglab did not draw ({path.name}); they stay. Name a new "
                    "folder."
                )
    require_folder(folder, option)


def require_apart(places: Mapping[str, Path]) -> None:
    """Raise :class:`click.UsageError` where two options name one file."""
    for (one, path), (other, same) in itertools.combinations(places.items(), 2):
        if is_same(path, same):
            raise click.UsageError(f"{one} and {other} are the same file, {path}; name another for one of them.")


def require_own(option: str, path: Path, is_ours: Callable[[Path], bool], expected: str) -> None:
    """Raise :class:`click.UsageError` unless ``path`` is free, empty, or what ``option`` writes (``expected``)."""
    if not path.exists():
        return
    if not path.is_file():
        raise click.UsageError(
            f"{option} {path} is a device or a pipe; expected a file. --json - writes to stdout. Name another."
        )
    if not _is_own(option, path, is_ours):
        raise click.UsageError(
            f"{option} {path} is there already and is not {expected}; it stays. Name another file, or move it."
        )


def is_same(one: Path, other: Path) -> bool:
    """Do two paths lead to the same file, or would they if there were one?"""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return _absolute(one) == _absolute(other)


def require_run_folder(out: Path) -> None:
    """Raise :class:`ConfigError` unless a run can begin in ``out``: it is new, empty, or what a run began there."""
    _require_none(out, _foreign_to_run(out), "run")


def require_folds_folder(out: Path) -> None:
    """The same for a cross-validation: there may be folders of folds that are no more than begun."""
    entries = sorted(out.iterdir()) if out.is_dir() else []
    foreign = [entry for entry in entries if not (_is_no_harm(entry) or _is_fold(entry))]
    _require_none(out, foreign, "cross-validation")


def require_outside(out: Path, pairs: Iterable[Any]) -> None:
    """Raise :class:`ConfigError` where ``out`` is a folder of the pairs' images or masks, or lies in one."""
    files = {getattr(pair, key, None) for pair in pairs for key in ("image", "truth", "images", "masks")}
    folders = {os.path.realpath(os.path.dirname(file)) for file in files if file}
    place = Path(os.path.realpath(out))
    for folder in (place, *place.parents):
        if str(folder) in folders:
            raise _among("--out", out, folder)


def require_beside(option: str, path: Path | None, named: DataNamed) -> None:
    """Raise :class:`ConfigError` where the pictures of ``path`` would be found as images of the data set it lies in.

    Folders of runs are passed over where data are looked for, so that they may lie there.
    """
    from seglab.data.finding.walk import is_ours

    roots = {os.path.realpath(root) for root in (*named.data, named.images, named.masks) if root and root.is_dir()}
    place = Path(os.path.realpath(path)) if path else None
    for folder in (place, *place.parents) if place else ():
        if str(folder) in roots:
            raise _among(option, path, folder)
        if is_ours(folder):
            return


def _among(option: str, path: Path | None, folder: Path) -> ConfigError:
    return ConfigError(
        f"{option} {path} lies among the images or masks of the data, in {folder}; they would be read together. Name a "
        "place elsewhere."
    )


def _require_none(out: Path, foreign: list[Path], what: str) -> None:
    if foreign:
        names = ", ".join(path.name for path in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise ConfigError(
            f"--out {out} holds files that are of no {what} begun there ({names}); they stay. Name a new folder."
        )


def _foreign_to_run(out: Path) -> list[Path]:
    from seglab.training.run_folder import SETTINGS

    if not out.is_dir() or _is_json(out / SETTINGS, "format_version", "recipe"):
        return []
    return [entry for entry in sorted(out.iterdir()) if not _is_no_harm(entry)]


def _is_no_harm(entry: Path) -> bool:
    """Is it hidden (a lock, what a killed run was writing), empty (a log that a shell has just begun), or a split?"""
    from seglab.training.run_folder import SPLIT

    if entry.name.startswith("."):
        return True
    return entry.is_file() and (
        entry.stat().st_size == 0 or (entry.name == SPLIT and _is_json(entry, "kind", "method"))
    )


def _is_fold(entry: Path) -> bool:
    return FOLD.fullmatch(entry.name) is not None and entry.is_dir() and not _foreign_to_run(entry)


def _is_own(option: str, path: Path, is_ours: Callable[[Path], bool]) -> bool:
    try:
        return path.stat().st_size == 0 or is_ours(path)
    except OSError as error:
        raise click.UsageError(f"{option} {path} cannot be read ({error.strerror}); name another file.") from error


def _is_json(path: Path, *keys: str) -> bool:
    try:
        values = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.keys() >= set(keys)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(BEGINNING)


def _absolute(path: Path) -> str:
    return os.path.join(os.path.realpath(path.parent), path.name)
