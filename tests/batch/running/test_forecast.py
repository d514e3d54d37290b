"""``--dry-run``: counts that a run then confirms, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.running.forecast import SAMPLE, Forecast, forecast, in_bytes, in_time
from batch.settings import RunSettings
from tests.support.archive import StandIn, as_model, run_all, save, save_many, seg_batch
from tests.support.artefact import tiny_model


def test_it_counts_what_a_run_then_finds(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 60)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    settings = RunSettings((str(tmp_path / "in"),), tmp_path / "out")
    found = forecast(settings, as_model(StandIn()))
    assert not (tmp_path / "out").exists()
    assert (found.images, found.done, found.to_do, found.sampled) == (60, 0, 60, SAMPLE)
    assert found.bytes == sum(path.stat().st_size for path in paths)
    assert len(found.sizes) == SAMPLE
    assert found.estimated_seconds == pytest.approx(60 * found.seconds / SAMPLE)
    run_all(tmp_path / "in", tmp_path / "out")
    masks = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.png"))
    assert found.to_json()["estimated_mask_bytes"] == pytest.approx(masks, rel=0.3)
    paths[3].write_bytes(b"changed")
    again = forecast(settings, as_model(StandIn()))
    assert (again.done, again.to_do, again.sampled) == (59, 1, 1)
    assert list(again.failed) == [str(paths[3])]
    assert any("passed over: 1 other file (1 .txt)" in line for line in again.lines())
    another = forecast(settings, as_model(StandIn(sha256="b" * 64)))
    assert another.done == 0


def test_an_empty_or_finished_source_has_no_estimate(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    found = forecast(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(StandIn()))
    assert list(found.lines()) == ["0 images, 0 bytes; 0 already done, 0 to do", f"no images: {tmp_path / 'in'}"]


def test_the_sample_is_drawn_from_everywhere(tmp_path: Path) -> None:
    """Small images first, large ones last: both are seen."""
    for number in range(100):
        save(tmp_path / "in" / f"{number:03}.png").write_bytes(b"" if number < 50 else b"x")
    found = forecast(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(StandIn()))
    numbers = sorted(int(Path(path).stem) for path in found.failed)
    assert len(numbers) == SAMPLE
    assert 15 < sum(number < 50 for number in numbers) < 33


def test_the_command(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "b.png").write_bytes(b"")
    model = tiny_model(tmp_path / "tiny.onnx")
    options = ("--model", model, "--device", "cpu", "--dry-run")
    ended = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", *options)
    assert ended.returncode == 0, ended.stderr
    assert not (tmp_path / "out").exists()
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("2 images, ")
    assert "sizes (of 2 sampled): 64x48 to 64x48, median 64x48" in lines
    assert any(line.startswith(f"would fail: {tmp_path}/in/b.png: The file is empty") for line in lines)
    assert lines[-1].startswith("estimate: ")


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 bytes"), (1500, "1.5 KB"), (2.5e9, "2.5 GB"), (3e15, "3000 TB")]
)
def test_bytes_as_people_read_them(count: float, text: str) -> None:
    assert in_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (5400, "1 h 30 min")])
def test_times_as_people_read_them(seconds: float, text: str) -> None:
    assert in_time(seconds) == text


def test_the_estimate_is_for_what_is_to_do() -> None:
    found = Forecast(images=1000, done=400, sampled=10, seconds=2.0, mask_bytes=50)
    assert found.estimated_seconds == 120
    assert found.to_json()["estimated_mask_bytes"] == 3000
