"""Work in this process: batches, devices that fail, disks that are full, images that come alone."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batch.errors import OutputError
from batch.executors import opening
from batch.executors.batches import AHEAD
from batch.executors.in_process import InProcess
from batch.executors.opening import layout_for
from batch.ledger.records import Status
from batch.ledger.schema import ledger_path
from batch.outputs import base as stores
from batch.outputs.base import FolderStore
from batch.running import intake, read_ahead
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.sources.image_ref import ImageRef
from batch.steps.mask_maker import MaskMaker
from batch.steps.stream import Inline
from batch.steps.task import Outcome, Task
from batch.steps.work import Work
from benchmarks.support.parts import tasks_of
from export.errors import DeviceError
from seglab.files import write_bytes
from tests.support.archive import SIZE, StandIn, as_model, masks_below, run_all, run_with_report, save, save_many

MARK = 7
"""A grey level that a model of these tests dislikes."""


def counts(out: Path) -> dict[str, int]:
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM items GROUP BY status"))


def made(
    folder: Path, out: Path, model: StandIn, groups: Sequence[Sequence[Task] | None] | None = None
) -> list[Outcome]:
    """Return the outcomes of groups, by default of one with all images of the folder."""
    out.mkdir(exist_ok=True)
    executor = InProcess(RunSettings((str(folder),), out), as_model(model), FolderStore(out))
    groups = [tasks_of([folder])] if groups is None else groups
    outcomes = [outcome for turn in executor.run(iter(groups)) for outcome in turn.outcomes]
    assert executor.begun == 0
    return outcomes


def lengths_of(model: StandIn) -> list[int]:
    """Return a list to which the length of each batch is added."""
    lengths: list[int] = []
    model.before = lambda images: lengths.append(len(images))
    return lengths


def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "cores", lambda: 1)


class CountingSources:
    """Wraps a runner's sources and counts how far they were read."""

    def __init__(self, runner: Runner) -> None:
        self.read = 0
        self._sources = runner.sources

    def __iter__(self) -> Iterator[ImageRef]:
        for item in self._sources:
            self.read += 1
            yield item


@pytest.mark.parametrize(("exact", "batch"), [(False, 4), (True, 1)])
def test_a_source_is_read_ahead_only_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool, batch: int
) -> None:
    monkeypatch.setattr(read_ahead, "MOST_AHEAD", 10)
    monkeypatch.setattr(intake, "CHUNK", 8)
    save_many(tmp_path / "in", 120)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out", exact=exact), as_model(StandIn(batch=4)))
    sources = CountingSources(runner)
    runner.sources = sources  # type: ignore[assignment]
    ahead = [sources.read - taken for taken, _ in enumerate(runner)]
    assert len(ahead) == 120
    # Found, the one at hand, claimed together, read and predicted and being written, and what was just said.
    assert max(ahead) <= 10 + 1 + 8 + (2 * AHEAD + 2) * batch + batch


@pytest.mark.parametrize("pieces", [1, 5, 30])
def test_batches_are_full_although_sizes_are_mixed_and_groups_come_in_pieces(tmp_path: Path, pieces: int) -> None:
    save_many(tmp_path / "in", 30)
    model = StandIn(batch=8)
    lengths, tasks = lengths_of(model), tasks_of([tmp_path / "in"])
    groups = [tasks[start : start + 30 // pieces] for start in range(0, 30, 30 // pieces)]
    assert len(made(tmp_path / "in", tmp_path / "out", model, groups)) == 30
    assert lengths == [8, 8, 8, 6]


def test_a_source_that_has_nothing_now_does_not_keep_what_is_there(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    model = StandIn(batch=8)
    lengths, tasks = lengths_of(model), tasks_of([tmp_path / "in"])
    groups = [None, tasks[:2], None, [], None, tasks[2:]]
    assert len(made(tmp_path / "in", tmp_path / "out", model, groups)) == 3
    assert lengths == [2, 1]


def test_broken_images_do_not_cost_the_model_a_call(tmp_path: Path) -> None:
    for path in save_many(tmp_path / "in", 20)[::2]:
        path.write_bytes(b"broken")
    model = StandIn(batch=4)
    lengths = lengths_of(model)
    results = run_all(tmp_path / "in", tmp_path / "out", model)
    assert sum(lengths) == 10
    assert sum(result.status is Status.FAILED for result in results) == 10


def dislike(images: NDArray[np.uint8]) -> None:
    if (images == MARK).all(axis=(1, 2, 3)).any():
        raise RuntimeError("out of memory")


def test_an_image_that_the_model_fails_on_is_a_row_and_the_others_are_done(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 11)
    save(tmp_path / "in" / "bad.png", np.full((SIZE, SIZE, 3), MARK, np.uint8))
    model = StandIn(batch=4)
    model.before = dislike
    results = run_all(tmp_path / "in", tmp_path / "out", model)
    assert [result.status.value for result in results] == ["done"] * 11 + ["failed"]
    assert "The model failed on this image: RuntimeError: out of memory" in (results[-1].error or "")


@pytest.mark.parametrize("exact", [False, True])
def test_a_device_that_always_fails_stops_the_run(tmp_path: Path, exact: bool) -> None:
    save_many(tmp_path / "in", 10)

    def fail(images: NDArray[np.uint8]) -> None:
        raise RuntimeError("device lost")

    model = StandIn(batch=4)
    model.before = fail
    with pytest.raises(DeviceError, match="device lost"):
        run_all(tmp_path / "in", tmp_path / "out", model, exact=exact)
    assert set(counts(tmp_path / "out")) == {"pending"}  # nobody's image is to blame


def test_a_device_that_dies_half_way_stops_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 40)
    seen: list[int] = []

    def die(images: NDArray[np.uint8]) -> None:
        if len(seen) == 3:
            raise RuntimeError("device lost")
        seen.append(len(images))

    model = StandIn(batch=4)
    model.before = die
    with pytest.raises(DeviceError, match="device lost"):
        run_all(tmp_path / "in", tmp_path / "out", model)
    assert counts(tmp_path / "out")["done"] == sum(seen) == len(masks_below(tmp_path / "out"))
    assert "failed" not in counts(tmp_path / "out")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_full_or_closed_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    save_many(tmp_path / "in", 30)
    written, lock = list[Path](), threading.Lock()

    def write_some(path: Path, data: bytes, top: Path) -> None:
        with lock:
            if len(written) >= 7:
                raise OSError(code, "no more")
            written.append(path)
        write_bytes(path, data)

    monkeypatch.setattr(stores, "write_bytes", write_some)
    with pytest.raises(OutputError, match=r"no more.*run again") as caught:
        run_all(tmp_path / "in", tmp_path / "out")
    assert caught.value.exit_code == 1
    assert counts(tmp_path / "out")["done"] == 7
    assert set(counts(tmp_path / "out")) == {"done", "pending"}
    monkeypatch.undo()
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert (len(results), runner.report.skipped, runner.report.done) == (30, 7, 23)


def test_a_mask_whose_name_cannot_be_is_a_row(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "a.png" / "b.jpg")  # a folder where the first mask goes
    results = run_all(tmp_path / "in", tmp_path / "out")
    assert sorted(result.status.value for result in results) == ["done", "failed"]
    assert any("cannot be written" in (result.error or "") for result in results)


@pytest.mark.parametrize("step", ["read", "predict", "write"])
def test_a_step_that_has_a_bug_ends_the_run_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    save_many(tmp_path / "in", 10)

    def bug(self: MaskMaker, about: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(MaskMaker, step, bug)
    with pytest.raises(LookupError, match="a bug"):
        run_all(tmp_path / "in", tmp_path / "out")
    monkeypatch.undo()
    assert [result.status.value for result in run_all(tmp_path / "in", tmp_path / "out")] == ["done"] * 10


@pytest.mark.parametrize("single", [False, True], ids=["threads", "one core"])
def test_what_the_model_has_seen_is_written_after_a_stop_and_the_rest_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single: bool
) -> None:
    save_many(tmp_path / "in", 40)
    if single:
        one_core(monkeypatch)
    model = StandIn(batch=4)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(model))
    predicted: list[int] = []

    def stop_soon(images: NDArray[np.uint8]) -> None:
        predicted.append(len(images))
        if len(predicted) == 2:
            assert runner.stop()

    model.before = stop_soon
    results = list(runner)
    assert len(results) == sum(predicted) == len(masks_below(tmp_path / "out"))
    assert runner.report.interrupted
    assert sum(predicted) < 40
    assert counts(tmp_path / "out")["done"] == len(results)


def test_opencv_threads_are_put_back(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        run_all(tmp_path / "in", tmp_path / "out")
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_a_single_core_makes_the_same_masks_in_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 11)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff none")
    threaded, _ = run_with_report(tmp_path / "in", tmp_path / "a", workers=3)
    one_core(monkeypatch)
    alone, runner = run_with_report(tmp_path / "in", tmp_path / "b")
    assert [stage.threads for stage in runner.report.stages] == [1] * 5
    assert (runner.report.done, runner.report.failed) == (11, 1)
    assert masks_below(tmp_path / "a") == masks_below(tmp_path / "b") != {}
    assert len(threaded) == len(alone) == 12


@pytest.mark.parametrize(
    ("more", "device", "threads", "expected"),
    [
        ({}, "cpu", None, True),
        ({}, "cpu", 1, True),
        ({}, "cpu", 2, False),
        ({"workers": 2}, "cpu", None, False),
        ({"exact": True}, "cpu", None, True),
        ({}, "cuda:0", None, False),
    ],
)
def test_who_has_something_to_wait_for_gets_threads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, object],
    device: str,
    threads: int | None,
    expected: bool,
) -> None:
    one_core(monkeypatch)
    settings = RunSettings((str(tmp_path / "in"),), tmp_path / "out", **more)  # type: ignore[arg-type]
    for far in ("", "in", "out"):
        monkeypatch.setattr(opening, "is_far", lambda place, far=far: bool(far) and place.endswith(far))
        with layout_for(settings, device, threads) as layout:
            assert isinstance(layout.readers, Inline) is isinstance(layout.writers, Inline) is (expected and not far)
            assert layout.ahead == (0 if expected and not far else AHEAD)


@pytest.mark.parametrize("single", [False, True], ids=["threads", "one core"])
def test_large_images_are_worked_on_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, single: bool
) -> None:
    """Small ones go on in groups; the masks are those of any image."""
    monkeypatch.setattr("batch.steps.mask_maker.LARGE_PIXELS", 5000)
    if single:
        one_core(monkeypatch)
    for number in range(12):
        save(tmp_path / "in" / f"{number:02}.png", np.full((100, 60 if number % 3 == 0 else 40, 3), 40, np.uint8))
    at_once, most, lock, read = 0, 0, threading.Lock(), MaskMaker.read

    def watched(self: MaskMaker, task: Task) -> Work:
        nonlocal at_once, most
        with lock:
            at_once += task.solo
            most = max(most, at_once)
        time.sleep(0.01 * task.solo)
        work = read(self, task)
        with lock:
            at_once -= task.solo
        return work

    monkeypatch.setattr(MaskMaker, "read", watched)
    model = StandIn(batch=4)
    lengths = lengths_of(model)
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out", model)
    assert [result.status for result in results] == [Status.DONE] * 12
    assert (runner.report.done, runner.report.failed, most) == (12, 0, 1)
    assert lengths.count(1) >= 4
    assert [mask[:4] for mask in masks_below(tmp_path / "out").values()] == [b"\x89PNG"] * 12


def test_an_image_beyond_the_limit_is_refused_and_not_tried_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.steps.mask_maker.LARGE_PIXELS", 1000)
    save(tmp_path / "in" / "a.png")
    for limit in (500, 1000, 3071):
        (result,) = run_all(tmp_path / "in", tmp_path / f"out-{limit}", max_pixels=limit)
        assert result.status is Status.FAILED
        assert "64 x 48" in (result.error or "")
    (result,) = run_all(tmp_path / "in", tmp_path / "out", max_pixels=3072)
    assert result.status is Status.DONE
