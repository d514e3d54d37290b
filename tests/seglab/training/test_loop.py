"""Training on a handful of small images: it learns, resumes, and leaves whole files."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from seglab.cli import main
from seglab.data.augmentation import augmentation_of
from seglab.data.examples import Examples
from seglab.data.finding.layouts import find_pairs
from seglab.data.splits import validates
from seglab.errors import ConfigError, DataError
from seglab.files import sha256
from seglab.networks.checkpoints import load_checkpoint, save_checkpoint
from seglab.recipes.recipe import make_recipe
from seglab.synth import write_set
from seglab.training.device import require_compiler

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
    "--set",
    "precision=fp32",
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
        "best.pt", "last.pt", "log.csv", "timing.csv", "curves.png", "examples.jpg", "batch.jpg", "split.json",
        "settings.json", "tensorboard", ".seglab.lock", "scores.csv", "scores.json", "side_by_side.jpg",
        "confusion.png", "report.html",
    }  # fmt: skip
    best = load_checkpoint(run / "best.pt")
    assert best.training["epoch"] == 1 + max(range(12), key=lambda row: float(rows[row]["val_dice"]))
    sides = json.loads((run / "split.json").read_text())
    assert all(validates(id) for id in sides["validation"])
    assert not any(validates(id) for id in sides["training"])


EVERYTHING = [
    "arch=fpn", "encoder=mobilenet_v2", "decoder_channels=[]", "ema=0.5", "schedule=plateau", "plateau_patience=0",
    "lr=0.003", "monitor=val_loss", "patience=2", "optimiser=adamw", "weight_decay=0.1", "loss=dice", "epochs=5",
]  # fmt: skip
"""A network that draws (dropout), and every state that there is to go on from."""


@pytest.mark.slow
def test_two_runs_with_one_seed_are_equal_to_the_byte(archive: Path, tmp_path: Path) -> None:
    files = ("log.csv", "best.pt", "last.pt", "split.json", "settings.json")
    hashes = []
    for name in ("one", "other run"):
        train(archive, tmp_path / name, "--set", "epochs=2", "--set", "ema=0.9", "--set", "rotate=20")
        hashes.append([sha256(tmp_path / name / file) for file in files])
    assert hashes[0] == hashes[1]
    train(archive, tmp_path / "seed", "--set", "epochs=2", "--set", "ema=0.9", "--set", "rotate=20", "--set", "seed=1")
    assert sha256(tmp_path / "seed" / "log.csv") != hashes[0][0]


@pytest.mark.parametrize(
    "changes", [["epochs=3"], pytest.param(EVERYTHING, marks=pytest.mark.slow)], ids=["plain", "everything"]
)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(archive: Path, tmp_path: Path, changes: list[str]) -> None:
    settings = [word for change in changes for word in ("--set", change)]
    train(archive, tmp_path / "whole", *settings)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, epochs=2)
        call = ["train", "--data", str(archive), "--out", str(tmp_path / "parts"), *TINY, *settings]
        assert CliRunner().invoke(main, call).exit_code == 130
    torch.manual_seed(1234)  # what another process has drawn by then
    train(archive, tmp_path / "parts", *settings, "--resume")
    for file in ("log.csv", "best.pt"):
        assert sha256(tmp_path / "whole" / file) == sha256(tmp_path / "parts" / file), file
    whole, parts = (load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert_equal(whole.state, parts.state)
    assert_equal(whole.resume, parts.resume)


def assert_equal(one: Any, other: Any) -> None:
    """Compare nested values, tensors bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def test_a_run_without_progress_stops_early(archive: Path, tmp_path: Path) -> None:
    settings = ["--set", "epochs=40", "--set", "patience=2", "--set", "lr=0.02"]
    train(archive, tmp_path / "run", *settings)
    dice = [float(row["val_dice"]) for row in log_of(tmp_path / "run")]
    assert len(dice) < 40
    assert len(dice) - 1 - dice.index(max(dice)) == 2
    again = train(
        archive, tmp_path / "run", "--set", "epochs=40", "--set", "patience=2", "--set", "lr=0.02", "--resume"
    )
    assert len(log_of(tmp_path / "run")) == len(dice)
    assert f"epoch {1 + dice.index(max(dice))}," in again


def test_logs_that_a_kill_left_behind_are_made_up_for(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(archive, run, "--set", "epochs=2")
    whole = (run / "log.csv").read_text()
    (run / "log.csv").write_text("".join(whole.splitlines(keepends=True)[:2]))
    train(archive, run, "--set", "epochs=2", "--resume")
    assert (run / "log.csv").read_text() == whole


def test_a_checkpoint_of_an_earlier_version(archive: Path, tmp_path: Path) -> None:
    """Settings that it lacks count as their defaults; a state that it lacks is an error that names the way out."""
    run = tmp_path / "run"
    train(archive, run, "--set", "epochs=1")
    checkpoint = load_checkpoint(run / "last.pt")
    for key in ("ema", "compile", "patience"):
        del checkpoint.training["recipe"][key]
    save_checkpoint(checkpoint, run / "last.pt")
    train(archive, run, "--set", "epochs=1", "--resume")
    del checkpoint.resume["schedule"]
    save_checkpoint(checkpoint, run / "last.pt")
    call = ["train", "--data", str(archive), "--out", str(run), *TINY, "--set", "epochs=1", "--resume"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 1
    assert f"--set init={run / 'last.pt'}" in result.output


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        require_compiler()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_a_compiled_network_learns_the_same(archive: Path, tmp_path: Path) -> None:
    for name, flag in (("plain", "false"), ("compiled", "true")):
        train(archive, tmp_path / name, "--set", "epochs=2", "--set", f"compile={flag}")
    for one, other in zip(log_of(tmp_path / "plain"), log_of(tmp_path / "compiled"), strict=True):
        assert list(map(float, one.values())) == pytest.approx(list(map(float, other.values())), rel=1e-3, abs=1e-3)
    keys = load_checkpoint(tmp_path / "plain" / "best.pt").state.keys()
    assert load_checkpoint(tmp_path / "compiled" / "best.pt").state.keys() == keys


def stop_after(patch: pytest.MonkeyPatch, epochs: int) -> None:
    """Raise Ctrl-C at the start of the epoch after ``epochs``."""
    from seglab.training.steps import Steps

    train_epoch = Steps.train

    def stopping(self: Steps, examples: Any, number: int, track: Any) -> float:
        if number > epochs:
            raise KeyboardInterrupt
        return train_epoch(self, examples, number, track)

    patch.setattr(Steps, "train", stopping)


KILLED = """
import os, signal
from seglab.cli import main
from seglab.training.steps import Steps

train, begun = Steps.train, []

def dying(batches, _):
    for batch in batches:
        yield batch
        os.kill(os.getpid(), signal.SIGKILL)

def killed(self, examples, number, track):
    begun.append(number)
    return train(self, examples, number, dying if len(begun) == {epoch} else track)

Steps.train = killed
main()
"""


def killed_in_epoch(epoch: int, words: list[str], repo_root: Path) -> None:
    """Run ``seglab`` in a process that ends as by ``kill -9`` within this epoch, counted over all that it trains."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(epoch=epoch), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=repo_root,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_end(archive: Path, tmp_path: Path, repo_root: Path) -> None:
    settings = [*TINY, "--set", "epochs=25", "--set", "ema=0.9", "--set", "schedule=plateau"]
    call = ["train", "--data", str(archive), *settings, "--out"]
    run = tmp_path / "run"
    killed_in_epoch(3, [*call, str(run)], repo_root)
    assert len(load_checkpoint(run / "last.pt").training["history"]) == 2
    for way in ([str(run), "--resume"], [str(tmp_path / "whole")]):
        done = subprocess.run([sys.executable, "-m", "seglab.cli", *call, *way], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    for file in ("log.csv", "best.pt"):
        assert sha256(run / file) == sha256(tmp_path / "whole" / file), file


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
    assert "already holds a run" in again.output
    other = CliRunner().invoke(main, [*call, "--resume", "--set", "seed=3"])
    assert other.exit_code == 2
    assert "seed (0 before, 3 now)" in other.output


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
    for word in ("accuracy", "precision", "sensitivity", "thresholded Jaccard", "truth: lesion", "pixels (median"):
        assert word in table.stdout
    shown = CliRunner().invoke(main, call).stdout
    assert f"{scores['dice']:.4f}" in next(line for line in shown.splitlines() if line.startswith("Dice "))
    assert not {"f1", "F1"} & {line.split()[0] for line in shown.splitlines() if line}, "the same number as Dice"
    assert max(map(len, table.stdout.splitlines())) <= 80
    assert "images per second" in table.stderr


def test_examples_depend_on_seed_epoch_and_index_alone(archive: Path) -> None:
    pairs = find_pairs(archive)
    one, other = (Examples(pairs, 32, FULL, seed=1) for _ in range(2))
    image, target = one[4, 7]
    assert image.dtype == torch.uint8
    assert (image.shape, target.shape) == ((3, 32, 32), (1, 32, 32))
    assert torch.equal(image, other[4, 7][0])
    assert not torch.equal(image, other[5, 7][0])


def test_a_truth_of_another_size_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    for folder, size in (("images", (40, 30)), ("masks", (30, 40))):
        (tmp_path / folder).mkdir()
        Image.new("L", size).save(tmp_path / folder / "a.png")
    with pytest.raises(DataError, match=r"a.png is \(40, 30\), its image \(30, 40\)"):
        Examples(find_pairs(tmp_path), 32)[0]
