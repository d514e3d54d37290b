"""``seg-export`` writes over no file that it reads, nor over one that it did not make."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

import export
from export.cli import main
from tests.support.artefact import blobs, tiny_checkpoint, tiny_model

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two checkpoints, a model, and photographs, in which commands are run."""
    tiny_checkpoint(tmp_path / "a.pt")
    tiny_checkpoint(tmp_path / "b.pt")
    tiny_model(tmp_path / "model.onnx")
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08 somebody's network")
    (tmp_path / "photos").mkdir()
    assert cv2.imwrite(str(tmp_path / "photos" / "p.jpg"), blobs(np.random.default_rng(0), 50, 60)[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EXPORTED = "is the file that is to be exported; name another"
ADOPT = "adopt net.onnx --size 64 --mean imagenet --parity photos"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("onnx a.pt --out a.pt", f"--out {EXPORTED}"),
        ("onnx a.pt --out ./photos/../a.pt", f"--out {EXPORTED}"),
        ("onnx --ensemble a.pt b.pt --out b.pt", f"--out {EXPORTED}"),
        ("onnx a.pt --json a.pt", f"--json {EXPORTED}"),
        ("onnx a.pt --picture a.pt", f"--picture {EXPORTED}"),
        ("onnx net.onnx", "Use `seg-export adopt` for a network"),
        (f"{ADOPT} --out net.onnx", f"--out {EXPORTED}"),
        (f"{ADOPT} --out m.onnx --json net.onnx", f"--json {EXPORTED}"),
        ("onnx a.pt --parity photos --picture photos/p.jpg", "--picture is one of the images to read"),
        ("onnx a.pt --precision int8 --calibrate photos --out photos/p.jpg", "--out is one of the images"),
        ("check model.onnx a.pt --images photos --json model.onnx", "--json is a file that is to be compared"),
        ("check model.onnx a.pt --images photos --picture photos/p.jpg", "--picture is one of the images"),
        ("onnx a.pt --out b.pt", "b.pt exists and is not a model that seg-export made"),
        ("onnx a.pt --out net.onnx", "net.onnx exists and is not a model"),
        ("onnx a.pt --json net.onnx", "net.onnx exists and is not a report"),
        ("onnx a.pt --picture b.pt", "expected .png or .jpg"),
        ("onnx a.pt --out photos", "--out photos is a folder; expected the name of a file"),
        ("onnx a.pt --out .", "--out . is a folder"),
        ("openvino model.onnx --out .", "--out . is a folder"),
        ("onnx a.pt --out m.onnx --json ./m.onnx", "--out and --json name the same file"),
        ("onnx a.pt --out m.jpg --picture m.jpg", "--out and --picture name the same file"),
        ("onnx a.pt --json /dev/null", "is a device or a pipe; expected a file. --json - writes to stdout"),
    ],
)
def test_what_is_read_and_what_is_somebody_elses_stays(here: Path, line: str, said: str) -> None:
    before = contents(here)
    result = run(line)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert contents(here) == before


def test_a_folder_has_a_default_too(here: Path) -> None:
    for line in ("onnx .", "onnx ..", "onnx /", "openvino ."):
        result = run(line)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_what_is_read_is_what_is_read(here: Path, link: Callable[[str, str], None]) -> None:
    link("a.pt", "other.onnx")
    link("photos/p.jpg", "worst.jpg")
    os.makedirs("pretrained")
    os.link("b.pt", "pretrained/b.pt")
    before = contents(here)
    for line in ("onnx pretrained --out b.pt", "onnx a.pt --out other.onnx", "onnx other.onnx --out a.pt"):
        assert EXPORTED in " ".join(run(line).stderr.split())
    result = run("onnx a.pt --parity photos --picture worst.jpg")
    assert result.exit_code == 2
    assert contents(here) == before


@pytest.mark.parametrize("name", ["worst.jpg", "worst.png"])
def test_a_picture_of_somebody_stays_and_one_of_ours_is_replaced(here: Path, name: str) -> None:
    line = f"check model.onnx a.pt --images photos --device cpu --picture {name}"
    assert run(line).exit_code == 0
    assert run(line).exit_code == 0
    assert cv2.imread(name) is not None
    assert cv2.imwrite(name, blobs(np.random.default_rng(0), 50, 60)[0])
    before = contents(here)
    assert run(line).exit_code == 2
    assert contents(here) == before


@pytest.mark.slow
def test_stdout_is_one_json_value_and_a_name_that_is_too_long_is_said(here: Path) -> None:
    assert json.loads(run("onnx a.pt --parity photos --json - --out m.onnx").stdout)["passed"]
    result = run(f"info {'x' * 300}.onnx")
    assert (result.exit_code, "too long" in result.stderr) == (1, True), result.output
    assert isinstance(result.exception, SystemExit)


def test_an_earlier_model_and_an_empty_file_are_replaced_and_what_dead_writers_left_removed(here: Path) -> None:
    old = (here / "model.onnx").read_bytes()
    (here / "model.parity.json").touch()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = [f".model.{gone.pid}-1.tmp.onnx", f"..model.{gone.pid}-1.tmp.{gone.pid}-1.tmp.onnx"]
    stays = [f".model.{os.getppid()}-1.tmp.onnx", f".model2.{gone.pid}-1.tmp.onnx", f".model.{gone.pid}-1.tmp.txt"]
    for name in (*left, *stays):
        (here / name).touch()
    for _ in range(2):  # the second time over the reports of the first
        result = run("onnx a.pt --out model.onnx --parity photos")
        assert result.exit_code == 0, result.output
    assert (here / "model.onnx").read_bytes() != old
    assert (here / "model.parity.json").read_text().startswith("{")
    assert sorted(path.name for path in here.glob(".*")) == sorted(stays)


def started(line: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own, and wait until it has written a file that is not proved yet."""
    command = [sys.executable, "-m", "export.cli", *line.split()]
    environment = {**os.environ, "PYTHONPATH": str(Path(export.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not any(path.stat().st_size for path in Path().glob(".m.*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)], ids=lambda number: number.name
)
def test_a_stop_leaves_nothing_behind(here: Path, number: signal.Signals) -> None:
    before = contents(here)
    process = started("onnx a.pt --out m.onnx")
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "Interrupted; no unproved model was written. Run the same command again" in said
    assert "Traceback" not in said
    assert contents(here) == before


@pytest.mark.slow
def test_after_a_kill_the_next_export_removes_what_was_left(here: Path) -> None:
    process = started("onnx a.pt --out m.onnx")
    process.kill()
    process.communicate()
    assert list(here.glob(".m.*"))
    assert run("onnx a.pt --out m.onnx --parity photos").exit_code == 0
    assert not list(here.glob(".m*"))
