"""Ctrl-C and SIGTERM in every state of a run, and ends that nobody asked for: nothing outlives the command."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import masks_below, seg_batch
from tests.support.faults import (
    PATIENCE,
    SOON,
    counts,
    healthy,
    png,
    run_words,
    started,
    tar_of,
    wait_for,
    write_images,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")

FINISHING = "press Ctrl-C again to stop now"
STOPPED = 130
TWELVE_SECONDS = ("--processes", "2", "--workers", "1")
"""With these options, 120 slow images take at least so long, however many cores there are."""
SMALL = np.full((50, 60, 3), 90, np.uint8)


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_work(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(120, fault="slow"))
    out = tmp_path / "out"
    with started(tmp_path, *run_words(source, out, model_file, *TWELVE_SECONDS)) as run:
        wait_for(lambda: len(masks_below(out)) > 4, PATIENCE, lambda: run.said)
        run.kill(signal.SIGINT)  # as a terminal does: to all processes at once
        run.says(FINISHING)
        assert run.wait() == STOPPED, run.said
    done = counts(out)
    assert 0 < done["done"] < 120
    assert done["failed"] == 0
    assert len(masks_below(out)) == done["done"]  # what was written is on record
    assert "ended" not in run.said
    assert "stopped early" in seg_batch("status", out).stdout


MAKE: dict[str, Callable[[], dict[str, bytes]]] = {
    "worker works": lambda: healthy(120, fault="slow"),
    "worker hangs": lambda: {"a.png": png(SMALL, "hang")},
    "worker hangs and holds Python": lambda: {"a.png": png(SMALL, "clutch")},
    "two hang": lambda: {f"{name}.png": png(SMALL, "clutch") for name in "ab"},
    "model hangs": lambda: {"a.png": png(np.full((64, 64, 3), (0, 255, 255), np.uint8))},
    "alone, and hangs": lambda: {"a.png": png(np.full((8100, 8100, 3), 90, np.uint8), "after-hang", compress_level=1)},
}
"""Images that bring a run into a state; the last one has 65.6 megapixels, and is worked on alone."""
FAULTS = {
    "worker works": "slow",
    "worker hangs and holds Python": "clutch",
    "two hang": "clutch",
}
FAST = ("worker hangs and holds Python", signal.SIGINT)
STATES = [
    pytest.param(state, number, marks=[] if (state, number) == FAST else [pytest.mark.slow])
    for state in MAKE
    for number in (signal.SIGINT, signal.SIGTERM)
]


@pytest.mark.parametrize(("state", "number"), STATES)
def test_a_second_one_ends_at_once(model_file: Path, tmp_path: Path, state: str, number: signal.Signals) -> None:
    source = write_images(tmp_path / "in", MAKE[state]())
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file)) as run:
        run.in_time(FAULTS.get(state, "hang"), tmp_path)
        run.process.send_signal(number)
        run.says(FINISHING)
        assert state == "worker works" or run.process.poll() is None  # a worker that works may just have finished
        run.process.send_signal(number)
        assert run.wait(SOON) in (STOPPED, -number), run.said


@pytest.mark.slow
def test_a_run_in_the_background_ignores_ctrl_c_and_ends_by_sigterm(model_file: Path, tmp_path: Path) -> None:
    """As a shell without job control starts it."""
    source, out = write_images(tmp_path / "in", healthy(120, fault="slow")), tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = started(tmp_path, *run_words(source, out, model_file, *TWELVE_SECONDS))
        with run as process:
            wait_for(lambda: len(masks_below(out)) > 4, PATIENCE, lambda: process.said)
            process.kill(signal.SIGINT)
            done = len(masks_below(out))
            wait_for(lambda: len(masks_below(out)) > done + 4, PATIENCE, lambda: process.said)
            assert FINISHING not in process.said
            process.kill(signal.SIGTERM)
            assert process.wait() == STOPPED, process.said
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["two hang", "alone, and hangs"])
def test_one_is_enough_while_workers_hang(model_file: Path, tmp_path: Path, state: str) -> None:
    source = write_images(tmp_path / "in", MAKE[state]() | healthy(10))
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file)) as run:
        run.in_time(FAULTS.get(state, "hang"), tmp_path)
        run.kill(signal.SIGINT)
        run.says(FINISHING)
        assert run.wait(PATIENCE) == STOPPED, run.said
    assert counts(tmp_path / "out")["failed"] == 0  # the next run tries it


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_source_that_pauses(model_file: Path, tmp_path: Path, twice: bool) -> None:
    data, out = tar_of(healthy(8)), tmp_path / "out"
    read, write = os.pipe()
    with started(tmp_path, *run_words("-", out, model_file), stdin=read) as run, os.fdopen(write, "wb") as pipe:
        os.close(read)
        pipe.write(data[:-20_000])
        pipe.flush()
        wait_for(lambda: counts(out).get("done", 0) > 4, PATIENCE, lambda: f"{counts(out)}; {run.said}")
        run.kill(signal.SIGINT)
        run.says("Finishing 0 images")
        if twice:
            run.kill(signal.SIGINT)
        assert run.wait() in (STOPPED, -signal.SIGINT), run.said


@pytest.mark.slow
def test_a_run_that_fails_while_its_source_pauses(model_file: Path, tmp_path: Path) -> None:
    """It ends with its error, and does not wait for the source."""
    data = tar_of({"a.png": png(SMALL, "raise")} | healthy(20))
    read, write = os.pipe()
    words = run_words("-", tmp_path / "out", model_file, "--max-failures", "0")
    with started(tmp_path, *words, stdin=read) as run, os.fdopen(write, "wb") as pipe:
        os.close(read)
        pipe.write(data[:-20_000])
        pipe.flush()
        assert run.wait() == 1, run.said
    assert "--max-failures" in run.said


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_workers_that_start(model_file: Path, tmp_path: Path, twice: bool) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file), start_seconds=600) as run:
        run.in_time("start", tmp_path)
        run.kill(signal.SIGINT)
        run.says("Finishing 0 images")
        if twice:
            run.kill(signal.SIGINT)
        assert run.wait() in (STOPPED, -signal.SIGINT), run.said


@pytest.mark.slow
def test_workers_that_start_again(model_file: Path, tmp_path: Path) -> None:
    """The one that takes the place of one that crashed is under way when the signal comes."""
    source = write_images(tmp_path / "in", healthy(4) | {"a.png": png(SMALL, "crash")})
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file), start_seconds=4) as run:
        run.in_time("crash", tmp_path)
        time.sleep(0.5)
        run.kill(signal.SIGINT)
        run.says("Finishing")
        assert run.wait(PATIENCE) == STOPPED, run.said


@pytest.mark.parametrize(
    "state", ["two hang", *(pytest.param(name, marks=pytest.mark.slow) for name in MAKE if name != "two hang")]
)
def test_nothing_outlives_a_command_that_is_killed(model_file: Path, tmp_path: Path, state: str) -> None:
    source = write_images(tmp_path / "in", MAKE[state]())
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file)) as run:
        run.in_time(FAULTS.get(state, "hang"), tmp_path)
        run.process.kill()  # not its workers
        assert run.wait() == -signal.SIGKILL
    again = seg_batch("status", tmp_path / "out")
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_nothing_outlives_a_command_that_is_killed_while_workers_start(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(4))
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file), start_seconds=1.5) as run:
        wait_for(lambda: len(run.processes()) > 1, PATIENCE, "no worker")
        run.process.kill()
        assert run.wait() == -signal.SIGKILL
