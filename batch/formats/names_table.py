"""The table that maps pseudonyms to images; it undoes them, so only its owner can read it."""

from __future__ import annotations

import os
from pathlib import Path

from batch.errors import OutputError, cannot_write, encodable, printable
from batch.formats.naming import Pseudonyms
from batch.output_mark import is_marked
from batch.reporting.result_file import begins_with, csv_writer, require_replaceable
from seglab.files import replacing

COLUMNS = ("pseudonym", "photograph", "mask")
BEGIN = ",".join(COLUMNS)
OWNER_ONLY = 0o600


def require_names_table(path: Path, to: Path) -> None:
    """Raise :class:`ConfigError` or :class:`OutputError` if the table cannot be written to ``path``, or would be handed
    on with the export ``to``.
    """
    require_replaceable(path, (".csv",), "a table of pseudonyms", begins_with(BEGIN))
    if path.resolve().is_relative_to(to.resolve()):
        raise OutputError(
            f"{printable(str(path))} lies in the folder that is handed on, and would undo its pseudonyms; expected "
            "another place. Choose one with --names."
        )
    require_private(path)


def require_private(path: Path) -> None:
    """Raise :class:`OutputError` for a place among masks or pictures, which may be handed on with them."""
    marked = next((str(folder) for folder in path.absolute().parents if is_marked(folder)), None)
    if marked is not None:
        raise OutputError(
            f"{printable(str(path))} would lie among the masks or pictures in {printable(marked)}, and undo their "
            "pseudonyms; expected another place. Name one outside."
        )


def write_names_table(names: Pseudonyms, path: Path) -> None:
    """Write a row for each image that is done. Raises :class:`OutputError` if that fails, or if the file there has
    other pseudonyms, which may be known nowhere else.
    """
    try:
        if path.exists():
            _require_same(names, path)
        with replacing(path) as temporary:
            number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
            with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
                writer = csv_writer(file, COLUMNS)
                for entry in names.entries():
                    values = (names.of(entry), encodable(entry.path), encodable(entry.mask))
                    writer.writerow(dict(zip(COLUMNS, values, strict=True)))
    except OSError as error:
        raise cannot_write(str(path), error) from error


def _require_same(names: Pseudonyms, path: Path) -> None:
    """Raise :class:`OutputError` if a table has rows, and none of them is of an image of this output."""
    with path.open(encoding="utf-8", errors="replace") as file:
        known = {line.partition(",")[0] for line in file} - {COLUMNS[0]}
    if known and known.isdisjoint(map(names.of, names.entries())):
        raise OutputError(
            f"{printable(str(path))} holds the pseudonyms of another output, or those of a key that is lost, and may "
            "be the only record of them; expected a new file. Choose another place with --names, or move that one away."
        )
