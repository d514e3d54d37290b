"""The lock of a run's folder, while other commands take and leave it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seglab.errors import WriteError
from seglab.training.lock import LOCK, held

AT_ONCE, TURNS = 3, 30
CONTENDER = """
import os, sys
from pathlib import Path
from seglab.training import lock
lock.PATIENCE = 600.0
out, alone = Path(sys.argv[1]), sys.argv[2]
sys.stdin.read(1)
for _ in range(int(sys.argv[3])):
    with lock.held(out):
        os.close(os.open(alone, os.O_CREAT | os.O_EXCL))  # fails where two hold it
        os.unlink(alone)
"""


def test_many_at_once_hold_it_one_by_one(tmp_path: Path, repo_root: Path) -> None:
    words = [sys.executable, "-c", CONTENDER, str(tmp_path / "run"), str(tmp_path / "alone"), str(TURNS)]
    running = [
        subprocess.Popen(words, cwd=repo_root, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(AT_ONCE)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b".")
        process.stdin.flush()
    ended = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * AT_ONCE, [error for _, error in ended]


def test_a_folder_that_is_removed_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, removed = Path.mkdir, list[Path]()

    def remove_once(path: Path, *arguments: bool, **options: bool) -> None:
        make(path, *arguments, **options)
        if not removed:
            removed.append(path)
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", remove_once)
    with held(tmp_path / "run"):
        assert (tmp_path / "run" / LOCK).exists()
    assert removed


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(WriteError, match="cannot be written"), held(tmp_path / "run"):
        raise AssertionError("no folder")
