"""Tables of pairs: CSV files with the columns image and mask, and optionally lesion and split."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from seglab.data.finding.folders import ids_of
from seglab.data.finding.found import Found, is_too_much, some
from seglab.data.finding.matching import Placed
from seglab.data.finding.names import PART_NAMES
from seglab.data.pairs import FilePair
from seglab.errors import DataError
from seglab.words import counted

SUFFIXES = frozenset({".csv", ".tsv"})
TABLE_IN_FOLDER = "pairs.csv"
"""Name of a table that defines the pairs of its folder."""


def is_table_of_pairs(path: Path) -> bool:
    """Return whether ``path`` is a file with the columns of a table of pairs."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            columns = {name.strip().strip('"').lower() for name in re.split("[,;\t]", file.readline())}
    except OSError:
        return False
    return {"image", "mask"} <= columns


def found_in_table(path: Path) -> Found:
    """Return the pairs that a table names; paths in it are relative to its folder.

    Raises :class:`DataError` where it cannot be read, names an image twice, or names too many missing files.
    """
    rows = _rows(path)
    found = Found("a table of pairs", images=len(rows))
    kept: dict[Path, dict[str, str]] = {}
    for number, row in enumerate(rows, 2):
        image, mask = (_file(path.parent, row[column]) for column in ("image", "mask"))
        missing = [str(file) for file in (image, mask) if not file.is_file()]
        if missing or not row["image"] or not row["mask"]:
            name = " and ".join(missing) if row["image"] and row["mask"] else "nothing"
            found.leave_out("named in the table but missing", [f"line {number}: {name}"])
        elif image in kept and kept[image] != row:
            raise DataError(
                f"{path} names {row['image']} twice, and line {number} differs; expected one line per image."
            )
        elif image in kept:
            found.leave_out("there twice", [f"line {number}: {row['image']}"])
            found.images -= 1
        else:
            kept[image] = row
    lost = [name for reason, names in found.left_out.items() if reason.startswith("named") for name in names]
    if not kept or is_too_much(len(lost), len(kept) + len(lost)):
        raise DataError(
            f"{path}: {len(kept)} of {len(rows)} lines name files that exist; missing: {some(lost) or 'none'}.\n"
            "Expected paths relative to the table's folder. Correct the table, or add the files."
        )
    images = {image: Placed(image, _part(path, row)) for image, row in kept.items()}
    ids = ids_of(path.parent, images.values())
    found.pairs += [
        FilePair(ids[image], image, _file(path.parent, row["mask"]), row.get("lesion", ""), images[image].part)
        for image, row in kept.items()
    ]
    return found


def _file(folder: Path, name: str) -> Path:
    """Return the file that a table names, with either ``/`` or ``\\`` in its path."""
    path = folder / name
    return path if path.exists() else folder / name.replace("\\", "/")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [{(key or "").strip().lower(): (value or "").strip() for key, value in row.items()} for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected a table of pairs, in UTF-8.") from error
    if not rows or not {"image", "mask"} <= rows[0].keys():
        columns = ", ".join(rows[0]) if rows else first.strip()
        raise DataError(
            f"{path} has {counted(len(rows), 'line')} with the columns {columns or 'none'}; expected image and mask, "
            "and optionally lesion and split. Rename the columns."
        )
    return rows


def _part(path: Path, row: dict[str, str]) -> str:
    part = row.get("split", "").lower()
    if part and part not in PART_NAMES:
        raise DataError(f"{path} has the split {part!r}; expected training, validation, test, or nothing.")
    return PART_NAMES.get(part, "")
