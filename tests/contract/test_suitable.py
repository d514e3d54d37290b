"""Images that are no dermoscopy: flagged in ledger, table, summary and status, with their masks; from training on."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from seglab.cli import main
from tests.support.archive import command, masks_below, save_many, seg_batch
from tests.support.artefact import blobs
from tests.support.suitable_model import noise, skin, suitable_file

TINY = [
    "--device", "cpu", "--recipe", "quick", "--set", "arch=unet", "--set", "encoder=mobilenet_v2",
    "--set", "encoder_weights=", "--set", "decoder_channels=[8,8,8,8]", "--set", "size=32", "--set", "epochs=1",
    "--set", "batch=16", "--set", "workers=0", "--set", "precision=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of blobs on skin, and seven of noise."""
    folder = tmp_path_factory.mktemp("photos")
    for kind, images in (("skin", skin(33, 3)), ("noise", noise(32, 7))):
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / f"{kind}{number}.png")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suitable_file(tmp_path_factory.mktemp("model") / "m.onnx")


def run(model: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = command("run", *arguments, "--model", model, "--device", "cpu")
    ended = subprocess.run(line, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def scores(out: Path) -> dict[str, float | None]:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        return {Path(path).stem: score for path, score in connection.execute("SELECT path, suitable FROM items")}


@pytest.mark.slow
@pytest.mark.parametrize("more", [("--processes", "1"), ("--processes", "2"), ("--exact",)], ids=" ".join)
def test_images_unlike_the_training_images_are_named_and_keep_their_masks(
    model: Path, photos: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    out = tmp_path / "m"
    ended = run(model, photos, "--out", out, *more)
    assert ended.returncode == 0, ended.stderr
    found = scores(out)
    plainest = min(found, key=lambda name: (found[name], name))
    assert f"  {plainest}.png  unlike dermoscopy (6 more)\n" in ended.stderr
    assert {name: (score or 0) < 0.5 for name, score in found.items()} == {
        name: name.startswith("noise") for name in found
    }
    assert len(masks_below(out)) == 10
    told = seg_batch("status", out)
    assert f"Look at\n  {plainest}.png  unlike dermoscopy (6 more)\n" in told.stdout
    as_json = json.loads(seg_batch("status", out, "--json").stdout)
    assert as_json["unsuitable"] == 7
    assert as_json["look_at"][0] == {"path": str(photos / f"{plainest}.png"), "why": "unlike dermoscopy (6 more)"}
    assert seg_batch("table", out, tmp_path / "t.csv").returncode == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["suitable"]) == pytest.approx(found[Path(row["path"]).stem])


@pytest.mark.slow
def test_the_end_of_a_run_counts_them_for_programs(model: Path, photos: Path, tmp_path: Path) -> None:
    lines = run(model, photos, "--out", tmp_path / "m", "--json").stdout.splitlines()
    assert json.loads(lines[-1])["summary"]["unsuitable"] == 7
    again = run(model, photos, "--out", tmp_path / "m", "--json").stdout.splitlines()
    assert json.loads(again[-1])["summary"]["unsuitable"] == 0  # of images that were done before, `status` tells


def test_a_single_one_is_said_in_the_singular(model: Path, photos: Path, tmp_path: Path) -> None:
    ended = run(model, photos / "noise0.png", photos / "skin0.png", "--out", tmp_path / "m")
    assert re.search(r"Look at\n  \S*noise0\.png +unlike dermoscopy\n", ended.stderr)


def test_a_model_without_the_score_says_nothing(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 2)
    ended = run(model_file, tmp_path / "photos", "--out", tmp_path / "m")
    assert (ended.returncode, "dermoscopy" in ended.stderr) == (0, False)
    assert set(scores(tmp_path / "m").values()) == {None}
    assert json.loads(seg_batch("status", tmp_path / "m", "--json").stdout)["unsuitable"] == 0


@pytest.mark.slow
def test_a_ledger_of_the_format_before_goes_on(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert run(model, photos, "--out", out).returncode == 0
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        connection.executescript(
            "ALTER TABLE items DROP COLUMN suitable; PRAGMA user_version = 4;"
            "UPDATE meta SET value = '4' WHERE key = 'format_version';"
            "UPDATE items SET status = 'pending' WHERE mask = 'noise3.png';"
        )
    assert json.loads(seg_batch("status", out, "--json").stdout)["unsuitable"] == 0
    assert seg_batch("table", out, tmp_path / "t.csv").returncode == 0
    ended = run(model, photos, "--out", out)
    assert "1 mask, 0 failed, 9 unchanged" in ended.stderr
    found = scores(out)
    assert {name for name, score in found.items() if score is not None} == {"noise3"}
    assert json.loads(seg_batch("status", out, "--json").stdout)["unsuitable"] == 1


def seglab(*call: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in call])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def synth(out: Path, count: int) -> None:
    assert seglab("synth", "--out", out, "--count", count, "--size", "48x40").exit_code == 0


@pytest.mark.slow
def test_training_ends_with_the_score(tmp_path: Path) -> None:
    """And the command makes the same again."""
    synth(tmp_path / "data", 120)
    trained = seglab("train", "--data", tmp_path / "data", "--out", tmp_path / "run", *TINY)
    assert trained.exit_code == 0, trained.output
    assert "No score" not in trained.output
    made = torch.load(tmp_path / "run" / "best.pt", weights_only=True)["suitable"]
    assert made["channels"] == (24, 32, 96)
    assert made["images"] + made["calibrated_on"] == 120
    again = seglab("suitable", tmp_path / "run", "--out", tmp_path / "again.pt", "--device", "cpu")
    assert (again.exit_code, again.stdout) == (0, f"{tmp_path / 'again.pt'}\n"), again.output
    remade = torch.load(tmp_path / "again.pt", weights_only=True)["suitable"]
    assert remade.keys() == made.keys()
    assert all(torch.equal(torch.as_tensor(remade[key]), torch.as_tensor(made[key])) for key in made)


def test_too_few_images_are_no_reason_to_stop(tmp_path: Path) -> None:
    synth(tmp_path / "data", 10)
    trained = seglab("train", "--data", tmp_path / "data", "--out", tmp_path / "run", *TINY)
    assert trained.exit_code == 0, trained.output
    assert "No score `suitable`: There are " in trained.output
    assert "suitable" not in torch.load(tmp_path / "run" / "best.pt", weights_only=True)
    refused = seglab("suitable", tmp_path / "run")
    assert (refused.exit_code, "at least 50 and 20" in refused.output) == (1, True)


def test_a_network_without_an_encoder_is_refused(tmp_path: Path) -> None:
    synth(tmp_path / "data", 10)
    plain = ["--set", "arch=unet-scratch", "--set", "decoder_channels=[]", "--set", "widths=[4,8]"]
    assert seglab("train", "--data", tmp_path / "data", "--out", tmp_path / "run", *TINY, *plain).exit_code == 0
    refused = seglab("suitable", tmp_path / "run")
    assert (refused.exit_code, "has no encoder whose features can be taken" in refused.output) == (1, True)


def test_a_file_of_the_user_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    image, _ = blobs(np.random.default_rng(0), 20, 20)
    Image.fromarray(image).save(tmp_path / "a.png")
    refused = seglab("suitable", tmp_path / "run.pt", "--out", tmp_path / "notes.txt")
    assert (refused.exit_code, "not a checkpoint that seglab wrote, so it is not overwritten" in refused.output) == (
        2,
        True,
    )
    assert (tmp_path / "notes.txt").read_text() == "mine"
