"""Prepared data sets: the same arrays however often the work was interrupted, and nothing lost on the way."""

from __future__ import annotations

import json
import os
import shutil
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
from seglab.data.finding.layouts import find_pairs
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
    with pytest.raises(DataError, match="not completely prepared"):
        find_pairs(tmp_path / "parts")
    with (tmp_path / "parts" / "journal.jsonl").open("a") as journal:
        journal.write("[2, [60")  # what a kill leaves of a line
    done = prepare(pairs, tmp_path / "parts", SETTINGS)
    assert (done.stored, done.earlier) == (9, 2)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert prepare(pairs, tmp_path / "parts", SETTINGS).earlier == 9


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path) -> None:
    archive = tmp_path / "large"
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


def test_a_store_of_hairless_images_keeps_its_label(archive: Path, tmp_path: Path) -> None:
    pairs = find_pairs(archive)
    prepare(pairs, tmp_path / "hairless", PrepareSettings(size=32, hair="dullrazor"))
    stored = find_pairs(tmp_path / "hairless")
    prepare(stored, tmp_path / "again", PrepareSettings(size=16))
    assert {pair.hair for pair in find_pairs(tmp_path / "again")} == {"dullrazor"}
    assert prepare(stored, tmp_path / "again", PrepareSettings(size=16)).earlier == 9
    with pytest.raises(ConfigError, match=r"3 with hair=dullrazor.*Add --hair dullrazor"):
        prepare([*pairs[3:], *stored[:3]], tmp_path / "mixed", PrepareSettings(size=16))
    both = prepare([*pairs[3:], *stored[:3]], tmp_path / "mixed", PrepareSettings(size=32, hair="dullrazor"))
    assert both.stored == 9


def test_the_command_says_what_is_used_and_stops_where_a_tenth_of_a_set_fails(archive: Path, tmp_path: Path) -> None:
    call = ["prepare", str(archive), "--out", str(tmp_path / "out"), "--size", "32"]
    broken = sorted((archive / "images").iterdir())[2:4]
    kept = [path.read_bytes() for path in broken]
    for path in broken:
        path.write_bytes(b"")
    refused = CliRunner().invoke(main, call)
    assert refused.exit_code == 1, refused.output
    assert "archive: 2 of 9 pairs cannot be used (2 × The file is empty)" in refused.output
    assert not (tmp_path / "out/index.json").exists()
    for path, data in zip(broken, kept, strict=True):
        path.write_bytes(data)
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    assert "archive: used 9 of 9 images" in done.output
    assert "9 pairs in" in done.output
    assert "7 of them from an earlier run" in done.output


def test_an_output_that_is_no_folder_is_said(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(main, ["prepare", str(archive), "--out", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert f"{tmp_path / 'file'} cannot be written (File exists)" in result.output


def in_small_space(before: str, archive: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Prepare 4.5 MiB of arrays in a shell that first runs ``before``."""
    command = f"{before} && exec {sys.executable} -m seglab.cli prepare {archive} --out {out} --size 362"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)


def test_room_is_reserved_before_anything_is_written_to_it(archive: Path, tmp_path: Path) -> None:
    stopped = in_small_space("ulimit -f 1000", archive, tmp_path / "out")  # which a disk's size does not tell
    assert stopped.returncode == 1, stopped.stderr
    assert "cannot be written (File too large)" in stopped.stderr
    done = in_small_space("true", archive, tmp_path / "out")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0
    if shutil.which("unshare")
    else True,
    reason="needs the right to mount (root, unshare)",
)
def test_a_full_disk_is_said_with_what_is_needed(archive: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    command = [
        f"mount -t tmpfs -o size=1m tmpfs {small}",
        f"{sys.executable} -m seglab.cli prepare {archive} --out {small}/out --size 362; echo status $?",
        f"ls -A {small}",
        f"mount -o remount,size=20m {small}",
        f"{sys.executable} -m seglab.cli prepare {archive} --out {small}/out --size 362; echo status $?",
    ]
    result = subprocess.run(
        ["unshare", "-m", "bash", "-c", " && ".join(command)], capture_output=True, text=True, check=True
    )
    assert "needs 4.5 MiB more, and its disk has 1.0 MiB free" in result.stderr
    assert "status 1\nstatus" not in result.stdout
    assert result.stdout.startswith("status 1\narchive: used 9 of 9"), "nothing is left behind"
    assert result.stdout.endswith("status 0\n")
