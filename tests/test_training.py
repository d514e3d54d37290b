"""Training on a handful of small images: it learns, resumes, and leaves whole files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from seglab.augmentation import augmentation_of
from seglab.checkpoints import load_checkpoint
from seglab.cli import main
from seglab.dataset import Examples
from seglab.errors import DataError
from seglab.layouts import find_pairs
from seglab.settings import make_recipe
from seglab.splits import validates
from seglab.synth import write_set

FULL = augmentation_of(make_recipe({"augment": "full"}))
TINY = [
    "--set",
    "size=32",
    "--set",
    "batch=4",
    "--set",
    "workers=0",
    "--set",
    "split=fifth",
    "--set",
    "arch=unet-scratch",
    "--set",
    "widths=[4,8]",
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 synthetic pairs, some of which validate."""
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 24, [(60, 80), (80, 60)], seed=5)
    assert {validates(pair.id) for pair in find_pairs(root)} == {True, False}
    return root


def train(archive: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["train", "--data", str(archive), "--out", str(out), *TINY, *options])
    assert result.exit_code == 0, result.output
    return result.output


def log_of(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def test_training_learns_and_leaves_what_it_promises(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    output = train(archive, run, "--set", "epochs=12", "--set", "lr=0.01", "--set", "augment=none")
    rows = log_of(run)
    assert len(rows) == 12
    assert float(rows[-1]["train_loss"]) < 0.6 * float(rows[0]["train_loss"])
    assert "validation Dice" in output
    assert {path.name for path in run.iterdir()} == {
        "best.pt", "last.pt", "log.csv", "timing.csv", "curves.png", "examples.jpg", "split.json", "settings.json",
        "tensorboard",
    }  # fmt: skip
    best = load_checkpoint(run / "best.pt")
    assert best.training["epoch"] == 1 + max(range(12), key=lambda row: float(rows[row]["val_dice"]))
    sides = json.loads((run / "split.json").read_text())
    assert all(validates(id) for id in sides["validation"])
    assert not any(validates(id) for id in sides["training"])


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(archive: Path, tmp_path: Path) -> None:
    train(archive, tmp_path / "whole", "--set", "epochs=3")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, epochs=2)
        result = CliRunner().invoke(
            main, ["train", "--data", str(archive), "--out", str(tmp_path / "parts"), *TINY, "--set", "epochs=3"]
        )
        assert result.exit_code == 130
    train(archive, tmp_path / "parts", "--set", "epochs=3", "--resume")
    whole, parts = (load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for key, value in whole.state.items():
        assert torch.equal(value, parts.state[key]), key
    for one, other in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "parts"), strict=True):
        assert [one[key] for key in ("train_loss", "val_dice", "lr")] == [
            other[key] for key in ("train_loss", "val_dice", "lr")
        ]


def stop_after(patch: pytest.MonkeyPatch, epochs: int) -> None:
    """Raise Ctrl-C at the start of the epoch after ``epochs``."""
    from seglab.training import Trainer

    train_epoch = Trainer._train

    def stopping(self: Trainer, number: int, track: object) -> float:
        if number > epochs:
            raise KeyboardInterrupt
        return train_epoch(self, number, track)  # type: ignore[arg-type]

    patch.setattr(Trainer, "_train", stopping)


@pytest.mark.slow
def test_a_killed_run_goes_on(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "seglab.cli", "train", "--data", str(archive), "--out", str(run), *TINY]
    process = subprocess.Popen([*command, "--set", "epochs=200"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(load_checkpoint(run / "last.pt").training["history"])
    assert 0 < done < 200
    result = CliRunner().invoke(
        main, ["train", "--data", str(archive), "--out", str(run), *TINY, "--set", "epochs=200", "--resume"]
    )
    assert result.exit_code == 0, result.output
    assert len(log_of(run)) == 200


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--resume"], "last.pt does not exist", 2),
        (["--set", "epoch=3"], "Did you mean epochs", 2),
        (["--recipe", "quik"], "Did you mean quick", 2),
        (["--device", "cuda:99"], "CUDA devices here", 2),
        (["--device", "tpu"], "expected auto, cpu, cuda", 2),
        (["--data", "gone"], "gone is not a folder", 1),
    ],
)
def test_wrong_calls_end_with_a_message(
    archive: Path, tmp_path: Path, options: list[str], message: str, code: int
) -> None:
    result = CliRunner().invoke(
        main, ["train", "--data", str(archive), "--out", str(tmp_path / "run"), *TINY, *options]
    )
    assert result.exit_code == code, result.output
    assert message in result.output


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(archive, run, "--set", "epochs=1")
    call = ["train", "--data", str(archive), "--out", str(run), *TINY]
    again = CliRunner().invoke(main, call)
    assert again.exit_code == 2
    assert "holds a run already" in again.output
    other = CliRunner().invoke(main, [*call, "--resume", "--set", "lr=0.5"])
    assert other.exit_code == 2
    assert "lr (0.001 before, 0.5 now)" in other.output


def test_validate_scores_the_held_out_fifth(archive: Path, tmp_path: Path) -> None:
    train(archive, tmp_path / "run", "--set", "epochs=1")
    call = ["validate", str(tmp_path / "run" / "best.pt"), "--data", str(archive)]
    outputs = ["--json", "-", "--csv", str(tmp_path / "rows.csv"), "--figures", str(tmp_path / "figures")]
    result = CliRunner().invoke(main, [*call, *outputs])
    assert result.exit_code == 0, result.output
    held_out = [pair.id for pair in find_pairs(archive) if validates(pair.id)]
    scores = json.loads(result.stdout)["scores"]
    rows = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert scores["count"] == len(rows) == len(held_out)
    assert scores["dice"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]), abs=1e-5)
    assert len(list((tmp_path / "figures").glob("dice*.jpg"))) == len(held_out)
    table = CliRunner().invoke(main, [*call, "--part", "all"])
    for word in ("dice", "iou", "accuracy", "precision", "recall", "f1", "thresholded jaccard", "truth: lesion"):
        assert word in table.output


def test_examples_depend_on_seed_epoch_and_index_alone(archive: Path) -> None:
    pairs = find_pairs(archive)
    one, other = (Examples(pairs, 32, FULL, seed=1) for _ in range(2))
    one.epoch = other.epoch = 4
    image, target = one[7]
    assert image.dtype == torch.uint8
    assert (image.shape, target.shape) == ((3, 32, 32), (1, 32, 32))
    assert torch.equal(image, other[7][0])
    other.epoch = 5
    assert not torch.equal(image, other[7][0])


def test_a_truth_of_another_size_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    for folder, size in (("images", (40, 30)), ("masks", (30, 40))):
        (tmp_path / folder).mkdir()
        Image.new("L", size).save(tmp_path / folder / "a.png")
    with pytest.raises(DataError, match=r"a.png is \(40, 30\), its image \(30, 40\)"):
        Examples(find_pairs(tmp_path), 32)[0]
