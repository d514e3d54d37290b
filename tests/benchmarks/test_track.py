"""Tracking catches what it is for: a version that is slower, and one whose masks are less right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks import track
from benchmarks.support.history import append, plot, read, speeds
from benchmarks.support.places import ROOT
from benchmarks.support.trees import Tree, default_base, unpacked, working_tree


def planted(root: Path, folder: Path, fault: str = "") -> Tree:
    """Copy the packages, with a fault where masks are made."""
    for package in ("batch", "export", "seglab"):
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "batch" / "steps" / "masks.py"
    text = file.read_text()
    assert text.count("\ndef mask_of(") == 1
    head, body = text.split("\ndef mask_of(")
    signature, rest = body.split('"""\n', 1)[0], body.split('"""\n', 1)[1]
    file.write_text(f'{head}\ndef mask_of({signature}"""\n    {fault or "pass"}\n{rest}')
    return Tree(fault or "as it is", folder)


@pytest.mark.slow
def test_a_sleep_of_five_milliseconds_an_image_fails(repo_root: Path, tmp_path: Path) -> None:
    before = planted(repo_root, tmp_path / "before")
    after = planted(repo_root, tmp_path / "after", "__import__('time').sleep(0.005)")
    amount = track.Amount(images=4, tiny=1200, pairs=5, devices=())
    entry = track.measured(before, after, amount, tmp_path / "work", None)
    (row,) = entry["rows"]
    assert row["ratio"] < 0.9
    assert any("times as fast as as it is" in failure for failure in entry["failures"])


@pytest.mark.slow
def test_a_threshold_that_moved_fails(repo_root: Path, tmp_path: Path) -> None:
    before = planted(repo_root, tmp_path / "before")
    after = planted(repo_root, tmp_path / "after", "threshold += 0.2")
    amount = track.Amount(images=24, tiny=20, pairs=1, devices=("cpu",))
    entry = track.measured(before, after, amount, tmp_path / "work", None)
    failed = {failure.split(":")[0] for failure in entry["failures"]}
    assert {"cpu fp32"} <= failed <= {"cpu fp32", "cpu int8"}  # what the default command takes depends on the machine
    assert all("Dice against" in failure for failure in entry["failures"])


@pytest.mark.slow
def test_a_version_against_itself_has_the_same_masks(repo_root: Path, tmp_path: Path) -> None:
    same = planted(repo_root, tmp_path / "same")
    amount = track.Amount(images=6, tiny=20, pairs=1, devices=("cpu", "openvino"))
    entry = track.measured(same, same, amount, tmp_path / "work", None)
    assert entry["failures"] == []
    assert [row["device"] for row in entry["rows"]] == ["cpu", "cpu", "openvino", "openvino", "cpu"]
    by_default, in_fp32 = ([row["precision"] for row in entry["rows"][first:4:2]] for first in (0, 1))
    assert set(by_default) <= {"int8", "fp32", "bf16"}
    assert set(in_fp32) <= {"fp32", "bf16"}
    assert entry["rows"][-1]["precision"] == "no network"
    for row in entry["rows"][:-1]:
        assert row["dice_change"] == row["dice_to_original_change"] == {"mean": 0, "low": 0, "high": 0}
        assert row["dice_to_original"] > 0.99
        assert row["times_loop"] > 0
        assert row["first_mask_seconds"] > 0
        assert row["peak_megabytes"] > 50
    append(tmp_path / "history.jsonl", entry)
    append(tmp_path / "history.jsonl", {**entry, "commit": "another"})
    assert [found["commit"] for found in read(tmp_path / "history.jsonl")] == ["as it is", "another"]
    plot(read(tmp_path / "history.jsonl"), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert len(list(track.table(entry))) == 4 + 5


def entry(pairs: int = 5, **row: object) -> dict[str, object]:
    return {"pairs": pairs, "base": "b", "rows": [{"device": "cpu", "precision": "fp32", "ratio": 1.0, **row}]}


def change(mean: float, low: float, high: float) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high}


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (entry(), 0),
        (entry(ratio=0.89), 1),
        (entry(ratio=0.9), 0),
        (entry(ratio=0.5, pairs=4), 0),  # too few to say
        (entry(dice_change=change(-0.002, -0.003, -0.001)), 1),
        (entry(dice_to_original_change=change(-0.002, -0.003, -0.001)), 1),
        (entry(dice_change=change(-0.002, -0.005, 0.001)), 0),  # not surely a fall
        (entry(dice_change=change(-0.00005, -0.00006, -0.00004)), 0),  # rounding
        (entry(dice_change=change(0.002, 0.001, 0.003)), 0),
        (entry(ratio=0.1, dice_change=change(-0.1, -0.2, -0.05)), 2),
    ],
)
def test_what_is_a_failure(found: dict[str, object], count: int) -> None:
    assert len(list(track.failures(found))) == count


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
def test_a_commit_is_unpacked_beside_the_checkout(tmp_path: Path) -> None:
    tree = unpacked("HEAD", tmp_path / "base")
    assert (tree.root / "batch" / "cli.py").is_file()
    assert working_tree().commit.removesuffix("+") == tree.commit
    assert unpacked(default_base(), tmp_path / "default").commit
    with pytest.raises(click.ClickException, match="Name a commit or tag"):
        unpacked("no-such-commit", tmp_path / "none")


def test_an_unknown_base_ends_with_one_line_and_no_history(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    ended = CliRunner().invoke(track.main, ["--base", "no-such-commit", "--history", str(history), "--quick"])
    assert ended.exit_code == 1
    assert ended.output.count("\n") == 1
    assert not history.exists()


@pytest.mark.parametrize(
    ("history", "plot_to", "message"),
    [
        ("folder", "p.png", "cannot be written; expected a file"),
        ("h.jsonl", "folder", "cannot be written; expected a file"),
        ("damaged.jsonl", "p.png", "line 2, is no entry"),
    ],
)
def test_what_cannot_be_kept_is_said_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, history: str, plot_to: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged.jsonl").write_text('{"commit": "a", "base": "b", "rows": []}\n3\n')
    monkeypatch.setattr(track, "measured", None)
    arguments = ["--history", str(tmp_path / history), "--plot", str(tmp_path / plot_to)]
    ended = CliRunner().invoke(track.main, arguments)
    assert (ended.exit_code, message in ended.output) == (1, True), ended.output
    assert ended.output.count("\n") == 1


def test_the_history_that_is_kept_can_be_read_and_drawn(tmp_path: Path) -> None:
    entries = read(track.HISTORY)
    assert entries
    assert all(json.dumps(entry) for entry in entries)
    assert track.PLOT.is_file()
    plot(entries, tmp_path / "plot.png")


def test_speeds_are_chained_by_ratios_of_pairs() -> None:
    def line(commit: str, base: str, ratio: float, times_loop: float) -> dict[str, object]:
        row = {"device": "cpu", "precision": "fp32", "ratio": ratio, "times_loop": times_loop}
        return {"commit": commit, "base": base, "rows": [row, {**row, "precision": "no network", "times_loop": None}]}

    lines = [line("b", "a", 0.9, 3.0), line("c", "b", 1.1, 9.9), line("d", "b", 0.5, 9.9), line("e", "x", 2.0, 4.0)]
    assert speeds(lines) == [{"cpu fp32": value} for value in (3.0, pytest.approx(3.3), 1.5, 4.0)]
