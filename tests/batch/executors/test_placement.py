"""Which processes serve a run, on which devices and cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from batch.executors import batches, placement
from batch.executors.batches import CPU_BATCH, GPU_BATCH, ONE_CORE_BATCH, batch_for, batch_of
from batch.executors.placement import Share, share_out
from batch.settings import RunSettings
from seglab.errors import ConfigError

needs_binding = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs binding to cores")


def settings(**more: object) -> RunSettings:
    return RunSettings(("in",), Path("out"), **{"device": "cpu", **more})  # type: ignore[arg-type]


def shares(**more: object) -> list[Share]:
    return share_out(settings(**more), few=False)


def on_cores(monkeypatch: pytest.MonkeyPatch, numbers: Iterable[int], quota: int | None = None) -> None:
    bound = set(numbers)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: bound)
    monkeypatch.setattr(placement, "cores", lambda: quota or len(bound))


@needs_binding
def test_a_process_a_core_on_a_processor_and_one_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch, (0, 1, 2, 3, 8, 9))
    assert [share.cores for share in shares()] == [(0,), (1,), (2,), (3,), (8,), (9,)]
    assert [share.cores for share in shares(processes=4)] == [(0,), (1, 2), (3,), (8, 9)]
    assert [share.threads for share in shares(processes=4)] == [1, 2, 1, 2]
    assert [share.cores for share in shares(processes=1)] == [()]
    assert shares(exact=True) == [Share("cpu")]
    assert shares(device="cuda:1") == [Share("cuda:1")]
    assert shares(device="cuda:0,cuda:1") == [Share("cuda:0", (0, 1, 2), 3), Share("cuda:1", (3, 8, 9), 3)]
    several = shares(device="cuda:0,cuda:1", processes=2)
    assert [share.device for share in several] == ["cuda:0", "cuda:0", "cuda:1", "cuda:1"]
    assert [share.cores for share in several] == [(0,), (1, 2), (3,), (8, 9)]
    assert share_out(RunSettings(("in",), Path("out"), device="cpu"), few=True) == [Share("cpu")]
    on_cores(monkeypatch, range(200))
    assert {len(share.cores) for share in shares()} == {1, 2}
    assert len(shares()) == 128
    assert len(share_out(RunSettings(("s3://a/b.zip",), Path("out"), device="cpu"), few=False)) == 128


def test_on_windows_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(placement, "CAN_BIND", False)
    assert shares() == [Share("cpu")]
    with pytest.raises(ConfigError, match="expected 1 on Windows"):
        shares(processes=2)


@needs_binding
def test_processes_of_a_container_with_part_of_the_cores_are_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cores(monkeypatch, range(64), quota=4)
    assert shares() == [Share("cpu", threads=1)] * 4
    assert shares(processes=2) == [Share("cpu", threads=2)] * 2
    assert shares(processes=6) == [Share("cpu", threads=1)] * 6
    assert shares(processes=1) == [Share("cpu", threads=4)]
    assert shares(device="cuda:0,cuda:1") == [Share("cuda:0", threads=2), Share("cuda:1", threads=2)]
    on_cores(monkeypatch, range(64), quota=1)
    assert shares() == [Share("cpu", threads=1)]


@pytest.mark.parametrize(
    ("device", "cores", "threads", "expected"),
    [
        ("cpu", 8, None, CPU_BATCH),
        ("openvino", 8, None, CPU_BATCH),
        ("cpu", 1, None, ONE_CORE_BATCH),
        ("cpu", 8, 1, ONE_CORE_BATCH),  # one of many workers
        ("cpu", 1, 2, CPU_BATCH),
        ("cuda:1", 1, None, GPU_BATCH),
        ("cuda:1", 8, 1, GPU_BATCH),
    ],
)
def test_the_batch_is_chosen_by_the_device_and_the_cores(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, threads: int | None, expected: int
) -> None:
    monkeypatch.setattr(batches, "cores", lambda: cores)
    assert batch_for(settings(device=device), threads) == expected
    assert batch_for(settings(device=device, batch=5), threads) == 5


def test_a_group_is_a_batch_of_the_model_that_was_opened() -> None:
    assert batch_of(settings(), 16) == 16
    assert batch_of(settings(exact=True), 16) == 1
    assert batch_of(settings(batch=5), None) == 5
