"""Runs that are killed, stopped, or started twice: real processes, real signals."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import archived_masks, command, masks_below, save, seg_batch
from tests.support.artefact import blobs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

COUNT = 40
PATIENCE = 120.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many names for few large PNG files, which take long to decode and no space."""
    root = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    originals = [
        save(root / "store" / f"{n}.png", blobs(rng, 500 + 10 * n, 700)[0], compress_level=1) for n in range(4)
    ]
    (root / "in" / "sub").mkdir(parents=True)
    for number in range(COUNT):
        os.link(originals[number % 4], root / "in" / ("sub" if number % 2 else "") / f"{number:03}.png")
    return root / "in"


@pytest.fixture(scope="module")
def uninterrupted(archive: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    done = seg_batch(*arguments(archive, model_file, out))
    assert done.returncode == 0, done.stderr
    return masks_below(out)


def arguments(archive: Path | str, model_file: Path, out: Path) -> tuple[str | Path, ...]:
    return ("run", archive, "--out", out, "--model", model_file, "--device", "cpu", "--workers", "1", "--batch", "2")


def start_with_open_list(archive: Path, model_file: Path, out: Path, count: int) -> subprocess.Popen[str]:
    """Start a run over the first ``count`` images, by a list on standard input that stays open: it cannot end."""
    process = subprocess.Popen(
        command(*arguments("-", model_file, out)), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=archive
    )
    names = sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*.png"))[:count]
    assert process.stdin is not None
    process.stdin.write("# more is to come\n" * 50 + "".join(f"{name}\n" for name in names))
    process.stdin.flush()
    return process


def start(archive: Path, model_file: Path, out: Path, masks: int, count: int = COUNT) -> subprocess.Popen[str]:
    """Start a run that cannot end; return when it has written some masks."""
    process = start_with_open_list(archive, model_file, out, count)
    deadline = time.monotonic() + PATIENCE
    while len(list(out.rglob("[!.]*.png"))) < masks:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return process


def done_masks(out: Path) -> set[str]:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        return {mask for (mask,) in connection.execute("SELECT mask FROM items WHERE status = 'done'")}


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_nothing_and_tears_nothing(
    archive: Path, model_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for masks in (1, 7, 17):
        process = start(archive, model_file, out, masks)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        there = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("[!.]*.png")}
        assert all(uninterrupted[name] == data for name, data in there.items())  # whole, every one
        assert done_masks(out) <= set(there)
    (out / ".000.99-99.tmp.png").write_bytes(b"torn")
    last = seg_batch(*arguments(archive, model_file, out))
    assert last.returncode == 0, last.stderr
    assert masks_below(out) == uninterrupted
    assert done_masks(out) == set(uninterrupted)
    assert len(uninterrupted) == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_kill_9_leaves_an_archive_of_masks_that_the_next_run_completes(
    archive: Path, model_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path, kind: str
) -> None:
    out = tmp_path / f"masks.{kind}"
    part = tmp_path / f"masks.{kind}.part"
    for kilobytes in (2, 16, 32):
        process = start_with_open_list(archive, model_file, out, COUNT)
        deadline = time.monotonic() + PATIENCE
        while not part.exists() or part.stat().st_size < kilobytes * 1024:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        assert not out.exists()
    last = seg_batch(*arguments(archive, model_file, out))
    assert last.returncode == 0, last.stderr
    assert archived_masks(out) == uninterrupted
    assert not part.exists()
    assert seg_batch("verify", out).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_in_order(
    archive: Path, model_file: Path, uninterrupted: dict[str, bytes], tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(archive, model_file, out, 5, COUNT - 1)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "run the same command again to continue" in said
    assert done_masks(out) == set(masks_below(out))  # all that was written is on record
    assert 0 < len(done_masks(out)) < COUNT
    status = seg_batch("status", out)
    assert "stopped early" in status.stdout
    again = seg_batch(*arguments(archive, model_file, out))
    assert again.returncode == 0, again.stderr
    assert masks_below(out) == uninterrupted


@pytest.mark.slow
def test_a_second_run_at_the_same_time_is_refused(archive: Path, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(archive, model_file, out, 1)
    process.send_signal(signal.SIGSTOP)
    second = seg_batch(*arguments(archive, model_file, out))
    status = seg_batch("status", out)  # reading is allowed
    process.kill()
    process.communicate()
    assert second.returncode == 1
    assert "Another run is writing" in second.stderr
    assert status.returncode == 0, status.stderr
    assert "still running, or killed" in status.stdout
