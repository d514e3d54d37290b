"""Runs that are killed as a whole: by an image, again and again, and at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import archived_masks, masks_below, seg_batch
from tests.support.artefact import blobs
from tests.support.faults import (
    Started,
    counts,
    ended,
    everything_below,
    happened,
    healthy,
    png,
    reasons,
    run_words,
    started,
    write_images,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")

TWICE = "Two runs were killed while they worked on it"
KILLED = -signal.SIGKILL
MOST_SECONDS = 3.0
"""A run is killed at the latest so long after its start, if it has not ended by then."""
COUNT = 300
MANY = int(os.environ.get("SEGLAB_KILLS", "1"))
"""Factor for the number of kills."""


def with_fatal(fault: str) -> dict[str, bytes]:
    """Return healthy images with one among them that has this fault."""
    return healthy(20) | {"007-bad.png": png(blobs(np.random.default_rng(7), 50, 60)[0], fault)}


@pytest.mark.parametrize("suffix", ["", pytest.param(".zip", marks=pytest.mark.slow)])
def test_what_kills_two_runs_is_not_tried_by_the_third(model_file: Path, tmp_path: Path, suffix: str) -> None:
    source = write_images(tmp_path / "in", with_fatal("all"))
    out = tmp_path / f"out{suffix}"
    words = run_words(source, out, model_file)
    assert [ended(tmp_path, *words)[0] for _ in range(2)] == [KILLED, KILLED]
    code, said = ended(tmp_path, *words)
    assert code == 3, said
    assert counts(out) == {"done": 20, "failed": 1, "pending": 0}
    assert {name: reason[: len(TWICE)] for name, reason in reasons(out).items()} == {"007-bad.png": TWICE}
    assert happened(tmp_path, "all") == 2
    assert "two runs were killed on it" in said
    assert not everything_below(tmp_path / "tmp")


@pytest.mark.slow
def test_it_is_tried_again_alone_and_done_when_it_is_good(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", with_fatal("all"))
    out = tmp_path / "out"
    words = run_words(source, out, model_file)
    codes = [ended(tmp_path, *words)[0] for _ in range(6)]
    assert codes == [KILLED, KILLED, 3, KILLED, 3, KILLED]
    assert happened(tmp_path, "all") == 4
    (source / "007-bad.png").write_bytes(png(blobs(np.random.default_rng(8), 40, 50)[0]))
    code, said = ended(tmp_path, *words)
    assert code == 0, said
    assert counts(out) == {"done": 21, "failed": 0, "pending": 0}


@pytest.mark.slow
def test_new_images_are_done_before_what_killed_a_run(model_file: Path, tmp_path: Path) -> None:
    """But for those that were worked on beside it: they may come after it."""
    source = write_images(tmp_path / "in", healthy(80) | with_fatal("all"))
    out = tmp_path / "out"
    words = run_words(source, out, model_file, "--processes", "2", "--batch", "4", "--workers", "1")
    assert ended(tmp_path, *words)[0] == KILLED
    assert ended(tmp_path, *words)[0] == KILLED
    beside = 2 * (1 + 4 + 1) - 1  # each process reads one, has four in the model and writes one; one of them kills
    assert 80 - beside <= len(masks_below(out)) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_two_images_that_kill_runs(model_file: Path, tmp_path: Path, suffix: str) -> None:
    images = with_fatal("all") | {"015-bad.png": png(blobs(np.random.default_rng(9), 50, 60)[0], "all")}
    source = write_images(tmp_path / "in", images)
    words = run_words(source, tmp_path / f"out{suffix}", model_file)
    codes: list[int] = []
    while not codes or codes[-1] == KILLED:
        codes.append(ended(tmp_path, *words)[0])
        assert len(codes) <= 6, codes
    assert codes[-1] == 3
    assert set(reasons(tmp_path / f"out{suffix}")) == {"007-bad.png", "015-bad.png"}
    assert counts(tmp_path / f"out{suffix}") == {"done": 20, "failed": 2, "pending": 0}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred small images in a zip, each of which takes a moment."""
    path = tmp_path_factory.mktemp("archive") / "images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in healthy(COUNT, fault="nap").items():
            file.writestr(zipfile.ZipInfo(f"{int(name[:3]) % 7}/{name}", (2026, 1, 1, 0, 0, 0)), data)
    return path


def kill_something(run: Started, rng: random.Random) -> None:
    """Kill all processes at once, or the first one, or any one."""
    choice = rng.random()
    if choice < 0.6:
        run.kill()
    elif choice < 0.8:
        run.process.kill()
    else:
        there = run.processes()  # none, if it has just ended
        for pid in rng.sample(there, min(1, len(there))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def disturbed(state: Path, words: tuple[str | Path, ...], rng: random.Random) -> int:
    """Start a run and kill something of it at some moment; return its exit code."""
    with started(state, *words) as run:
        try:
            run.process.wait(rng.uniform(0, MOST_SECONDS))
        except subprocess.TimeoutExpired:
            kill_something(run, rng)
        return run.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "kills", "seed"), [("", 10, 1), ("", 10, 4), (".zip", 8, 2), (".tar", 8, 3)])
def test_kills_at_any_moment(
    model_file: Path, archive: Path, tmp_path: Path, suffix: str, kills: int, seed: int
) -> None:
    """After any number of them, three runs make all masks, the same as those of one run, and leave nothing else."""
    whole = tmp_path / "whole" / f"out{suffix}"
    assert seg_batch(*run_words(archive, whole, model_file)).returncode == 0
    rng = random.Random(seed)
    killed = outputs = 0
    while killed < kills * MANY:
        outputs += 1
        out = tmp_path / f"{outputs}" / f"out{suffix}"
        words = run_words(archive, out, model_file, "--batch", rng.choice("1248"))
        for _ in range(rng.randint(2, 6)):
            killed += disturbed(tmp_path, words, rng) != 0
        ends = [ended(tmp_path, *words) for _ in range(3)]
        assert {code for code, _ in ends[:2]} <= {0, 3}, ends
        assert ends[2][0] == 0, ends
        require_whole(out, whole)
        assert not everything_below(tmp_path / "tmp")
    sys.stdout.write(f"{killed} kills, {outputs} outputs\n")


def require_whole(out: Path, whole: Path) -> None:
    """Is an output the same as that of a run that was not disturbed, and is nothing else there?"""
    assert counts(out) == {"done": COUNT, "failed": 0, "pending": 0}
    assert seg_batch("verify", out).returncode == 0
    masks = archived_masks if out.suffix else masks_below
    assert masks(out) == masks(whole)
    assert everything_below(out.parent) == everything_below(whole.parent)
