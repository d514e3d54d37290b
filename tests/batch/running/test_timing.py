"""What a run says of its own time: the table of stages, and the trace."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from batch.errors import OutputError
from batch.running.timing import Stages, stage_table
from export.errors import DeviceError
from tests.support.archive import StandIn, run_all, run_with_report, save_many


def test_times_are_added_up_over_threads_and_images() -> None:
    stages = Stages()
    stages.add(1, "a.png", [("decode", 11, 0.0, 1.0, 1), ("infer", 12, 1.0, 1.5, 2)])
    stages.add(1, "b.png", [("decode", 13, 0.5, 2.5, 1)])
    decode, infer = stages.table(10.0)
    assert (decode.stage, decode.threads, decode.images) == ("decode", 2, 2)
    assert [decode.busy, decode.milliseconds] == pytest.approx([3 / 20, 1500])
    assert (infer.threads, infer.images) == (1, 2)
    assert [infer.busy, infer.milliseconds] == pytest.approx([0.05, 250])
    assert stage_table([decode, infer]) == [
        "stage    threads   busy  ms/image",
        "decode         2    15%   1500.00",
        "infer          1     5%    250.00",
        "bottleneck: decode (busy 15% of the time)",
    ]


def test_a_stage_that_never_was_has_no_row() -> None:
    assert Stages().table(1.0) == []
    assert stage_table([]) == []


def test_stage_times_are_reported(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", workers=3)
    stages = {stage.stage: stage for stage in runner.report.stages}
    assert list(stages) == ["walk", "decode", "infer", "write", "ledger"]
    assert stages["walk"].threads == stages["infer"].threads == stages["ledger"].threads == 1
    assert 1 <= stages["decode"].threads <= 3
    assert 1 <= stages["write"].threads <= 3
    assert all(0 <= stage.busy <= 1 and stage.milliseconds > 0 for stage in stages.values())
    assert [stage.images for stage in stages.values()] == [9] * 5


def test_the_table_names_what_the_others_wait_for(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 20)
    model = StandIn()
    model.before = lambda images: time.sleep(0.2)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out", model)
    assert stage_table(runner.report.stages)[-1].startswith("bottleneck: infer")


def test_a_profile_is_a_trace_of_every_stage(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    run_all(tmp_path / "in", tmp_path / "out", profile=tmp_path / "trace.json", workers=2)
    events = json.loads((tmp_path / "trace.json").read_text())
    spans = [event for event in events if event["ph"] == "X"]
    assert Counter(event["name"] for event in spans)["decode"] == 9
    assert {event["name"] for event in spans} == {"walk", "decode", "infer", "write", "ledger"}
    assert {event["pid"] for event in spans} == {os.getpid()}
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in spans)
    assert sum(event["args"].get("batch", 0) for event in spans) == 9
    named = {(event["pid"], event["tid"]) for event in events if event["ph"] == "M"}
    assert {(event["pid"], event["tid"]) for event in spans} == named
    assert {event["args"]["image"] for event in spans if event["name"] == "write"} == {
        str(path) for path in (tmp_path / "in").iterdir()
    }
    for thread in named:  # what one thread does does not overlap
        own = sorted(
            (event["ts"], event["ts"] + event["dur"]) for event in spans if (event["pid"], event["tid"]) == thread
        )
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
