"""``seg-export`` as a user meets it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx import ModelProto

from export.cli import main
from export.commands.common import DEFAULT_IMAGES
from export.contract import read_contract
from export.conversion import checkpoint
from export.conversion.build import fused
from export.samples import DEFAULT_LIMIT
from seglab.networks.checkpoints import save_checkpoint
from tests.support.artefact import blobs, tiny_checkpoint, tiny_model
from tests.support.planted_faults import no_antialias

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for index in range(3):
        image, mask = blobs(np.random.default_rng(index), 90 + index, 120)
        for name, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / name / f"p{index}.png"), pixels)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_checkpoint_becomes_a_proved_model(tmp_path: Path, pictures: Path) -> None:
    tiny_checkpoint(tmp_path / "best.pt")
    out = tmp_path / "models" / "m.onnx"
    result = run("onnx", tmp_path / "best.pt", "--out", out, "--parity", pictures, "--licence", "MIT")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    said = " ".join(result.stderr.split())
    assert f"PASSED: {out} gives the masks of its original measured on cpu in fp32, 9 images" in said
    assert "images 3 of 3 images with truth of pictures, and edge cases" in said
    assert f"report {tmp_path}/models/m.parity.json" in said
    assert f"use it seg-batch run photos/ --out masks/ --model {out}" in said
    figures = json.loads((tmp_path / "models" / "m.parity.json").read_text())
    assert figures["passed"]
    assert figures["figures"]["truth"]["images"] == 3
    assert read_contract(out).parity["figures"] == figures["figures"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["m.onnx", "m.parity.json"]


def test_a_picture_is_drawn_only_where_it_is_asked_for(tmp_path: Path, pictures: Path) -> None:
    """It shows photographs: of patients, where these are theirs."""
    tiny_checkpoint(tmp_path / "best.pt")
    words = ("onnx", tmp_path / "best.pt", "--out", tmp_path / "m.onnx", "--parity", pictures)
    assert run(*words).exit_code == 0
    assert not list(tmp_path.glob("*.jpg"))
    assert run(*words, "--picture", tmp_path / "worst.jpg").exit_code == 0
    assert [path.name for path in tmp_path.glob("*.jpg")] == ["worst.jpg"]


def test_a_failed_gate_leaves_no_model(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: Any) -> ModelProto:
        model = fused(*arguments)
        no_antialias(model)
        return model

    monkeypatch.setattr(checkpoint, "fused", wrong)
    tiny_checkpoint(tmp_path / "best.pt")
    out = tmp_path / "models" / "m.onnx"
    arguments = ("--out", out, "--parity", pictures, "--json", tmp_path / "failed.json")
    result = run("onnx", tmp_path / "best.pt", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "whole.flipped is" in result.stderr
    assert "worst image: " in result.stderr
    said, _, error = result.stderr.partition("\nError: ")
    assert f"\nFAILED: {out} does not give the masks of its original\n" in said
    assert f"not written       {out}" in said
    assert "whole.flipped is" in error
    assert list(out.parent.iterdir()) == []
    assert json.loads((tmp_path / "failed.json").read_text())["passed"] is False


def test_check_passes_and_writes_its_figures(tmp_path: Path, pictures: Path) -> None:
    tiny_checkpoint(tmp_path / "best.pt")
    model = tiny_model(tmp_path / "m.onnx")
    result = run("check", model, tmp_path / "best.pt", "--images", pictures, "--device", "cpu", "--json", "-")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["passed"]
    assert values["not_on"] == {}
    assert [row["image"] for row in values["rows"]][-3:] == ["p0.png", "p1.png", "p2.png"]


def test_check_of_a_checkpoint_of_another_size_is_one_line(tmp_path: Path, pictures: Path) -> None:
    other = dataclasses.replace(tiny_checkpoint(tmp_path / "best.pt"), size=32)
    save_checkpoint(other, tmp_path / "other.pt")
    model = tiny_model(tmp_path / "m.onnx")
    result = run("check", model, tmp_path / "other.pt", "--images", pictures, "--device", "cpu")
    assert result.exit_code == 1
    assert "m.onnx takes 64 x 64 pixels, the checkpoint 32 x 32; expected the same size" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_check_of_another_checkpoint_fails(tmp_path: Path, pictures: Path) -> None:
    other = tiny_checkpoint(tmp_path / "best.pt")
    other.state["head.bias"] += 0.5
    save_checkpoint(other, tmp_path / "other.pt")
    model = tiny_model(tmp_path / "m.onnx")
    result = run("check", model, tmp_path / "other.pt", "--images", pictures, "--device", "openvino")
    assert result.exit_code == 1
    assert "was exported from another file" in result.stderr
    assert "does not match the PyTorch original on openvino" in result.stderr
    assert result.stdout.startswith(f"FAILED: {model} does not give the masks of its original\n")
    figures = {line[:16].strip(): line[16:].split() for line in result.stdout.splitlines()}
    assert figures["measured"][:2] == ["on", "openvino"]
    assert figures["whole images"][1] <= figures["whole images"][0] < "1.000000", "the worst, and the mean"
    assert max(map(len, result.stdout.replace(str(model), "m.onnx").splitlines())) <= 80


def test_check_on_a_device_that_is_not_there(tmp_path: Path, pictures: Path) -> None:
    tiny_checkpoint(tmp_path / "best.pt")
    model = tiny_model(tmp_path / "m.onnx")
    result = run("check", model, tmp_path / "best.pt", "--images", pictures, "--device", "cuda:99")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Device 'cuda:99' cannot be used: ")


def test_info_is_a_data_sheet(tmp_path: Path) -> None:
    result = run("info", tiny_model(tmp_path / "m.onnx"))
    assert result.exit_code == 0
    rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for row in (
        "input image: uint8 (batch, height, width, 3), RGB (sRGB) 0-255, any size",
        "network unet-scratch, fp32",
        "parity not measured",
        "licence MIT",
    ):
        assert row in rows
    assert rows[0].startswith(f"model {tmp_path / 'm.onnx'},")
    lines = result.stdout.replace(str(tmp_path), "").splitlines()
    assert max(map(len, lines)) <= 80


def test_info_is_short_unless_all_is_asked_for(tmp_path: Path, pictures: Path) -> None:
    told = {
        "data": {"sets": ["isic"], "split": "auto", "training_images": 8, "validation_images": 2, "fingerprint": ["a"]},
        "last_epoch": {"val_dice": 0.75, "val_iou": 0.6}, "recipe": {"loss": "bce"}, "epoch": 3,
    }  # fmt: skip
    save_checkpoint(dataclasses.replace(tiny_checkpoint(tmp_path / "best.pt"), training=told), tmp_path / "best.pt")
    out = tmp_path / "m.onnx"
    assert run("onnx", tmp_path / "best.pt", "--out", out, "--parity", pictures).exit_code == 0
    short, long = (" ".join(run("info", out, *words).stdout.split()) for words in ((), ("--verbose",)))
    for words in ("PASSED on cpu in fp32, 9 images", "8 training, 2 validation images of isic (split auto)", "epoch 3"):
        assert words in short
    assert "validation Dice 0.7500, IoU 0.6000" in short
    for words in ('recipe {"loss": "bce"}', "fingerprint", "pixels flipped", "host's resizing"):
        assert words in long
        assert words not in short


def test_info_as_json(tmp_path: Path) -> None:
    values = json.loads(run("info", tiny_model(tmp_path / "m.onnx"), "--json").stdout)
    assert (values["format_version"], values["size"], values["threshold"]) == (3, 64, 0.5)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("info", "absent.onnx"), 1, "absent.onnx does not exist; expected a model file"),
        (("onnx", "absent.pt"), 1, "absent.pt"),
        (("onnx", "absent.pt", "--parity", "absent"), 1, "No images below absent"),
        (("onnx", "a.pt", "--precision", "fp8"), 2, "'fp8' is not one of 'fp32', 'fp16', 'fp16-weights', 'int8'"),
        (("onnx",), 2, "Missing argument 'CHECKPOINT...'"),
        (("onnx", "a.pt", "--parity-images", "0"), 2, "0 is not in the range"),
        (
            ("onnx", "a.pt", "b.pt"),
            2,
            "2 checkpoints were given; expected one. Add --ensemble to make one model from them.",
        ),
        (
            ("adopt", "absent.onnx", "--size", "64", "--out", "m.onnx"),
            1,
            "absent.onnx does not exist; expected an ONNX",
        ),
        (
            ("adopt", "n.onnx", "--size", "64", "--out", "m.onnx", "--mean", "1,2", "--std", "1"),
            2,
            "'1,2' has 2 numbers; expected one",
        ),
        (
            ("adopt", "n.onnx", "--size", "64", "--out", "m.onnx", "--mean", "0", "--std", "a"),
            2,
            "'a' is not numbers; expected 'R,G,B'",
        ),
    ],
)
def test_what_a_user_can_get_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, pictures: Path) -> None:
    tiny_checkpoint(tmp_path / "best.pt")
    out = tmp_path / "best.pt" / "m.onnx"
    result = run("onnx", tmp_path / "best.pt", "--out", out, "--parity", pictures)
    assert result.exit_code == 1
    assert f"{out} cannot be written" in result.stderr


def test_without_torch_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    result = run("onnx", tmp_path / "best.pt")
    assert result.exit_code == 1
    assert "missing: torch. Install them: pip install 'seglab[train]'" in result.stderr


@pytest.mark.parametrize("command", ["onnx", "adopt", "check", "info"])
def test_help_has_an_example(command: str) -> None:
    result = run(command, "-h")
    assert result.exit_code == 0
    assert f"seg-export {command} " in result.stdout.partition("Example:")[2]


def test_the_default_in_the_help_is_the_one_that_counts() -> None:
    assert DEFAULT_IMAGES == DEFAULT_LIMIT
