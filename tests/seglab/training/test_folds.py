"""``seglab train --folds``: every image is scored by a network that did not see it, and a stopped run goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import f1_score

from export.cli import main as export_main
from seglab.cli import main
from seglab.evaluation.original import Predictor
from seglab.files import sha256
from seglab.images.reader import read_image
from seglab.networks.checkpoints import load_checkpoint
from seglab.synth import write_set
from tests.seglab.training.test_loop import killed_in_epoch

COUNT, FOLDS, EPOCHS = 13, 3, 3
TINY = [
    word
    for change in (
        "arch=unet-scratch",
        "widths=[4,8]",
        "size=32",
        "batch=2",
        "workers=0",
        f"epochs={EPOCHS}",
        "lr=0.02",
        "precision=fp32",
    )
    for word in ("--set", change)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen synthetic pairs."""
    root = tmp_path_factory.mktemp("folds") / "data"
    write_set(root, COUNT, [(60, 80), (80, 60)], seed=7)
    return root


def words(data: Path, out: Path, *options: str) -> list[str]:
    return ["train", "--data", str(data), "--out", str(out), "--folds", str(FOLDS), *TINY, *options]


def train(data: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, words(data, out, *options))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of three folds, read-only by agreement, and what the command printed."""
    out = tmp_path_factory.mktemp("runs") / "cv"
    done = train(data, out)
    assert done.exit_code == 0, done.output
    return out, done.output


def rows_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "out-of-fold" / "scores.csv").read_text().splitlines()))


def test_every_image_has_a_mask_and_scores_of_the_fold_that_did_not_train_on_it(
    data: Path, trained: tuple[Path, str]
) -> None:
    run, output = trained
    splits = [json.loads((run / f"fold-{number}" / "split.json").read_text()) for number in range(FOLDS)]
    images = {path.stem: path for path in (data / "images").iterdir()}
    assert sorted(id for split in splits for id in split["validation"]) == sorted(images)
    assert f"used {COUNT} of {COUNT} images" in output
    assert "split=auto has no effect" in output
    dice = {row["image"]: float(row["dice"]) for row in rows_of(run)}
    for number, split in enumerate(splits):
        assert not set(split["training"]) & set(split["validation"])
        original = Predictor(load_checkpoint(run / f"fold-{number}" / "best.pt"))
        for id in split["validation"]:
            mask = cv2.imread(str(run / "out-of-fold" / "masks" / f"{id}.png"), cv2.IMREAD_UNCHANGED)
            assert mask is not None
            assert np.array_equal(mask, original.mask(read_image(images[id])))
            truth = cv2.imread(str(data / "masks" / f"{id}.png"), cv2.IMREAD_UNCHANGED)
            assert truth is not None
            assert dice[id] == pytest.approx(f1_score(truth.ravel() > 0, mask.ravel() > 0, zero_division=0), rel=1e-5)
    report = json.loads((run / "out-of-fold" / "scores.json").read_text())
    assert report["scores"]["dice"] == pytest.approx(np.mean(list(dice.values())), rel=1e-5)
    low, high = report["intervals"]["dice"]
    assert low < report["scores"]["dice"] < high
    assert [fold["count"] for fold in report["folds"]] == [len(split["validation"]) for split in splits]
    assert f"Dice {report['scores']['dice']:.4f} (95 % {low:.4f} to {high:.4f})" in output


def test_a_part_that_is_gone_is_made_again_and_nothing_else(
    data: Path, trained: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "cv"
    shutil.copytree(trained[0], run)
    shutil.rmtree(run / "out-of-fold")
    for path in (run / "fold-1").iterdir():
        if path.name != "split.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept = (run / "fold-0" / "best.pt").stat().st_mtime_ns
    done = train(data, run, "--resume")
    assert done.exit_code == 0, done.output
    assert "fold-0:" not in done.output
    assert (run / "fold-0" / "best.pt").stat().st_mtime_ns == kept
    for file in ("fold-1/best.pt", "fold-1/log.csv", "out-of-fold/scores.csv"):
        assert sha256(run / file) == sha256(trained[0] / file), file


def test_a_fold_whose_scores_are_older_than_its_network_is_scored_again(
    data: Path, trained: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "cv"
    shutil.copytree(trained[0], run)
    best, scores = run / "fold-1" / "best.pt", run / "fold-1" / "scores.csv"
    os.utime(best)
    scores.write_text("of another network")
    done = train(data, run, "--resume")
    assert done.exit_code == 0, done.output
    assert ("fold-0:" in done.output, "fold-1:" in done.output) == (False, True)
    assert scores.read_bytes() == (trained[0] / "fold-1" / "scores.csv").read_bytes()


def test_what_is_used_is_said_after_the_inspection(data: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(data, tmp_path / "data"))
    sorted((own / "images").iterdir())[0].write_bytes(b"")
    done = train(own, tmp_path / "cv", "--inspect", "report", "--set", "epochs=1", "--folds", "2")
    assert done.exit_code == 0, done.output
    assert f"used {COUNT - 1} of {COUNT} images ({COUNT - 1} validation)" in done.output
    assert "1 not used: cannot be used" in done.output
    assert f"used {COUNT} of" not in done.output
    assert len(rows_of(tmp_path / "cv")) == COUNT - 1


def test_what_does_not_go_with_folds_is_refused(data: Path, trained: tuple[Path, str], tmp_path: Path) -> None:
    run = trained[0]
    for out, options, code, message in (
        (run, [], 2, "already holds folds"),
        (run, ["--resume", "--set", "seed=5"], 2, "3 folds with seed 0, but this call asks for 3 with seed 5"),
        (run, ["--resume", "--set", "size=64"], 2, "size (32 before, 64 now)"),
        (tmp_path / "new", ["--resume"], 2, "leave --resume out to start anew"),
        (tmp_path / "new", ["--split-file", "x.json"], 2, "cannot be used with --split-file"),
        (tmp_path / "new", ["--devices", "2"], 2, "--folds trains in one process"),
        (tmp_path / "new", ["--folds", "1"], 2, "1 is not in the range"),
        (tmp_path / "new", ["--folds", "14"], 1, "13 lesions cannot be divided into 14 folds"),
    ):
        done = train(data, out, *options)
        assert (done.exit_code, message in done.output) == (code, True), (options, done.output)
    assert not (tmp_path / "new").exists()
    assert json.loads((run / "folds.json").read_text())["recipe"]["size"] == 32


def test_a_picture_in_two_folds_is_refused_before_any_training(data: Path, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        shutil.copytree(data / folder, tmp_path / "data" / folder)
        for number in range(3):  # four of one picture, so that some are in different folds
            for path in sorted((data / folder).iterdir())[:1]:
                shutil.copyfile(path, tmp_path / "data" / folder / f"copy_{number}{path.suffix}")
    done = train(tmp_path / "data", tmp_path / "cv")
    assert done.exit_code == 1
    assert "are the same picture" in done.output
    assert not (tmp_path / "cv").exists()


def test_a_stopped_run_says_how_to_go_on_with_all_folds(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seglab.training.steps.Steps.validate", stop)
    done = train(data, tmp_path / "cv")
    assert done.exit_code == 130
    assert f"continue with all folds: seglab train --resume {tmp_path / 'cv'}" in done.output


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(
    data: Path, trained: tuple[Path, str], tmp_path: Path, repo_root: Path
) -> None:
    run = tmp_path / "cv"
    killed_in_epoch(EPOCHS + 2, words(data, run), repo_root)
    assert (run / "fold-1" / "last.pt").exists()
    assert not (run / "fold-2" / "last.pt").exists()
    done = CliRunner().invoke(main, ["train", "--resume", str(run)])
    assert done.exit_code == 0, done.output
    for file in ("fold-0/best.pt", "fold-1/best.pt", "fold-2/best.pt", "out-of-fold/scores.csv"):
        assert sha256(run / file) == sha256(trained[0] / file), file


@pytest.mark.slow
def test_the_command_that_is_printed_makes_one_model(trained: tuple[Path, str]) -> None:
    run, output = trained
    command = output.splitlines()[-1].partition("To export one model of all folds: seg-export ")[2].split()
    assert command[:2] == ["onnx", "--ensemble"]
    done = CliRunner().invoke(export_main, command)
    assert done.exit_code == 0, done.output
    assert (run / "ensemble.onnx").exists()
