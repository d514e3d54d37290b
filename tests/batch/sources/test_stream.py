"""Streams that pause: the program can end whatever a thread is waiting for."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.archive import save

LEAVE = """
import sys, threading
from batch.sources.collect import Sources

sources, lists, images = eval(sys.argv[1]), eval(sys.argv[2]), int(sys.argv[3])
seen = threading.Semaphore(0)

def walk():
    seen.release()
    for _ in Sources(sources, frozenset({".png"}), files_from=lists):
        seen.release()

threading.Thread(target=walk, daemon=True).start()
for _ in range(images + 1):
    assert seen.acquire(timeout=20)
threading.Event().wait(0.3)  # it waits for more by now
sys.exit(7)
"""


@contextmanager
def paused(begin: bytes) -> Iterator[int]:
    """A pipe that begins so, and then neither goes on nor ends."""
    reading, writing = os.pipe()
    try:
        os.write(writing, begin)
        yield reading
    finally:
        os.close(reading)
        os.close(writing)


def a_list(work: Path) -> bytes:
    return b"a.png\n" * 200


def a_tar(work: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.add(work / "a.png", "a.png")
    return made.getvalue()[: -tarfile.RECORDSIZE // 2]


def ended(work: Path, reading: int, sources: str, lists: str, images: int) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-X", "dev", "-c", LEAVE, sources, lists, str(images)]
    return subprocess.run(line, stdin=reading, cwd=work, capture_output=True, check=False, text=True, timeout=60)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(tmp_path / "a.png")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
@pytest.mark.parametrize(
    ("make", "sources", "lists", "images"),
    [
        (a_list, "['-']", "()", 100),
        (a_list, "()", "['-']", 100),
        (a_list, "['/dev/stdin']", "()", 100),
        (a_tar, "['-']", "()", 0),  # it reads on until there is a piece
        (lambda _: b"", "['-']", "()", 0),
        (lambda _: b"a.p", "['-']", "()", 0),
    ],
)
def test_a_program_ends_while_a_thread_waits_for_standard_input(
    work: Path, make: object, sources: str, lists: str, images: int
) -> None:
    assert callable(make)
    with paused(make(work)) as reading:
        found = ended(work, reading, sources, lists, images)
    assert (found.returncode, found.stderr) == (7, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_pipe_that_does_not_wait_is_read_to_its_end(work: Path) -> None:
    script = """
import os, sys, threading, time
from batch.sources.collect import Sources
os.set_blocking(0, False)

def write():
    for _ in range(3):
        time.sleep(0.1)
        os.write(int(sys.argv[1]), b"a.png\\n" * 200)
    os.close(int(sys.argv[1]))

threading.Thread(target=write).start()
print(sum(1 for _ in Sources(["-"], frozenset({".png"}))))
"""
    reading, writing = os.pipe()
    line = [sys.executable, "-W", "error", "-c", script, str(writing)]
    process = subprocess.Popen(
        line, stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing], cwd=work, text=True
    )
    os.close(reading)
    os.close(writing)
    assert process.communicate(timeout=60) == ("600\n", "")
