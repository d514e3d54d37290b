"""Prepared data sets: the same arrays however often the work was interrupted, and nothing lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from seglab.cli import main
from seglab.data import store as module
from seglab.data.examples import Examples
from seglab.data.layouts import find_pairs
from seglab.data.store import PrepareSettings, is_prepared, prepare, read_index
from seglab.errors import ConfigError, DataError
from seglab.synth import write_set

SETTINGS = PrepareSettings(size=32)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Nine synthetic pairs of different shapes."""
    write_set(tmp_path / "archive", 9, [(60, 80), (80, 60), (64, 64)], seed=7)
    return tmp_path / "archive"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_prepared_set_is_read_like_the_files_it_came_from(archive: Path, tmp_path: Path) -> None:
    pairs = find_pairs(archive)
    assert prepare(pairs, tmp_path / "out", SETTINGS).stored == 9
    stored = find_pairs(tmp_path / "out")
    assert [(pair.id, pair.lesion) for pair in stored] == [(pair.id, pair.lesion) for pair in pairs]
    for one, other in zip(pairs, stored, strict=True):
        fresh, kept = (Examples([pair], 32)[0] for pair in (one, other))
        assert np.array_equal(fresh[0], kept[0])
        assert float((fresh[1] - kept[1]).abs().mean()) < 0.03  # a stored truth has no soft border
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert {(item["height"], item["width"]) for item in index["items"]} == {(60, 80), (80, 60), (64, 64)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"images.npy", "masks.npy", "index.json"}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floats_are_scaled_to_one(archive: Path, tmp_path: Path, dtype: str) -> None:
    pairs = find_pairs(archive)
    prepare(pairs, tmp_path / "bytes", SETTINGS)
    prepare(pairs, tmp_path / "floats", PrepareSettings(size=32, dtype=dtype))
    array = np.load(tmp_path / "floats" / "images.npy")
    assert array.dtype == np.dtype(dtype)
    assert 0 <= array.min() < 0.5 < array.max() <= 1
    for one, other in zip(read_index(tmp_path / "bytes"), read_index(tmp_path / "floats"), strict=True):
        assert np.array_equal(one.photo().pixels, other.photo().pixels)


def test_interrupted_work_goes_on_to_the_same_bytes(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = find_pairs(archive)
    monkeypatch.setattr(module, "BLOCK", 2)
    prepare(pairs, tmp_path / "whole", SETTINGS)

    def stop(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(pairs, tmp_path / "parts", SETTINGS, advance=stop)
    assert is_prepared(tmp_path / "parts")
    with pytest.raises(DataError, match="not prepared to its end"):
        find_pairs(tmp_path / "parts")
    with (tmp_path / "parts" / "journal.jsonl").open("a") as journal:
        journal.write("[2, [60")  # what a kill leaves of a line
    done = prepare(pairs, tmp_path / "parts", SETTINGS)
    assert (done.stored, done.earlier) == (9, 2)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert prepare(pairs, tmp_path / "parts", SETTINGS).earlier == 9


def test_a_killed_command_goes_on(archive: Path, tmp_path: Path) -> None:
    write_set(archive, 400, [(60, 80)], seed=8)
    command = [sys.executable, "-m", "seglab.cli", "prepare", str(archive), "--size", "64", "--hair", "dullrazor"]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "killed")])
    journal = tmp_path / "killed" / "journal.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text().count("\n") > 64):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    for name in ("killed", "whole"):
        subprocess.run([*command, "--out", str(tmp_path / name)], check=True, capture_output=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_pair_that_cannot_be_read_is_listed_and_the_others_are_stored(archive: Path, tmp_path: Path) -> None:
    broken = sorted((archive / "images").iterdir())[2]
    broken.write_bytes(b"")
    result = CliRunner().invoke(main, ["prepare", str(archive), "--out", str(tmp_path / "out"), "--size", "32"])
    assert result.exit_code == 3, result.output
    assert f"failed: {broken}" in result.output
    assert "8 pairs" in result.output
    assert list(json.loads((tmp_path / "out" / "index.json").read_text())["failed"]) == [str(broken)]
    assert broken.stem not in {pair.id for pair in read_index(tmp_path / "out")}


def test_other_settings_and_other_folders_are_refused(archive: Path, tmp_path: Path) -> None:
    pairs = find_pairs(archive)
    prepare(pairs, tmp_path / "out", SETTINGS)
    with pytest.raises(ConfigError, match=r"size \(32 before, 64 now\)"):
        prepare(pairs, tmp_path / "out", PrepareSettings(size=64))
    with pytest.raises(ConfigError, match=r"the pairs \(9 before, 8 now\)"):
        prepare(pairs[1:], tmp_path / "out", SETTINGS)
    with pytest.raises(ConfigError, match="not empty"):
        prepare(pairs, archive, SETTINGS)
    with pytest.raises(ConfigError, match="expected none or dullrazor"):
        PrepareSettings(hair="shaver")


def test_a_prepared_set_is_trained_with_the_hair_setting_it_was_made_with(archive: Path, tmp_path: Path) -> None:
    prepare(find_pairs(archive), tmp_path / "out", PrepareSettings(size=32, hair="dullrazor"))
    call = ["train", "--data", str(tmp_path / "out"), "--out", str(tmp_path / "run"), "--recipe", "isic2018-scratch"]
    call += ["--set", "widths=[4,8]", "--set", "size=32", "--set", "epochs=1", "--set", "workers=0"]
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 2
    assert "--set hair=dullrazor" in refused.output
    trained = CliRunner().invoke(main, [*call, "--set", "hair=dullrazor"])
    assert trained.exit_code == 0, trained.output
