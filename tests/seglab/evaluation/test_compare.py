"""Runs read back and set side by side; pictures of the best, median and worst images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from seglab.cli import main
from seglab.data.pairs import FilePair
from seglab.data.splits import Split, write_split
from seglab.errors import DataError
from seglab.evaluation.compare import compare, draw_comparison
from seglab.evaluation.gallery import choose
from seglab.recipes.recipe import load_recipe
from seglab.training import run_folder
from seglab.training.run_folder import Epoch, Timing, read_run


def make_run(path: Path, dice: list[float], changes: tuple[str, ...] = (), validated: str = "b") -> Path:
    """Write what a run of ``quick`` leaves, without checkpoints."""
    recipe = load_recipe("quick", [*changes, "epochs=3"])
    history = [Epoch(number, 0.5, 1 - value, value, value - 0.1, 1e-3) for number, value in enumerate(dice, 1)]
    timing = [Timing(number, 10.0, 5.0 * number) for number in range(1, len(dice) + 1)]
    run_folder.write_settings(path, recipe, {"parameters": 14_000_000})
    run_folder.write_epochs(path, history, timing)
    pairs = [FilePair(id, Path(id), Path(id)) for id in ("a", validated)]
    write_split(path / run_folder.SPLIT, Split("fifth", 0, (pairs[0],), (pairs[1],)))
    return path


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", [0.5, 0.8, 0.75], ("lr=0.25",)))
    assert run.recipe == load_recipe("quick", ["epochs=3", "lr=0.25"])
    assert run.best.epoch == 2
    assert [row.images_per_second for row in run.timing] == [5, 10, 15]
    assert run.finished
    assert not read_run(make_run(tmp_path / "begun", [0.5])).finished


@pytest.mark.parametrize("file", [run_folder.SETTINGS, run_folder.LOG])
@pytest.mark.parametrize("text", [None, "", "{", "epoch\n1"])
def test_what_is_no_run_is_an_error(tmp_path: Path, file: str, text: str | None) -> None:
    path = make_run(tmp_path / "run", [0.5])
    (path / file).unlink()
    if text is not None:
        (path / file).write_text(text)
    with pytest.raises(DataError, match=r"not the folder of a training run|no finished epoch"):
        read_run(path)


def test_runs_are_sorted_and_differences_have_columns(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "low", [0.5, 0.6, 0.7]), make_run(tmp_path / "high", [0.6, 0.9, 0.8], ("lr=0.5",))]
    comparison = compare(paths)
    assert [row["run"] for row in comparison.rows] == ["high", "low"]
    assert comparison.rows[0]["lr"] == 0.5
    assert "loss" not in comparison.rows[0]
    assert [row["run"] for row in compare(paths, "loss").rows] == ["high", "low"]
    assert [run.path.name for run in compare(paths, "name").runs] == ["high", "low"]
    assert not comparison.warnings
    assert "| high | unet | resnet18 | 128 | 14,000,000 | 3/3 | 2 |" in comparison.markdown()


def test_what_does_not_compare_is_said(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / "a", [0.5, 0.6, 0.7]), make_run(tmp_path / "b", [0.5], validated="other")]
    warnings = "\n".join(compare(paths).warnings)
    assert "b is not finished (1 of 3 epochs)" in warnings
    assert "b validated on other images than a" in warnings
    (paths[1] / run_folder.SPLIT).write_text("{")
    assert "b: no split.json" in "\n".join(compare(paths).warnings)
    paths.append(make_run(tmp_path / "c", [0.5, 0.6, 0.7], ("size=64", "loss=bce")))
    warnings = "\n".join(compare([paths[0], paths[2]]).warnings)
    assert "each run's own size" in warnings
    assert "different loss functions" in warnings


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / group / "unet", [0.5, 0.6, 0.7]) for group in ("cpu", "gpu")]
    assert sorted(row["run"] for row in compare(paths).rows) == ["cpu/unet", "gpu/unet"]
    assert len(compare([paths[0], paths[0]]).rows) == 1


def test_what_is_not_known_has_a_dash(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", [0.5, 0.6, 0.7], ("init=/models/first.pt",))
    other = make_run(tmp_path / "other", [0.5])
    (path / run_folder.TIMING).unlink()
    run_folder.write_settings(path, read_run(path).recipe, {})
    comparison = compare([path, other])
    header, first, _ = comparison.table()
    assert (comparison.rows[0]["weights"], comparison.rows[0]["images/s"]) == (None, None)
    assert [first[header.index(key)] for key in ("weights", "images/s", "init")] == ["-", "-", "first.pt"]
    draw_comparison(tmp_path / "one.png", comparison)
    lines = comparison.text().splitlines()
    assert len({line.index(cell) + len(cell) for line, cell in zip(lines, ("S", "128", "128"), strict=True)}) == 1


def test_a_torn_run_is_left_out_and_shows_in_the_exit_code(tmp_path: Path) -> None:
    whole, torn = make_run(tmp_path / "whole", [0.5, 0.6, 0.7]), make_run(tmp_path / "torn", [0.5])
    (torn / run_folder.LOG).write_text("epoch,train_loss\n1,")
    result = CliRunner().invoke(main, ["compare", str(whole), str(torn), "--json", str(tmp_path / "c.json")])
    assert result.exit_code == 1
    assert "whole" in result.stdout
    assert f"left out: {torn}" in result.stderr
    report = json.loads((tmp_path / "c.json").read_text())
    assert [row["run"] for row in report["rows"]] == ["whole"]
    assert list(report["unreadable"]) == [str(torn)]


def test_the_command_writes_table_and_picture(tmp_path: Path) -> None:
    paths = [str(make_run(tmp_path / name, [0.5, 0.6, 0.7])) for name in ("a", "b")]
    result = CliRunner().invoke(main, ["compare", *paths, "--out", str(tmp_path / "out"), "--sort", "name"])
    assert result.exit_code == 0, result.output
    header = "run arch encoder S weights epochs best train_loss val_loss val_dice val_iou images/s"
    assert " ".join(result.stdout.splitlines()[0].split()) == header
    assert "| a | unet |" in (tmp_path / "out" / "comparison.md").read_text()
    assert cv2.imread(str(tmp_path / "out" / "comparison.png")) is not None
    rows = json.loads(CliRunner().invoke(main, ["compare", *paths, "--json", "-"]).stdout)["rows"]
    assert [row["val_dice"] for row in rows] == [0.7, 0.7]
    gone = CliRunner().invoke(main, ["compare", str(tmp_path / "gone")])
    assert gone.exit_code == 1
    assert "not the folder of a training run" in gone.output


def test_a_single_run_is_no_comparison_and_that_is_said(tmp_path: Path) -> None:
    one, other = (str(make_run(tmp_path / name, [0.5, 0.6, 0.7])) for name in ("a", "b"))
    alone = CliRunner().invoke(main, ["compare", one, "--out", str(tmp_path / "one")])
    assert alone.exit_code == 0, alone.output
    assert "a is the only run, so there is nothing to compare. Name a second one" in alone.stderr
    assert "nothing to compare" in (tmp_path / "one" / "comparison.md").read_text()
    two = CliRunner().invoke(main, ["compare", one, other, "--out", str(tmp_path / "two")])
    assert "nothing to compare" not in two.output
    drawn = [cv2.imread(str(tmp_path / name / "comparison.png")) for name in ("one", "two")]
    dark = [(picture[:, 100:600] < 128).all(axis=-1).sum(axis=1) for picture in drawn if picture is not None]
    tops = [int(np.argmax(rows > 400)) for rows in dark]
    assert tops[0] > tops[1] + 10, "the axes begin below a title"


def test_best_median_and_worst_are_chosen() -> None:
    dice = [0.9, 0.1, 0.5, 0.7, 0.3]
    assert choose(dice, 2) == ([0, 3], [3, 2], [1, 4])
    assert choose([0.4], 4) == ([0], [0], [0])
