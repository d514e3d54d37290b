"""What is under way is known, whoever works on it, also after it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batch.steps.begun import BATCH_SLOTS, THREAD_SLOTS, Begun, BegunFile, left_by_a_killed_run

WORKER = """
import sys, time
from pathlib import Path
from batch.steps.begun import Begun
begun = Begun(Path(sys.argv[1]), int(sys.argv[2]))
with begun.one(41), begun.together([7, 8]):
    print("begun", flush=True)
    sys.stdin.read()
with begun.one(42):
    print("begun", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "begun"


@pytest.fixture
def file(path: Path) -> Iterator[BegunFile]:
    with closing(BegunFile(path, 3)) as file:
        yield file


def rows(file: BegunFile, worker: int) -> list[int]:
    return sorted(slot.row for slot in file.of(worker))


def start(path: Path, worker: int, root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(worker)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def test_another_process_sees_what_is_begun_and_what_ended(path: Path, file: BegunFile, repo_root: Path) -> None:
    process = start(path, 1, repo_root)
    try:
        assert (rows(file, 0), rows(file, 1), rows(file, 2)) == ([], [7, 8, 41], [])
        assert all(abs(slot.since - time.monotonic()) < 60 for slot in file.of(1))  # one clock for all
        assert len({slot.since for slot in file.of(1) if slot.row in (7, 8)}) == 1
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        assert process.stdout.readline() == "begun\n"
        assert rows(file, 1) == [42]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert rows(file, 1) == [42]  # a process that was killed takes nothing back
    file.clear(1)
    assert rows(file, 1) == []


def test_each_thread_has_a_place_of_its_own(path: Path, file: BegunFile) -> None:
    begun, together = Begun(path, 2), threading.Barrier(9)

    def work(row: int) -> None:
        with begun.one(row):
            together.wait(10)
            together.wait(10)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(1, 9)]
    for thread in threads:
        thread.start()
    together.wait(10)
    assert rows(file, 2) == list(range(1, 9))
    together.wait(10)
    for thread in threads:
        thread.join()
    assert (rows(file, 0), rows(file, 1), rows(file, 2)) == ([], [], [])


def test_more_threads_than_places_do_no_harm(path: Path, file: BegunFile) -> None:
    begun = Begun(path, 0)

    def work(row: int) -> None:
        with begun.one(row):
            pass

    for row in range(1, 3 * THREAD_SLOTS):
        thread = threading.Thread(target=work, args=(row,))
        thread.start()
        thread.join()
    assert rows(file, 0) == rows(file, 1) == []


def test_the_first_images_of_a_long_batch_are_noted_and_stay_in_their_places(path: Path, file: BegunFile) -> None:
    begun = Begun(path, 1)
    with begun.together(range(1, 2 * BATCH_SLOTS)):
        assert rows(file, 1) == list(range(1, BATCH_SLOTS + 1))
        assert rows(file, 0) == rows(file, 2) == []
    assert rows(file, 1) == []


def test_what_raises_has_ended(path: Path, file: BegunFile) -> None:
    begun = Begun(path, 0)
    with pytest.raises(LookupError), begun.together([1, 2]), begun.one(3):
        raise LookupError
    assert rows(file, 0) == []


def test_where_nobody_looks_nothing_is_noted(tmp_path: Path) -> None:
    begun = Begun()
    with begun.one(1), begun.together([2, 3]):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_by_itself_leaves_nothing(path: Path) -> None:
    file = BegunFile(path, 2)
    with Begun(path, 1).one(5):
        file.close()
    assert left_by_a_killed_run(path) == []
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_leaves_what_it_was_working_on(path: Path, repo_root: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom batch.steps.begun import Begun, BegunFile\n"
        "path = Path(sys.argv[1])\nfile = BegunFile(path, 2)\n"
        "with Begun(path, 1).one(11), Begun(path, 0).together([3, 4]):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(repo_root)}
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    assert sorted(left_by_a_killed_run(path)) == [3, 4, 11]
    BegunFile(path, 5).close()  # the next run begins with an empty one
    assert left_by_a_killed_run(path) == []


@pytest.mark.parametrize("content", [b"", b"torn", b"\xff" * 37, b"\0" * 4096], ids=["empty", "torn", "ones", "zeros"])
def test_a_file_that_is_torn_or_of_something_else_is_no_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert left_by_a_killed_run(path) == []
    path.unlink()
    path.mkdir()
    assert left_by_a_killed_run(path) == []


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep me")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="links"):
        BegunFile(path, 1)
    assert (tmp_path / "precious").read_text() == "keep me"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_is_noticed_when_the_file_is_made() -> None:
    """Not when somebody looks into it, which ends the process."""
    with pytest.raises(OSError, match="No space left"):
        BegunFile(Path("/dev/full"), 2)
