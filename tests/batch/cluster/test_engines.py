"""What the engines share: which unit is next, and how a worker does one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batch.cluster.engines.base import MOST_DEATHS_OF_UNIT, Waiting
from batch.cluster.engines.worker import UnitWorker, WorkerOptions
from batch.cluster.files.names import UnitName
from batch.executors.opening import layout_for
from tests.support.cluster_jobs import files_of, plan
from tests.support.faults import healthy, write_images

pytest.importorskip("pyarrow")


def test_a_unit_on_which_a_process_ended_is_the_next_until_that_was_too_often() -> None:
    waiting = Waiting([UnitName(1), UnitName(2)])
    for _ in range(MOST_DEATHS_OF_UNIT - 1):
        assert waiting.take() == "u-00001"
        assert not list(waiting.put_back("u-00001", "signal 9"))
    assert waiting.take() == "u-00001"
    (result,) = waiting.put_back("u-00001", "signal 9")
    assert str(result.error).startswith("12 processes ended while they did it (signal 9).")
    assert waiting.take() == "u-00002"
    assert not waiting


@pytest.mark.parametrize("threads", [1, 3, None])
def test_a_worker_uses_as_many_threads_as_it_may(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None
) -> None:
    plan(write_images(tmp_path / "in", healthy(3)), tmp_path / "job", model_file)
    asked: list[int | None] = []

    def noting(settings: Any, device: str, own: int | None = None) -> Any:
        asked.append(own)
        return layout_for(settings, device, own)

    monkeypatch.setattr("batch.executors.in_process.layout_for", noting)
    worker = UnitWorker(str(tmp_path / "job"), WorkerOptions("cpu", threads=threads))
    assert worker.do("u-00000").done == 3
    assert asked == [threads]
    worker.close()


def test_a_worker_that_is_stopped_ends_its_unit_in_good_order(model_file: Path, tmp_path: Path) -> None:
    job = tmp_path / "job"
    plan(write_images(tmp_path / "in", healthy(3)), job, model_file)
    worker = UnitWorker(str(job), WorkerOptions("cpu", threads=1))
    worker.stop()
    assert worker.do("u-00000").error == "The unit was stopped before it was done. Run again."
    assert not files_of(job, "attempts") | files_of(job, "ledger") | files_of(job, "masks")
    worker.close()


def test_a_worker_does_what_is_a_unit(model_file: Path, tmp_path: Path) -> None:
    plan(write_images(tmp_path / "in", healthy(3)), tmp_path / "job", model_file)
    worker = UnitWorker(str(tmp_path / "job"), WorkerOptions("cpu", threads=1))
    assert "expected one like u-00017" in (worker.do("../../x").error or "")
    worker.close()
