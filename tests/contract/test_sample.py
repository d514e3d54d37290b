"""``--sample N``: a random part first, the rest later, and both add up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import batch
from tests.support.archive import command, masks_below, save, save_many, seg_batch

COUNT = 40


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "photos"
    save_many(folder / "first", COUNT // 2)
    save_many(folder / "second", COUNT // 2)
    return folder


def results(photos: Path | tuple[Path, ...], out: Path, model: Path, **more: Any) -> tuple[list[batch.Result], Any]:
    runner = batch.Runner(batch.RunSettings(photos, out, model=model, device="cpu", processes=1, **more))
    return list(runner), runner.report


def paths(found: list[batch.Result], status: str = "done") -> set[str]:
    return {result.path for result in found if result.status == status}


@pytest.mark.slow
def test_a_sample_and_then_all_add_up(photos: Path, model_file: Path, tmp_path: Path) -> None:
    sample, report = results(photos, tmp_path / "m", model_file, sample=8)
    assert len(paths(sample)) == len(sample) == 8
    assert str(report.sources.drawn) == "a sample of 8 of 40 images (seed 0)"
    assert report.to_json()["drawn"] == {"images": 8, "of": COUNT, "seed": 0}
    assert "last run: a sample of 8 of 40 images (seed 0)" in seg_batch("status", tmp_path / "m").stdout.splitlines()
    kept = {name: (tmp_path / "m" / name).stat().st_mtime_ns for name in masks_below(tmp_path / "m")}
    again, _ = results(photos, tmp_path / "m", model_file, sample=8)
    assert paths(again, "skipped") == paths(sample)
    everything, report = results(photos, tmp_path / "m", model_file)
    assert paths(everything, "skipped") == paths(sample)
    assert len(paths(everything)) == COUNT - 8
    assert report.to_json()["drawn"] is None
    assert {name: (tmp_path / "m" / name).stat().st_mtime_ns for name in kept} == kept
    results(photos, tmp_path / "at_once", model_file)
    assert masks_below(tmp_path / "m") == masks_below(tmp_path / "at_once")


def test_the_same_seed_draws_the_same_and_another_one_others(photos: Path, model_file: Path, tmp_path: Path) -> None:
    drawn = [results(photos, tmp_path / str(n), model_file, sample=6, seed=seed)[0] for n, seed in enumerate((1, 1, 2))]
    assert paths(drawn[0]) == paths(drawn[1]) != paths(drawn[2])


def test_with_a_limit_both_apply(photos: Path, model_file: Path, tmp_path: Path) -> None:
    sample, _ = results(photos, tmp_path / "whole", model_file, sample=8)
    part, report = results(photos, tmp_path / "m", model_file, sample=8, limit=3)
    assert len(paths(part)) == 3
    assert paths(part) < paths(sample)
    assert str(report.sources.drawn) == "a sample of 8 of 40 images (seed 0)"
    rest, _ = results(photos, tmp_path / "m", model_file, sample=8)
    assert paths(rest) | paths(part) == paths(sample)


@pytest.mark.parametrize("checksum", [False, True])
def test_more_than_there_are_is_all(photos: Path, model_file: Path, tmp_path: Path, checksum: bool) -> None:
    found, report = results(photos, tmp_path / "m", model_file, sample=1000, checksum=checksum)
    assert len(paths(found)) == COUNT
    assert str(report.sources.drawn) == "a sample of 40 of 40 images (seed 0)"


def test_it_is_drawn_from_all_sources(photos: Path, model_file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in photos.glob("second/*"):
            file.write(path, path.name)
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(photos / "first", "first")
    (tmp_path / "list").write_text("\n".join(str(path) for path in photos.glob("first/*")))
    named = (tmp_path / "a.zip", tmp_path / "b.tar")
    found, report = results(named, tmp_path / "m", model_file, sample=30, files_from=(tmp_path / "list",))
    assert report.sources.drawn.of == 60
    kinds = [sum(result.path.startswith(str(start)) for result in found) for start in (*named, photos)]
    assert sum(kinds) == 30
    assert all(kinds)


def test_an_empty_folder_has_no_sample(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run_command(tmp_path / "empty", "--out", tmp_path / "m", "--model", model_file, "--sample", "5")
    assert ended.returncode == 3
    assert "a sample of 0 of 0 images (seed 0)" in ended.stderr
    assert "No images found." in ended.stderr


def test_broken_images_and_odd_names_are_drawn_as_any(model_file: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save_many(photos, 3)
    save(photos / "a\nb.png")
    (photos / "broken.png").write_bytes(b"")
    if os.name == "posix":
        (photos / "000.png").rename(photos / os.fsdecode(b"\xff.png"))
    ended = run_command(photos, "--out", tmp_path / "m", "--model", model_file, "--sample", "5", "--seed", "9")
    assert ended.returncode == 3
    assert "a sample of 5 of 5 images (seed 9)" in ended.stderr
    assert "4 masks, 1 failed" in ended.stderr


def test_a_dry_run_forecasts_the_sample(photos: Path, model_file: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "m", "--model", model_file, "--sample", "7", "--seed", "3", "--dry-run")
    ended = run_command(photos, *options)
    assert ended.stdout.startswith("a sample of 7 of 40 images (seed 3)\n7 images, ")
    assert json.loads(run_command(photos, *options, "--json").stdout)["drawn"] == {"images": 7, "of": 40, "seed": 3}
    assert not (tmp_path / "m").exists()


def run_command(source: Path | str, *arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        command("run", source, "--device", "cpu", *arguments), input=stdin, capture_output=True, check=False
    )
    texts = (ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))
    return subprocess.CompletedProcess(ended.args, ended.returncode, *texts)


def a_compressed_tar(photos: Path, place: Path) -> Path:
    path = place / "photos.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(photos, "photos")
    return path


def test_a_compressed_tar_is_refused_before_anything_is_touched(photos: Path, model_file: Path, tmp_path: Path) -> None:
    tar = a_compressed_tar(photos, tmp_path)
    ended = seg_batch("run", photos, tar, "--out", tmp_path / "m", "--model", model_file, "--sample", "3")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Error: {tar} is read once, from front to back, so no sample can be drawn from it;")
    assert "Decompress it" in line
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_one_that_a_list_names_is_refused(photos: Path, model_file: Path, tmp_path: Path) -> None:
    tar = a_compressed_tar(photos, tmp_path)
    (tmp_path / "list").write_text(f"{photos}\n{tar}\n")
    options = ("--out", tmp_path / "m", "--model", model_file, "--sample", "3")
    ended = seg_batch("run", "--files-from", tmp_path / "list", *options)
    assert ended.returncode == 2
    assert f"Error: {tar}/photos/first/" in ended.stderr
    assert " lies in an archive that is read once, from front to back" in ended.stderr
    assert masks_below(tmp_path / "m") == {}
    assert seg_batch("run", photos, *options).returncode == 0  # what was refused does not stand in the way


def test_a_tar_by_standard_input_is_refused_and_a_list_is_not(photos: Path, model_file: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "m", "--model", model_file, "--sample", "3")
    ended = run_command("-", *options, stdin=a_compressed_tar(photos, tmp_path).read_bytes())
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: Standard input is read once")
    names = b"\0".join(os.fsencode(path) for path in photos.rglob("*.png"))
    ended = run_command("-", *options, stdin=names)
    assert ended.returncode == 0, ended.stderr
    assert "a sample of 3 of 40 images (seed 0)" in ended.stderr


@pytest.mark.parametrize("arguments", [("--sample", "0"), ("--sample", "3", "--seed", "-1"), ("--seed", "3")])
def test_what_cannot_be_is_refused(photos: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = seg_batch("run", photos, "--out", tmp_path / "m", *arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("exact", [(), ("--exact",)])
def test_it_can_be_stopped_while_it_is_drawn(
    photos: Path, model_file: Path, tmp_path: Path, exact: tuple[str, ...]
) -> None:
    """A list that never ends: nothing is done before all of it was seen."""
    run = command(
        "run", "-", "--out", tmp_path / "m", "--model", model_file, "--sample", "3", "--device", "cpu", *exact
    )
    process = subprocess.Popen(run, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    for path in photos.rglob("*.png"):
        process.stdin.write(os.fsencode(path) + b"\n")
    process.stdin.flush()
    while not (tmp_path / "m").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    errors = process.communicate()[1]
    assert b"\nInterrupted; run the same command again" in errors, errors
    assert masks_below(tmp_path / "m") == {}


@pytest.mark.slow
def test_at_urls_a_zip_is_drawn_from_and_a_tar_is_refused(
    photos: Path, model_file: Path, tmp_path: Path, s3: Any
) -> None:
    for path in photos.glob("first/*"):
        s3.put(str(path), f"photos/set/{path.name}")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for path in photos.glob("second/*"):
            file.write(path, path.name)
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        tar.add(photos / "first", "first")
    for name in ("a.zip", "b.tar"):
        s3.put(str(tmp_path / name), f"photos/{name}")
    options = ("--ledger", tmp_path / "ledger", "--model", model_file, "--device", "cpu", "--json", "--sample", "12")
    sources = ("s3://photos/set", "s3://photos/a.zip")
    ended = seg_batch("run", *sources, "--out", "s3://masks/m", *options)
    assert ended.returncode == 0, ended.stderr
    end = json.loads(ended.stdout.splitlines()[-1])
    assert end["summary"]["drawn"] == {"images": 12, "of": COUNT, "seed": 0}
    assert sum(name.endswith(".png") for name in s3.find("masks/m")) == end["summary"]["done"] == 12
    ended = seg_batch("run", *sources, "s3://photos/b.tar", "--out", "s3://masks/m", *options)
    assert ended.returncode == 2
    assert ended.stderr.startswith("Error: s3://photos/b.tar is read once, from front to back")
