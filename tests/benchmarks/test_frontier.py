"""The plot of Dice against speed: speeds are of runs, a Dice is read from reports and never made up."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from click import ClickException
from click.testing import CliRunner

from benchmarks.studies.frontier import Point, dice_of, main, measured, read_points, released_dice, write_points

POINTS = [Point("a", "int8", "openvino", 90.0, 0.917), Point("b", "fp32", "cpu", 40.0, 0.912)]


def test_rates_are_those_of_runs(model_file: Path, tmp_path: Path) -> None:
    found = measured({"tiny": model_file, "again": model_file}, tmp_path, 3, 2, "cpu")
    assert list(found) == ["tiny", "again"]
    for rate, device, precision in found.values():
        assert (rate > 0, device, precision) == (True, "cpu", "fp32")


@pytest.mark.parametrize("report", [{"scores": {"dice": 0.5}}, {"format_version": 1, "summary": {"dice": 0.5}}])
def test_a_dice_is_read_from_reports(tmp_path: Path, report: dict[str, object]) -> None:
    (tmp_path / "s.json").write_text(json.dumps(report))
    assert dice_of(tmp_path / "s.json") == 0.5


@pytest.mark.parametrize("text", ["", "[]", '{"summary": {}}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ClickException, match="has no scores"):
        dice_of(tmp_path / "s.json")


def test_the_dice_of_a_release(tmp_path: Path) -> None:
    assert released_dice(tmp_path / "none.json") == {}
    (tmp_path / "r.json").write_text(
        '{"scores": {"before": {"fifth": {"dice": 0.9}}, "lesion.onnx": {"originals": {}}}}'
    )
    assert released_dice(tmp_path / "r.json") == {"before": 0.9}


def test_points_come_back_and_are_drawn(tmp_path: Path) -> None:
    """With more points there is more ink, also from one that has a speed only."""
    ink = []
    for points in (POINTS, [*POINTS, Point("c", "fp32", "cpu", 20.0, None, trained=False)]):
        write_points(tmp_path / "p.json", points)
        assert read_points(tmp_path / "p.json") == points
        words = ["--draw", "--points", str(tmp_path / "p.json"), "--picture", str(tmp_path / "p.png")]
        ended = CliRunner().invoke(main, words)
        assert ended.exit_code == 0, ended.output
        picture = cv2.imread(str(tmp_path / "p.png"), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        ink.append(int((picture < 200).sum()))
    assert 0 < ink[0] < ink[1]
