"""The lock of an output: one run at a time, and no trace where a run was refused."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batch.errors import OutputError
from batch.ledger.lock import LOCK_NAME, locked
from batch.output_mark import LEDGER_NAME

AT_ONCE, TURNS = 3, 40
CONTENDER = """
import os, sys
from pathlib import Path
from batch.errors import OutputError
from batch.ledger.lock import locked
out, alone, turns = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
held = 0
sys.stdin.read(1)
while held < turns:
    try:
        with locked(out):
            os.close(os.open(alone, os.O_CREAT | os.O_EXCL))  # fails where two hold it
            held += 1
            os.unlink(alone)
    except OutputError as error:
        assert "Another run is writing" in str(error), error
"""


def test_a_lock_without_a_ledger_leaves_nothing(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", tmp_path / "c"):
        assert (tmp_path / "a" / "b" / LOCK_NAME).exists()
        assert (tmp_path / "c" / LOCK_NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "a" / "b", tmp_path / "c"):
        (tmp_path / "c" / "notes.txt").touch()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a", "c", "c/notes.txt"]


def test_with_a_ledger_the_lock_stays(tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        (tmp_path / "out" / LEDGER_NAME).write_text("a ledger")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [LOCK_NAME, LEDGER_NAME]


def test_who_is_refused_takes_no_lock_of_another_run_away(tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        for _ in range(2):
            with pytest.raises(OutputError, match="Another run is writing"), locked(tmp_path / "out"):
                raise AssertionError("two runs at once")
        assert (tmp_path / "out" / LOCK_NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), locked(tmp_path / "out", tmp_path / "file"):
        raise AssertionError("no folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_many_at_once_hold_it_one_by_one_and_leave_no_file(tmp_path: Path, repo_root: Path) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    words = [sys.executable, "-c", CONTENDER, str(out), str(alone), str(TURNS)]
    running = [
        subprocess.Popen(words, cwd=repo_root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(AT_ONCE)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b".")
        process.stdin.flush()
    ended = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * AT_ONCE, [error for _, error in ended]
    assert {path.name for path in tmp_path.rglob("*")} <= {"out"}  # empty


def test_a_folder_that_goes_between_refusal_and_look_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir
    refused: list[Path] = []

    def refuse_once(path: Path, mode: int = 0o777) -> None:
        if not refused:
            refused.append(path)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse_once)
    with locked(tmp_path / "out"):
        assert (tmp_path / "out" / LOCK_NAME).exists()
    assert refused == [tmp_path / "out"]
