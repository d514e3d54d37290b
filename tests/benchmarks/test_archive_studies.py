"""The commands that measure archives, with little of everything: they must work when somebody wants their figures."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.studies import engine, scale, speed, throughput
from benchmarks.support import command
from benchmarks.support.command import run_arguments
from benchmarks.support.places import CHECKPOINT
from docs.tools import archive_tables

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (archive_tables, engine, scale, speed, throughput):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    page = tmp_path / "speed.md"
    page.write_text("before\n<!-- archives: begin -->\n@@former text@@\n<!-- archives: end -->\nafter\n")
    monkeypatch.setattr(archive_tables, "PAGE", page)
    return tmp_path


@pytest.mark.slow
def test_scale_and_engine_and_their_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "run_arguments", lambda *given: run_arguments(*given, "--processes", "2"))
    monkeypatch.setattr(command, "POLL", 0.001)  # a run of so few images is killed half-way
    runner = CliRunner()
    arguments = ["--images", "1500", "--rows", "2000", "--large", "300", "--name", "t"]
    ended = runner.invoke(scale.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 0
    figures = json.loads((results / "t-scale.json").read_text())
    assert figures["images_per_second"] > 0
    assert 20 < figures["peak_megabytes_of_many"] < 2000
    assert 0 < figures["killed_after_images"] <= 1500
    quick = ["--quick", "--length", "8", "--length", "24", "--name", "t"]
    ended = runner.invoke(engine.main, quick, catch_exceptions=False)
    assert ended.exit_code == 0
    figures = json.loads((results / "t-engine.json").read_text())
    assert figures["rates"][0]["processes"] == 1
    assert all(row["images_per_second"] > 0 for row in figures["rates"])
    assert [(row["images"], row["model"]) for row in figures["lengths"]] == [
        (8, "lesion.onnx"),
        (24, "lesion.onnx"),
        (200, "null.onnx"),
    ]
    assert all(row["images_per_second"] > 0 for row in figures["lengths"])
    assert all(math.isfinite(row["own_process_ms"]) for row in figures["own_cost"])  # a difference of two measurements
    archive_tables.main([], standalone_mode=False)
    page = (results / "speed.md").read_text()
    assert page.startswith("before\n")
    assert "| 24 | lesion.onnx | cpu |" in page
    assert "the run's own process, ledger included" in page
    assert "## 1,500 tiny images in a tar" in page
    assert "| cpu fp32 | 1 |" in page
    assert "@@former text@@" not in page


@pytest.mark.slow
@pytest.mark.real
def test_speed_and_its_page(results: Path, data_dir: Path) -> None:
    options = ["--images", "6", "--originals", "2", "--rounds", "1", "--precision", "fp32", "--device", "cpu"]
    arguments = [str(CHECKPOINT), "--data", str(data_dir), *options, "--name", "t"]
    ended = CliRunner().invoke(speed.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    rows = json.loads((results / "t-speed-unet-mobilenet_v2-192.json").read_text())["rows"]
    assert [(row["archive"], row["label"]) for row in rows[1::2]] == [
        ("600x450", "seg-batch cpu"),
        ("originals", "seg-batch cpu"),
    ]
    assert all(row["images_per_second"] > 0 for row in rows)
    assert all(row["dice_to_original"] > 0.99 for row in rows[1::2])
    archive_tables.main([], standalone_mode=False)
    assert "## From files to files: unet-mobilenet_v2-192" in (results / "speed.md").read_text()


@pytest.mark.slow
def test_throughput_of_several_numbers_of_processes(results: Path) -> None:
    options = ["--count", "40", "--kinds", "3", "--device", "cpu", "--batch", "4", "--name", "t"]
    processes = ["--processes", "1", "--processes", "2"]
    ended = CliRunner().invoke(throughput.main, [*options, *processes], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    figures = json.loads((results / "t-batch.json").read_text())
    assert figures["model_alone_images_per_second"] > 0
    assert [run["processes"] for run in figures["runs"]] == [1, 2]
    assert all(run["counts"]["done"] == 40 and run["images_per_second"] > 0 for run in figures["runs"])
    assert all({stage["stage"] for stage in run["stages"]} >= {"decode", "infer", "write"} for run in figures["runs"])
