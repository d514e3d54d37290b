"""Which images of a data set show the same lesion, according to the tables in its folders.

A table is recognised by its columns, not by its name: ``lesion_id``, and a column with names of the images. Examples
are HAM10000's metadata (``.csv``, ``.tab``, or without a suffix), isic-cli's ``metadata.csv`` and ISIC 2018's
``LesionGroupings.csv``.
"""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from seglab.errors import DataError
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.words import counted

LESION_COLUMNS = ("lesion_id", "lesionid")
ID_COLUMNS = ("isic_id", "image_id", "image_name", "image", "img_id", "file_name", "filename", "id", "name")
"""Names of columns with images. If such a column names no image of the set, the table is about other images."""
TABLE_SUFFIXES = frozenset({".csv", ".tab", ".tsv"})
UNMARKED_TABLE = re.compile(r".*(metadata|lesion).*", re.IGNORECASE)
"""Names of tables without a suffix or with ``.txt``."""
HAM10000_METADATA = re.compile(r"HAM10000_metadata.*", re.IGNORECASE)
DELIMITERS = ",;\t|"
LONGEST_HEAD = 1 << 16
NO_LESION = frozenset({"nan", "na", "n/a", "none", "null", "-", "?"})
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Lesions:
    """What the tables of a data set say about its lesions.

    ``of``: the lesion by image id, where it is known. ``tables``: names of the tables. ``listed``: image ids in the
    tables, with or without a lesion.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    listed: frozenset[str] = frozenset()

    def renamed(self, ids: Mapping[str, str]) -> Lesions:
        """Return the same for images with new ids; ``ids``: the former ones."""
        of = {ids.get(id, id): lesion for id, lesion in self.of.items()}
        return Lesions(of, self.tables, frozenset(ids.get(id, id) for id in self.listed))


def lesions_of(root: Path, ids: Iterable[str]) -> Lesions:
    """Return the lesions of the images ``ids`` below ``root``, according to all tables there.

    Raises :class:`DataError` where a table cannot be read, no row names one of the images, or two tables disagree.
    """
    wanted = list(ids)
    folded = {_folded(id) for id in wanted}
    tables = {file: rows for file in sorted(_tables(root)) if (rows := _read(file, folded)) is not None}
    if not tables:
        return Lesions()
    merged = _merged(tables)
    found = {id: merged[_folded(id)] for id in wanted if _folded(id) in merged}
    names = tuple(str(file.relative_to(root)) for file in tables)
    if not found and wanted:
        raise DataError(
            f"None of the {counted(len(merged), 'row')} of {', '.join(names)} below {root} names one of its "
            f"{counted(len(wanted), 'image')} (rows such as {next(iter(merged), 'none')}, images such as "
            f"{_folded(wanted[0])}). Add the table that belongs to them, or remove this one."
        )
    return Lesions({id: lesion for id, lesion in found.items() if lesion}, names, frozenset(found))


def _tables(root: Path) -> Iterator[Path]:
    """Yield the files below ``root`` that may be tables; linked folders are entered, each once."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            unmarked = suffix in ("", ".txt") and UNMARKED_TABLE.fullmatch(name)
            if (suffix in TABLE_SUFFIXES or unmarked) and not name.startswith("."):
                yield Path(parent, name)


def _read(file: Path, wanted: Set[str]) -> dict[str, str] | None:
    """Return the lesions by image id in a table (an empty text where a row has none); None for any other file."""
    try:
        if not any(column in LESION_COLUMNS for column in _rows(_beginning(file))[0]):
            _require_no_ham10000(file)
            return None
        columns, rows = _rows(_text(file.read_bytes()))
        id_at = _id_column(columns, rows, wanted)
        if id_at is None:
            _require_no_ham10000(file)
            return None
        return _pairs(file, rows, id_at, next(columns.index(name) for name in LESION_COLUMNS if name in columns))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{file} cannot be read ({error}); expected a table of images and lesions. Download it again: without it a "
            "lesion may be in training and validation."
        ) from error


def _rows(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the names of a table's columns in lower case, and its rows."""
    lines = _from_head(text)
    head = lines[0] if lines else ""
    rows = list(csv.reader(lines, delimiter=max(DELIMITERS, key=head.count)))
    return [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in (rows[0] if rows else [])], rows[1:]


def _id_column(columns: Sequence[str], rows: Sequence[Sequence[str]], wanted: Set[str]) -> int | None:
    """Return the index of the column with most names of ``wanted`` images.

    Columns with a known name are tried first. If no column names any of them, return the first with a known name.
    """
    called = [columns.index(name) for name in ID_COLUMNS if name in columns]
    others = [at for at, name in enumerate(columns) if at not in called and name not in LESION_COLUMNS]
    for places in (called, others):
        hits = [sum(_folded(row[at].strip()) in wanted for row in rows if at < len(row)) for at in places]
        if any(hits):
            return places[hits.index(max(hits))]
    return called[0] if called else None


def _pairs(file: Path, rows: Iterable[list[str]], id_at: int, lesion_at: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        if len(row) <= id_at or not row[id_at].strip():
            continue
        id, lesion = _folded(row[id_at].strip()), row[lesion_at].strip() if len(row) > lesion_at else ""
        lesion = "" if lesion.casefold() in NO_LESION else lesion
        if found.setdefault(id, lesion) != lesion:
            raise DataError(
                f"{file} names two lesions for {id}, {found[id]!r} and {lesion!r}; expected one. Remove one of the "
                "rows."
            )
    return found


def _beginning(file: Path) -> str:
    """Return the first line of a file without reading the rest, which may be large."""
    with file.open("rb") as opened:
        text = _text(opened.read(LONGEST_HEAD), errors="replace")
    return next(iter(_from_head(text)), "")


def _from_head(text: str) -> list[str]:
    """Return the lines of a table without the empty lines and comments before its header."""
    lines = text.splitlines()
    begun = (place for place, line in enumerate(lines) if line.strip(DELIMITERS + " ") and not line.startswith("#"))
    return lines[next(begun, len(lines)) :]


def _text(data: bytes, errors: str = "strict") -> str:
    if data.startswith(UTF_16):
        return data.decode("utf-16", errors)
    try:
        return data.decode("utf-8-sig", errors)
    except UnicodeDecodeError:  # as old spreadsheets write
        return data.decode("cp1252")


def _require_no_ham10000(file: Path) -> None:
    if HAM10000_METADATA.fullmatch(file.name):
        raise DataError(
            f"{file} cannot be read (it lacks the columns image_id and lesion_id); expected HAM10000's metadata. "
            "Download it again: without it a lesion may be in training and validation."
        )


def _merged(tables: Mapping[Path, Mapping[str, str]]) -> dict[str, str]:
    """Return the lesions by id over all tables. Names of lesions may differ between tables, but the groups must not."""
    merged: dict[str, str] = {}
    for file, rows in tables.items():
        shared = {id: (lesion, merged[id]) for id, lesion in rows.items() if lesion and merged.get(id)}
        ours, theirs = dict(shared.values()), {before: lesion for lesion, before in shared.values()}
        for id, (lesion, before) in shared.items():
            if ours[lesion] != before or theirs[before] != lesion:
                others = ", ".join(str(other) for other in tables if other != file)
                raise DataError(
                    f"{file} and {others} disagree on which images show the same lesion, for example {id}. Remove the "
                    "one that is wrong."
                )
        merged |= {id: ours.get(lesion, lesion) for id, lesion in rows.items() if not merged.get(id)}
    return merged


def _folded(id: str) -> str:
    """Return an id or file name for comparisons: without folder and suffix, in lower case."""
    stem, suffix = os.path.splitext(os.path.basename(id.replace("\\", "/")))
    name = stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix
    return unicodedata.normalize("NFC", name).casefold()
