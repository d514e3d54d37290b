"""Tables as Parquet files: small, as a job has a row for each of many million images, twice.

Of Parquet's encodings only those are used that every common reader knows.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow

METADATA, MAGIC = b"seglab", b"PAR1"


class Coding(NamedTuple):
    """How a column is written: Parquet's name of the encoding, and the level of zstd after it."""

    encoding: str
    level: int = 9


LIKE_THE_LAST = Coding("DELTA_BYTE_ARRAY", 15)
"""Texts that begin as the one before: paths."""
HEX_DIGITS = Coding("DELTA_BYTE_ARRAY", 1)
"""Texts of random digits: at higher levels zstd finds chance repetitions in them, which cost more than the digits."""
NEAR = Coding("DELTA_BINARY_PACKED")
"""Integers of which most are near the one before, or have few digits."""
VARIED = Coding("PLAIN")
REPEATED = Coding("RLE_DICTIONARY")
"""Few different values; what a column without a coding is taken for."""


def encode_table(
    schema: pyarrow.Schema, rows: Sequence[Sequence[Any]], about: Mapping[str, Any], codings: Mapping[str, Coding]
) -> bytes:
    """Return a table as a file's content.

    ``about``: what :func:`about_table` returns of it. ``codings``: of columns that are not :data:`REPEATED`.
    """
    import pyarrow
    import pyarrow.parquet

    columns = dict(zip(schema.names, map(list, zip(*rows, strict=True)), strict=True))
    table = pyarrow.table(columns, schema.with_metadata({METADATA: json.dumps(about)}))
    levels = {name: codings.get(name, REPEATED).level for name in schema.names}
    file = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        file,
        compression="zstd",
        compression_level=levels,
        use_dictionary=[name for name in schema.names if name not in codings],
        column_encoding={name: coding.encoding for name, coding in codings.items()},
        write_statistics=["status"] if "status" in schema.names else False,
    )
    return file.getvalue()


def read_table(data: bytes) -> pyarrow.Table:
    """Read a Parquet file from memory, without threads of pyarrow: one that still starts as Python exits aborts it."""
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data), pre_buffer=False) as file:
        return file.read(use_threads=False)


def about_end(end: bytes) -> tuple[dict[str, Any], int] | None:
    """Return what :func:`about_table` says, and the number of rows, from the last bytes of a file; None if they do not
    hold its whole footer.
    """
    import pyarrow
    import pyarrow.parquet

    length = int.from_bytes(end[-8:-4], "little") + 8
    if not end.endswith(MAGIC) or len(end) < length:
        return None
    found = pyarrow.parquet.read_metadata(pyarrow.BufferReader(MAGIC + end[-length:]))
    return _about(found.metadata), found.num_rows


def about_table(table: pyarrow.Table) -> dict[str, Any]:
    """Return what this package says of a table beside its rows; empty for a table of somebody else."""
    return _about(table.schema.metadata)


def _about(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    try:
        found = json.loads((metadata or {}).get(METADATA, b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
