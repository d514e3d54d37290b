"""``seg-export diff``: in what two model files differ."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from export.cli import main
from export.errors import DeviceError
from tests.support.artefact import blobs, colour_model, tiny_model_with


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        assert cv2.imwrite(str(folder / f"p{index}.png"), blobs(np.random.default_rng(index), 90, 120)[0][..., ::-1])
    return folder


def diff(*words: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, words)])


def changed(path: Path, by: float, licence: str = "MIT") -> Path:
    """Write the tiny model with another bias of its last layer, and perhaps another licence."""
    return tiny_model_with(path, lambda state: state["head.bias"].add_(by), licence)


def test_a_model_agrees_with_itself(model_file: Path, photos: Path) -> None:
    result = diff(model_file, model_file, "--images", photos)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "contract: the same"
    assert lines[1].startswith("graph: the same operators and ")
    assert lines[2].startswith("masks: agree on 9 images: Dice mean 1.000000, worst 1.000000, flipped pixels 0")
    assert len(lines) == 3


def test_files_are_compared_though_one_does_not_run_as_proved(
    model_file: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DeviceError("cpu", "in int8 it does not give what it should", "Use another machine.", available=True)

    monkeypatch.setattr("export.runtime.opening.open_fastest", refuse)
    result = diff(model_file, model_file, "--images", photos)
    assert result.exit_code == 3, result.output
    assert result.stdout.splitlines()[0] == "contract: the same"
    assert "masks: not compared: Device 'cpu' cannot be used: in int8" in result.stdout


def test_a_device_that_is_not_there_is_an_error(model_file: Path, photos: Path) -> None:
    result = diff(model_file, model_file, "--images", photos, "--device", "cuda:77")
    assert result.exit_code == 1, result.output
    assert not result.stdout


@pytest.mark.slow
def test_a_small_change_is_named_and_masks_agree(model_file: Path, tmp_path: Path, photos: Path) -> None:
    other = changed(tmp_path / "b.onnx", 1e-6, licence="CC0")
    result = diff(model_file, other, "--images", photos)
    assert result.exit_code == 0, result.output
    assert '  licence: "MIT" | "CC0"' in result.stdout
    assert " 1 differ, by at most " in result.stdout
    assert "masks: agree" in result.stdout


@pytest.mark.slow
def test_a_change_that_moves_masks_is_exit_code_3(model_file: Path, tmp_path: Path, photos: Path) -> None:
    other = changed(tmp_path / "b.onnx", 0.5)
    result = diff(model_file, other, "--images", photos, "--worst", 2, "--json", tmp_path / "diff.json")
    assert result.exit_code == 3, result.output
    assert "contract: 1 field differs" in result.stdout  # the digest of the graph
    assert " 1 differ, by at most 0.5 (" in result.stdout
    assert "masks: DIFFER" in result.stdout
    assert "the share of flipped pixels is" in result.stdout
    assert result.stdout.count(" pixels differ") == 2
    values = json.loads((tmp_path / "diff.json").read_text())
    assert (values["kind"], values["masks_agree"]) == ("seglab diff", False)
    rows = {row["image"]: row for row in values["masks"]["rows"]}
    assert rows["p0.png"]["flipped"] > 0
    assert rows["p0.png"]["pixels"] == 90 * 120


def test_masks_of_other_classes_are_not_compared(model_file: Path, tmp_path: Path, photos: Path) -> None:
    result = diff(model_file, colour_model(tmp_path / "c.onnx"), "--images", photos)
    assert result.exit_code == 3
    assert "masks: not compared: the models have different numbers of classes" in result.stdout
    assert '  class_names: ["lesion"] | ["skin", "brown", "blue"]' in result.stdout
    assert "graph: operators " in result.stdout


def test_without_onnx_the_rest_is_compared(model_file: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name))
    result = diff(model_file, model_file, "--images", photos)
    assert result.exit_code == 0
    assert "graph: not compared, because the package onnx is missing (pip install onnx)" in result.stdout


def test_what_cannot_be_compared_is_refused(model_file: Path, tmp_path: Path, photos: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    before = (photos / "p0.png").read_bytes()
    for words, code, message in (
        ((model_file, tmp_path / "no.onnx"), 1, "no.onnx"),
        ((model_file, tmp_path / "absent.onnx"), 1, "absent.onnx does not exist"),
        ((model_file, model_file, "--images", tmp_path / "none"), 1, "No images below"),
        ((model_file, model_file, "--json", model_file), 2, "--json is a file that is to be compared"),
        ((model_file, model_file, "--images", photos, "--json", photos / "p0.png"), 2, "one of the images"),
    ):
        result = diff(*words)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.split())
        assert result.stdout == ""
    assert (photos / "p0.png").read_bytes() == before
