"""The command line: exit codes, what goes where, and the commands around a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import f1_score

from batch.cli import main
from export.runtime.inspection import inspect_devices
from tests.support.archive import StandIn, read_grey, run_all, save, save_many, seg_batch
from tests.support.artefact import blobs


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_run_says_nothing_on_stdout(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "in", 3)
    done = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert re.search(r"3 masks, 0 failed, 0 unchanged in .* images/s", done.stderr)
    assert "Device    onnxruntime on the CPU, fp32\n" in done.stderr
    assert "images/s]" not in done.stderr  # no progress bar without a terminal
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


@pytest.mark.slow
def test_real_devices_agree(tmp_path: Path, model_file: Path) -> None:
    paths = save_many(tmp_path / "in", 5)
    masks = []
    for report in inspect_devices(model_file):
        if report.verified:
            out = tmp_path / report.name
            done = invoke("run", tmp_path / "in", "--out", out, "--model", model_file, "--device", report.name)
            assert done.exit_code == 0, done.stderr
            masks.append([read_grey(out / path.name) > 0 for path in paths])
    assert masks
    for one, other in zip(masks[0], masks[-1], strict=True):
        assert np.mean(one != other) < 0.002


def test_fast_masks_are_close_to_exact_ones(tmp_path: Path, model_file: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(6):
        image, _ = blobs(rng, 300 + 40 * number, 500)
        save(tmp_path / "in" / f"{number}.jpg", image, quality=90)
    arguments = ("run", tmp_path / "in", "--model", model_file, "--device", "cpu", "--out")
    assert invoke(*arguments, tmp_path / "fast").exit_code == 0
    assert invoke(*arguments, tmp_path / "exact", "--exact").exit_code == 0
    for number in range(6):
        fast, exact = (read_grey(tmp_path / kind / f"{number}.png") > 0 for kind in ("fast", "exact"))
        assert fast.shape == exact.shape
        assert f1_score(exact.ravel(), fast.ravel()) > 0.97


def test_options_reach_the_run(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "in", 5)
    options = (
        "--name",
        "{stem}_segmentation.png",
        "--mask-bits",
        "8",
        "--limit",
        "4",
        "--batch",
        "2",
        "--workers",
        "1",
    )
    more = ("--overlays", tmp_path / "pictures", "--device", "cpu")
    done = invoke("run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, *options, *more)
    assert done.exit_code == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*_segmentation.png"))) == 4
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 4
    last = json.loads(invoke("status", tmp_path / "out", "--json").stdout)["last_run"]
    assert (last["settings"]["mask_bits"], last["settings"]["batch"], last["device"]) == (8, 2, "cpu")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("run",), 2, "Missing option"),
        (("run", "--out", "OUT"), 2, "No source was named"),
        (("run", "IN"), 2, "Missing option '--out'"),
        (("run", "none", "--out", "OUT"), 2, "none does not exist"),
        (("run", "none*.jpg", "--out", "OUT"), 2, "No image matches"),
        (("run", "IN", "--out", "OUT", "--name", "{id}.png"), 2, "unknown field"),
        (("run", "IN", "--out", "OUT", "--device", "tpu", "--model", "MODEL"), 2, "no device 'tpu'"),
        (("run", "IN", "--out", "OUT", "--model", "none.onnx"), 1, "none.onnx does not exist"),
        (("run", "IN", "--out", "IN/000.png/x", "--model", "MODEL"), 1, "cannot be written"),
        (("status", "IN"), 1, "There is no ledger in"),
        (("score", "IN", "none"), 1, "none is not a folder"),
        (("doctor", "--model", "none.onnx"), 1, "none.onnx does not exist"),
    ],
)
def test_errors_end_with_a_message_and_a_code(
    tmp_path: Path, model_file: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    save_many(tmp_path / "in", 1)
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out"), "MODEL": str(model_file)}
    filled = [re.sub("IN|OUT|MODEL", lambda found: places[found[0]], argument) for argument in arguments]
    done = invoke(*filled)
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert done.stdout == ""


def test_a_device_that_is_not_there(tmp_path: Path, model_file: Path) -> None:
    if any(report.name.startswith("cuda") and report.available for report in inspect_devices(model_file)):
        pytest.skip("this machine has a GPU")
    save_many(tmp_path / "in", 1)
    done = invoke("run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, "--device", "cuda")
    assert done.exit_code == 1
    assert "cuda" in done.stderr
    assert "Use --device auto." in done.stderr


def test_an_empty_folder_says_so(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").touch()
    done = invoke("run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    assert done.exit_code == 3
    assert "No images found." in done.stderr
    assert "1 other file (1 .txt)" in done.stderr


def test_status_shows_the_first_failures_and_all(tmp_path: Path) -> None:
    for number in range(23):
        path = save(tmp_path / "in" / f"{number:02}.png")
        path.write_bytes(b"no image")
    save(tmp_path / "in" / "good.png")
    run_all(tmp_path / "in", tmp_path / "out", StandIn())
    short, full = invoke("status", tmp_path / "out"), invoke("status", tmp_path / "out", "--all")
    assert "1 done, 23 failed, 0 pending" in short.stdout
    assert (short.stdout.count("failed: "), full.stdout.count("failed: ")) == (20, 23)
    assert "and 3 more" in short.stdout
    assert "stand-in" in short.stdout


@pytest.mark.slow
def test_doctor(model_file: Path) -> None:
    done = invoke("doctor", "--model", model_file)
    assert done.exit_code == 0, done.output
    assert re.search(r"cpu +works, \d", done.stdout)
    assert re.search(r"fastest: (cpu|openvino|cuda:0), \w+\n$", done.stdout)
    found = json.loads(invoke("doctor", "--model", model_file, "--json").stdout)
    assert found["format_version"] == 2
    assert {device["name"] for device in found["devices"]} >= {"cpu", "openvino"}
    assert "numpy" in found["tools"]


def test_every_command_has_an_example() -> None:
    for name, command in main.commands.items():
        assert re.search(rf"Example: .*seg-batch {name}\b", command.help or ""), name
