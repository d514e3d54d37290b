"""Ledgers are read through a copy of which a kill leaves nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from batch.sqlite_readonly import connect_readonly

ROWS = 5000


def written(path: Path, *, wal: bool) -> Path:
    """Write a database; with ``wal`` as a killed writer leaves it, with its last rows in the log."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);")
        with connection:
            connection.executemany("INSERT INTO t VALUES (?, ?)", ((row, "x" * 200) for row in range(ROWS)))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not wal:
            return path
        with connection:
            connection.executemany("INSERT INTO t VALUES (?, 'last')", ((row,) for row in range(ROWS, ROWS + 100)))
        killed = path.parent / "killed"
        killed.mkdir()
        for ending in ("", "-wal"):
            shutil.copyfile(f"{path}{ending}", killed / f"{path.name}{ending}")
    return killed / path.name


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the files of open databases")
@pytest.mark.parametrize("wal", [False, True], ids=["closed", "killed"])
def test_an_open_copy_has_no_files_and_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wal: bool
) -> None:
    source = written(tmp_path / "l.sqlite", wal=wal)
    before = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.is_file()}
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with contextlib.closing(connect_readonly(source)) as connection:
        assert os.listdir(tmp_path / "tmp") == []
        counted: list[int] = []

        def count() -> None:
            counted.append(connection.execute("SELECT count(*) FROM t").fetchone()[0])

        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
        count()
        assert counted == [ROWS + 100 * wal] * 2
        ordered = connection.execute("SELECT a FROM t ORDER BY b, a DESC LIMIT 1").fetchone()  # sorts
        assert ordered == (ROWS + 99 if wal else ROWS - 1,)
    assert {path.name: path.read_bytes() for path in source.parent.iterdir() if path.is_file()} == before
    assert os.listdir(tmp_path / "tmp") == []


def test_a_damaged_file_is_said_by_the_first_query(tmp_path: Path) -> None:
    source = written(tmp_path / "l.sqlite", wal=False)
    source.write_bytes(b"SQLite format 3\0" + bytes(4000))
    with contextlib.closing(connect_readonly(source)) as connection, pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT count(*) FROM t").fetchone()
