"""A pipeline in one thread gives what threads give, and keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from batch.executors import factory
from batch.executors.serial import SerialPipeline
from batch.outputs.base import FolderStore
from batch.settings import RunSettings
from batch.steps.stages import Decoder, Inference, Sink, Workshop
from batch.steps.task import Task
from benchmarks.support.parts import tasks_of
from export.errors import DeviceError
from seglab.images.formats import MAX_PIXELS
from tests.support.archive import SIZE, StandIn, as_model, masks_below, run_with_report, save, save_many


@contextmanager
def pipeline(out: Path, stand_in: StandIn) -> Iterator[SerialPipeline]:
    out.mkdir()
    decoder, sink = Decoder(SIZE, False, MAX_PIXELS), Sink(FolderStore(out), 0.5, 1)
    stages = Workshop(decoder, Inference(as_model(stand_in), device="cpu", exact=False), sink, stand_in.batch)
    with SerialPipeline(stages) as serial:
        yield serial


def names(tasks: Iterator[Task]) -> list[str]:
    return [Path(task.path).name for task in tasks]


def test_it_waits_for_a_full_batch_unless_told_otherwise(tmp_path: Path) -> None:
    tasks = tasks_of(save_many(tmp_path / "in", 7))
    with pipeline(tmp_path / "out", StandIn()) as serial:
        for task in tasks[:3]:
            serial.submit(task)
        assert names(serial.results(wait=False)) == []
        serial.submit(tasks[3])
        assert len(names(serial.results(wait=False))) == 4
        serial.submit(tasks[4])
        assert len(names(serial.results(wait=True))) == 1
        serial.submit(tasks[5])
        serial.end_of_input()
        assert len(names(serial.results(wait=False))) == 1
        assert (serial.in_flight, serial.has_results) == (0, False)
    assert len(list((tmp_path / "out").glob("*.png"))) == 6


def test_what_the_model_has_seen_is_written_after_a_stop_and_the_rest_is_not(tmp_path: Path) -> None:
    tasks = tasks_of(save_many(tmp_path / "in", 8))
    with pipeline(tmp_path / "out", StandIn()) as serial:
        for task in tasks:
            serial.submit(task)
        taken = [next(serial.results(wait=True))]  # and the loop is left here
    while serial.has_results:
        taken += serial.results(wait=False)
    assert len(taken) == 4 == len(list((tmp_path / "out").glob("*.png")))
    assert serial.in_flight == 4
    assert list(serial.results(wait=True)) == []


def test_broken_images_come_back_although_the_device_dies(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 3)
    paths.append(save(tmp_path / "in" / "zz.png"))
    paths[-1].write_bytes(b"no image")
    stand_in = StandIn()

    def dies(images: NDArray[np.uint8]) -> None:
        raise DeviceError("cpu", "it is gone")

    stand_in.before = dies
    with pipeline(tmp_path / "out", stand_in) as serial:
        for task in tasks_of(paths):
            serial.submit(task)
        with pytest.raises(DeviceError, match="it is gone"):
            list(serial.results(wait=True))
    assert [Path(task.path).name for task in serial.results(wait=False)] == ["zz.png"]


def test_the_clocks_tell_of_each_stage_and_of_waiting(tmp_path: Path) -> None:
    tasks = tasks_of(save_many(tmp_path / "in", 4))
    with pipeline(tmp_path / "out", StandIn()) as serial:
        for task in tasks:
            serial.submit(task)
        assert len(list(serial.results(wait=True))) == 4
    clocks = {clock.stage: clock for clock in serial.clocks}
    assert {name: clock.count for name, clock in clocks.items()} == {"decode": 4, "infer": 4, "write": 4}
    assert all(clock.busy > 0 for clock in clocks.values())
    assert clocks["decode"].waiting > 0


def test_a_single_core_takes_it_and_makes_the_same_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_many(tmp_path / "in", 11)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff none")
    threaded, runner = run_with_report(tmp_path / "in", tmp_path / "a", StandIn())
    assert len({stage.stage for stage in runner.report.stages}) == 5
    monkeypatch.setattr(factory, "cores", lambda: 1)
    before = cv2.getNumThreads()
    alone, runner = run_with_report(tmp_path / "in", tmp_path / "b", StandIn())
    assert cv2.getNumThreads() == before
    assert [stage.threads for stage in runner.report.stages] == [1] * 5
    assert (runner.report.done, runner.report.failed) == (11, 1)
    assert masks_below(tmp_path / "a") == masks_below(tmp_path / "b") != {}
    assert len(threaded) == len(alone) == 12


@pytest.mark.parametrize(
    ("more", "device", "expected"),
    [({}, "cpu", True), ({"workers": 2}, "cpu", False), ({"exact": True}, "cpu", True), ({}, "cuda:0", False)],
)
def test_who_has_something_to_wait_for_gets_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, object], device: str, expected: bool
) -> None:
    monkeypatch.setattr(factory, "cores", lambda: 1)
    stand_in = StandIn()
    stand_in.device = replace(stand_in.device, name=device)
    for far in (False, True):
        monkeypatch.setattr(factory, "is_far", lambda place, far=far: far and place.endswith("out"))
        settings = RunSettings((str(tmp_path),), tmp_path / "out", **more)  # type: ignore[arg-type]
        made, _ = factory.set_up(settings, as_model(stand_in), FolderStore(tmp_path / "out"))
        assert isinstance(made, SerialPipeline) is (expected and not far)
