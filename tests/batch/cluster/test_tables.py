"""Parts of the ledger and of the manifest keep every value, however small their files are."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from batch.cluster.files.manifest import Entry, encode_part, read_part
from batch.cluster.files.names import UnitName
from batch.cluster.files.parts import Row, Summary, encode_rows, read_rows, read_summary
from batch.cluster.files.place import FolderPlace
from batch.errors import OutputError

UNIT = UnitName(3, 1)
MOST = 2**63 - 1
DONE = Row(
    "s3://photos/größe/a b.jpg", "s3://photos", "größe/a b.png", "done", None, 5, 10**18, "etag:00ff", 450, 600, 9, 1,
    2, 4, 5, 0.25, 0.75, 0.0125, 0, "a remark", "masks/u-00003-0123456789ab.tar", 512, 99, bytes(range(32)),
)  # fmt: skip
FAILED = DONE._replace(
    path="/on/a disk/b.jpg", mask="b.png", status="failed", error="Not an image.", version=None, height=None,
    width=None, lesion_area=None, bbox_x0=None, bbox_y0=None, bbox_x1=None, bbox_y1=None, confidence=None,
    suitable=None, remark=None, tar=None, offset=None, size=None, sha256=None,
)  # fmt: skip
EXTREME = DONE._replace(
    path="", mask="", bytes=-1, mtime_ns=-MOST, version="crc32:1c291ca3", height=2**31 - 1, width=1, lesion_area=MOST,
    bbox_x0=0, bbox_y0=0, bbox_x1=2**31 - 1, bbox_y1=1, confidence=float(np.float32(0.1)), suitable=None, seconds=0.0,
    attempts=127, offset=MOST, size=0, sha256=bytes(32),
)  # fmt: skip
ENTRIES = [
    Entry(
        "s3://photos", "s3://photos/größe/a b.jpg", "größe/a b.png", 5, 10**18, "etag:00ff", "url", "s3://photos", "x"
    ),
    Entry("/a.zip", "/a.zip/b.jpg", "b.png", 7, 0, "crc32:ff", "zip", "/a.zip", "", MOST, 6, 2**32 - 1, 8, 2048),
    Entry("/c", "", "", -1, -MOST, "", "nothing", "", "It cannot be read."),
]


def summary(images: int) -> Summary:
    return Summary(str(UNIT), "0123456789ab", images, images, 0, 1.0, "then", "now", "cpu", "fp32", "host")


@pytest.mark.parametrize("rows", [[DONE], [FAILED], [EXTREME, FAILED, DONE], [FAILED, DONE] * 500], ids=len)
def test_rows_of_the_ledger_come_back(tmp_path: Path, rows: list[Row]) -> None:
    place = FolderPlace(tmp_path)
    rows = [row._replace(seconds=float(np.float32(row.seconds))) for row in rows]
    place.write(UNIT.ledger, encode_rows(rows, summary(len(rows))))
    assert read_rows(place, UNIT) == (summary(len(rows)), rows)
    table = pyarrow.parquet.read_table(tmp_path / UNIT.ledger)
    assert tuple(table.column_names) == Row._fields


@pytest.mark.parametrize("entries", [ENTRIES[:1], ENTRIES, ENTRIES * 300], ids=len)
def test_entries_of_the_manifest_come_back(tmp_path: Path, entries: list[Entry]) -> None:
    place = FolderPlace(tmp_path)
    place.write(UNIT.manifest, encode_part(UNIT, entries, "key", "plan"))
    assert read_part(place, UNIT, "key", "plan") == entries
    assert tuple(pyarrow.parquet.read_table(tmp_path / UNIT.manifest).column_names) == Entry._fields


def test_only_encodings_are_used_that_common_readers_know() -> None:
    """Those of the first releases of Parquet, and the DELTA ones: no BYTE_STREAM_SPLIT, which many engines lack."""
    files = encode_rows([DONE, FAILED] * 50, summary(100)), encode_part(UNIT, ENTRIES, "key", "plan")
    known = {"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY"}
    for file in files:
        group = pyarrow.parquet.read_metadata(io.BytesIO(file)).row_group(0)
        for number in range(group.num_columns):
            assert set(group.column(number).encodings) <= known, group.column(number).path_in_schema
            assert group.column(number).compression == "ZSTD"


@pytest.mark.parametrize("size", [64 * 2**10, 100])
def test_a_summary_is_read_from_the_end_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Also if the footer is larger than what is read first."""
    monkeypatch.setattr("batch.cluster.files.parts.END_BYTES", size)
    digests = (hashlib.sha256(bytes([number % 256, number // 256])).digest() for number in range(5000))
    rows = [DONE._replace(sha256=digest) for digest in digests]
    summary = Summary("u-00000", "0123456789ab", len(rows), len(rows), 0, 1.0, "a", "b", "cpu", "fp32", "host")
    place, unit = FolderPlace(tmp_path), UnitName(0)
    assert place.create(unit.ledger, encode_rows(rows, summary))
    assert read_summary(place, unit) == summary
    assert len(place.read(unit.ledger)) > 64 * 2**10


@pytest.mark.parametrize("data", [b"", b"PAR1", bytes(12) + b"PAR1", b"x" * 100_000])
def test_a_part_that_is_damaged_at_its_end(tmp_path: Path, data: bytes) -> None:
    place, unit = FolderPlace(tmp_path), UnitName(0)
    place.create(unit.ledger, data)
    with pytest.raises(OutputError, match="is damaged"):
        read_summary(place, unit)


def test_reading_starts_no_thread() -> None:
    """A thread of pyarrow that still starts as Python exits ends the process by SIGABRT."""
    script = """
import os
from batch.cluster.files.tables import encode_table, read_table
import pyarrow
data = encode_table(pyarrow.schema([("a", pyarrow.string())]), [("x",)] * 1000, {}, {})
before = len(os.listdir("/proc/self/task"))
assert read_table(data).num_rows == 1000
assert len(os.listdir("/proc/self/task")) == before
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
