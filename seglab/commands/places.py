"""Checks of output paths: a command writes new files, or replaces its own earlier ones, never a user's."""

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
"""Bytes at the beginning of a file that are searched for a mark."""
FOLD = re.compile(r"fold-\d+")


@dataclass(frozen=True)
class Kind:
    """A kind of output file: ``is_ours`` recognises it by content, ``words`` describe it in messages. ``suffixes``: how
    its name must end, if that matters.
    """

    is_ours: Callable[[Path], bool]
    words: str
    suffixes: tuple[str, ...] = ()

    def require_suffix(self, option: str, path: Path) -> None:
        """Raise :class:`click.UsageError` for a name that does not end as it must."""
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            raise click.UsageError(
                f"{option} {path}: expected a file that ends in {self.suffixes[0]}, since it is {self.words}. Name "
                "another file."
            )


def json_with(*keys: str, words: str) -> Kind:
    """Return the kind of a JSON object with these keys."""
    return Kind(lambda path: _is_json(path, *keys), words)


def table_of(*columns: str, words: str) -> Kind:
    """Return the kind of a CSV table whose header begins with these columns."""
    return Kind(lambda path: _beginning(path).startswith(",".join(columns).encode() + b","), words)


def text_with(mark: str, words: str) -> Kind:
    """Return the kind of a text that has ``mark`` near its beginning."""
    return Kind(lambda path: mark.encode() in _beginning(path), words)


def page_with(mark: str, words: str) -> Kind:
    """Return the kind of an HTML page that has ``mark`` near its beginning."""
    return Kind(text_with(mark, words).is_ours, words, (".html", ".htm"))


PICTURE = Kind(lambda path: PICTURE_MARK in _beginning(path), "a picture that seglab drew")


def require_outputs(outputs: Mapping[str, tuple[Path | None, Kind]]) -> None:
    """Check output files, by option: each must be writable, different from the others, and new or an earlier output.

    Call this before the work whose results go there. ``-`` (stdout) is skipped. Raises :class:`click.UsageError` or
    :class:`WriteError`.
    """
    files = {option: (path, kind) for option, (path, kind) in outputs.items() if path and str(path) != STDOUT}
    require_apart({option: path for option, (path, _) in files.items()})
    for option, (path, kind) in files.items():
        kind.require_suffix(option, path)
        require_writable(path, option)
        require_own(option, path, kind.is_ours, kind.words)


def require_picture_folder(option: str, folder: Path) -> None:
    """Raise unless the folder is writable and holds no pictures other than those that seglab drew."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not _is_own(option, path, PICTURE.is_ours):
                raise click.UsageError(
                    f"{option} {folder} holds pictures that seglab did not draw ({path.name}), which are not "
                    "overwritten. Name a new folder."
                )
    require_folder(folder, option)


def require_apart(places: Mapping[str, Path]) -> None:
    """Raise :class:`click.UsageError` where two options name one file."""
    for (one, path), (other, same) in itertools.combinations(places.items(), 2):
        if is_same(path, same):
            raise click.UsageError(f"{one} and {other} name the same file, {path}. Name another for one of them.")


def require_own(option: str, path: Path, is_ours: Callable[[Path], bool], expected: str) -> None:
    """Raise :class:`click.UsageError` unless ``path`` is absent, empty, or an output of ``option`` (``expected``)."""
    if not path.exists():
        return
    if not path.is_file():
        raise click.UsageError(
            f"{option} {path} is a device or a pipe; expected a file. --json - writes to stdout. Name another."
        )
    if not _is_own(option, path, is_ours):
        raise click.UsageError(
            f"{option} {path} exists and is not {expected}, so it is not overwritten. Name another file, or move it."
        )


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths name the same file, whether or not it exists."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return _absolute(one) == _absolute(other)


def require_run_folder(out: Path) -> None:
    """Raise :class:`ConfigError` unless ``out`` is new, empty, or the folder of a run."""
    _require_none(out, _foreign_to_run(out), "run")


def require_folds_folder(out: Path) -> None:
    """Raise :class:`ConfigError` unless ``out`` is new, empty, or holds only folds that were begun."""
    entries = sorted(out.iterdir()) if out.is_dir() else []
    foreign = [entry for entry in entries if not (_is_no_harm(entry) or _is_fold(entry))]
    _require_none(out, foreign, "cross-validation")


def require_outside(out: Path, pairs: Iterable[Any]) -> None:
    """Raise :class:`ConfigError` where ``out`` is, or is inside, a folder of the pairs' images or masks."""
    files = {getattr(pair, key, None) for pair in pairs for key in ("image", "truth", "images", "masks")}
    folders = {os.path.realpath(os.path.dirname(file)) for file in files if file}
    place = Path(os.path.realpath(out))
    for folder in (place, *place.parents):
        if str(folder) in folders:
            raise _among("--out", out, folder)


def require_beside(option: str, path: Path | None, named: DataNamed) -> None:
    """Raise :class:`ConfigError` where pictures written to ``path`` would be read as images of a data set.

    Folders of runs inside a data set are allowed, because the search for data skips them.
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
        f"{option} {path} is inside {folder}, a folder of the data, and would be read as data. Name a place outside it."
    )


def _require_none(out: Path, foreign: list[Path], what: str) -> None:
    if foreign:
        names = ", ".join(path.name for path in foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise ConfigError(
            f"--out {out} holds files that do not belong to a {what} ({names}), so nothing is written there. Name a "
            "new folder."
        )


def _foreign_to_run(out: Path) -> list[Path]:
    from seglab.training.run_folder import SETTINGS

    if not out.is_dir() or _is_json(out / SETTINGS, "format_version", "recipe"):
        return []
    return [entry for entry in sorted(out.iterdir()) if not _is_no_harm(entry)]


def _is_no_harm(entry: Path) -> bool:
    """Return whether an entry is hidden (a lock, a temporary file), empty (a shell's new log), or a split file."""
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
