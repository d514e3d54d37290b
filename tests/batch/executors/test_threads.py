"""The pipeline under pressure: its bound, providers that fail, disks that are full."""

from __future__ import annotations

import errno
import itertools
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batch.errors import OutputError
from batch.executors.base import BATCHES_IN_FLIGHT, CHUNK, WHOLE_IMAGES_IN_FLIGHT
from batch.ledger.records import Status
from batch.ledger.schema import ledger_path
from batch.outputs import base as stores
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.sources.image_ref import ImageRef
from batch.steps import stages
from batch.steps.task import Task
from export.errors import DeviceError
from seglab.files import write_bytes
from tests.support.archive import LESION, SIZE, StandIn, as_model, run_all, run_with_report, save, save_many

MARK = 7
"""A grey level that a model of these tests dislikes."""


def counts(out: Path) -> dict[str, int]:
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM items GROUP BY status"))


class CountingSources:
    """Wraps a runner's sources and counts how far they were read."""

    def __init__(self, runner: Runner) -> None:
        self.read = 0
        self._sources = runner.sources

    def __iter__(self) -> Iterator[ImageRef]:
        for item in self._sources:
            self.read += 1
            yield item


@pytest.mark.parametrize(("exact", "bound"), [(False, BATCHES_IN_FLIGHT * 4 + CHUNK), (True, WHOLE_IMAGES_IN_FLIGHT)])
def test_a_source_is_read_ahead_only_so_far(tmp_path: Path, exact: bool, bound: int) -> None:
    save_many(tmp_path / "in", 120)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out", exact=exact), as_model(StandIn(batch=4)))
    sources = CountingSources(runner)
    runner.sources = sources  # type: ignore[assignment]
    ahead = [sources.read - taken for taken, _ in enumerate(runner)]
    assert len(ahead) == 120
    assert max(ahead) <= bound


def test_batches_are_full_although_sizes_are_mixed(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 30)
    lengths: list[int] = []
    model = StandIn(batch=8)
    model.before = lambda images: lengths.append(len(images))
    run_all(tmp_path / "in", tmp_path / "out", model)
    assert lengths == [8, 8, 8, 6]


def test_broken_images_do_not_break_batches(tmp_path: Path) -> None:
    for path in save_many(tmp_path / "in", 20)[::2]:
        path.write_bytes(b"broken")
    lengths: list[int] = []
    model = StandIn(batch=5)
    model.before = lambda images: lengths.append(len(images))
    results = run_all(tmp_path / "in", tmp_path / "out", model)
    assert lengths == [5, 5]
    assert sum(result.status is Status.FAILED for result in results) == 10


def dislike(images: NDArray[np.uint8]) -> None:
    if (images == MARK).all(axis=(1, 2, 3)).any():
        raise RuntimeError("out of memory")


def test_an_image_that_the_model_fails_on_is_a_row_and_the_others_are_done(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 10)
    save(tmp_path / "in" / "bad.png", np.full((SIZE, SIZE, 3), MARK, np.uint8))
    model = StandIn(batch=4)
    model.before = dislike
    results = run_all(tmp_path / "in", tmp_path / "out", model)
    assert [result.status.value for result in results] == ["done"] * 10 + ["failed"]
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
    calls: list[int] = []

    def die(images: NDArray[np.uint8]) -> None:
        calls.append(len(images))
        if len(calls) > 3:
            raise RuntimeError("device lost")

    model = StandIn(batch=4)
    model.before = die
    with pytest.raises(DeviceError, match="device lost"):
        run_all(tmp_path / "in", tmp_path / "out", model)
    assert counts(tmp_path / "out")["done"] == 12
    assert "failed" not in counts(tmp_path / "out")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_full_or_closed_disk_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    save_many(tmp_path / "in", 30)
    written: list[Path] = []

    def write_some(path: Path, data: bytes, top: Path) -> None:
        if len(written) >= 7:
            raise OSError(code, "no more")
        written.append(path)
        write_bytes(path, data)

    monkeypatch.setattr(stores, "write_bytes", write_some)
    with pytest.raises(OutputError, match=r"no more.*run again") as caught:
        run_all(tmp_path / "in", tmp_path / "out")
    assert caught.value.exit_code == 1
    assert counts(tmp_path / "out") == {"done": 7, "pending": 23}
    monkeypatch.undo()
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert (len(results), runner.report.skipped, runner.report.done) == (30, 7, 23)


def test_a_mask_whose_name_cannot_be_is_a_row(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.jpg")
    save(tmp_path / "in" / "a.png" / "b.jpg")  # a folder where the first mask goes
    results = run_all(tmp_path / "in", tmp_path / "out")
    assert sorted(result.status.value for result in results) == ["done", "failed"]
    assert any("cannot be written" in (result.error or "") for result in results)


def test_a_stage_that_has_a_bug_ends_the_run_and_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 10)

    def bug(self: stages.Sink, task: Task) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(stages.Sink, "__call__", bug)
    with pytest.raises(LookupError, match="a bug"):
        run_all(tmp_path / "in", tmp_path / "out")


def test_opencv_threads_are_put_back(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        run_all(tmp_path / "in", tmp_path / "out")
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_stage_times_are_reported(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", workers=3)
    assert [(stage.stage, stage.threads) for stage in runner.report.stages] == [
        ("walk", 1),
        ("decode", 3),
        ("infer", 1),
        ("write", 3),
        ("ledger", 1),
    ]
    assert all(0 <= stage.busy <= 1 and 0 <= stage.waiting <= 1 for stage in runner.report.stages)
    assert [stage.images for stage in runner.report.stages] == [9] * 5
    lines = list(runner.report.lines())
    assert lines[2].split() == ["stage", "threads", "busy", "waiting", "ms/image", "queue"]
    assert any(line.startswith("bottleneck: ") for line in lines)


def test_the_table_names_what_the_others_wait_for(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 20)
    model = StandIn()
    model.before = lambda images: time.sleep(0.05)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", model)
    assert "bottleneck: infer" in "\n".join(runner.report.lines())
    stages = {stage.stage: stage for stage in runner.report.stages}
    assert stages["infer"].queue > stages["write"].queue
    assert stages["write"].waiting > 0.5


def test_a_profile_is_a_trace_of_every_stage(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    run_all(tmp_path / "in", tmp_path / "out", profile=tmp_path / "trace.json", workers=2)
    events = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in events if event["ph"] == "X"]
    assert Counter(event["name"] for event in spans)["decode"] == 9
    assert {event["name"] for event in spans} == {"walk", "decode", "infer", "write", "ledger"}
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in spans)
    assert sum(event["args"].get("batch", 0) for event in spans) == 9
    named = {event["tid"] for event in events if event["ph"] == "M"}
    assert {event["tid"] for event in spans} == named
    assert {event["args"]["image"] for event in spans if event["name"] == "write"} == {
        str(path) for path in (tmp_path / "in").iterdir()
    }
    for thread in named:  # what one thread does does not overlap
        own = sorted((event["ts"], event["ts"] + event["dur"]) for event in spans if event["tid"] == thread)
        assert all(before[1] <= after[0] + 0.2 for before, after in itertools.pairwise(own))


def test_the_profile_of_a_run_that_fails_is_whole(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    model = StandIn()

    def die(_: object) -> None:
        raise RuntimeError("device lost")

    model.before = die
    with pytest.raises(DeviceError):
        run_all(tmp_path / "in", tmp_path / "out", model, profile=tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())
    with pytest.raises(OutputError, match="cannot be written"):
        run_all(tmp_path / "in", tmp_path / "out", profile=tmp_path / "in" / "000.png" / "trace.json")
    assert LESION < 128
