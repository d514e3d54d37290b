"""``seg-export openvino``: a model in OpenVINO's own format, behind the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor, nn

import export.conversion.openvino_ir as conversion
from export.cli import main
from export.runtime.engines.openvino import core
from export.runtime.opening import open_model
from tests.support.artefact import TINY_SIZE, blobs, label_model

pytest.importorskip("openvino")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(2):
        assert cv2.imwrite(str(folder / f"p{index}.png"), blobs(np.random.default_rng(index), 90, 120)[0][..., ::-1])
    return folder


def convert(*words: object) -> Result:
    return CliRunner().invoke(main, ["openvino", *map(str, words)])


def probabilities(xml: Path, images: np.ndarray) -> np.ndarray:
    """Run the files with OpenVINO alone."""
    compiled = core().compile_model(core().read_model(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled({"image": images})["prob"])


def field(xml: Path, name: str) -> Any:
    return json.loads(core().read_model(xml).get_rt_info(["seglab", name]).value)


def test_the_files_give_what_the_model_gives(model_file: Path, tmp_path: Path, photos: Path) -> None:
    images = np.stack([blobs(np.random.default_rng(seed), TINY_SIZE, TINY_SIZE)[0] for seed in range(3)])
    expected = open_model(model_file, "cpu").prob(images)
    sizes = {}
    for weights, limit in (("fp32", 1e-4), ("fp16", 2e-2)):
        out = tmp_path / "new" / f"{weights}.xml"
        result = convert(model_file, "--out", out, "--weights", weights, "--parity", photos)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{out}\n"
        assert "parity: passed by the limits of fp" in result.stderr
        assert np.abs(probabilities(out, images)[:, 0] - expected).max() <= limit
        assert (field(out, "size"), field(out, "threshold"), field(out, "licence")) == (TINY_SIZE, 0.5, "MIT")
        sizes[weights] = out.with_suffix(".bin").stat().st_size
    assert sizes["fp16"] < 0.6 * sizes["fp32"]
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["fp16.bin", "fp16.xml", "fp32.bin", "fp32.xml"]


def test_several_classes_and_figures_as_json(tmp_path: Path, photos: Path) -> None:
    class Colours(nn.Module):
        """Tells by the strongest colour; nowhere are two equally strong."""

        def forward(self, x: Tensor) -> Tensor:
            return 9 * x + torch.tensor([0.1, 0.0, 0.2]).reshape(1, 3, 1, 1)

    model = label_model(tmp_path / "c.onnx", Colours(), 16, classes=3)
    for _ in range(2):  # its own files it may replace
        result = convert(model, "--parity", photos, "--json", tmp_path / "report.json")
        assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "report.json").read_text())
    assert (values["kind"], values["passed"], len(values["rows"])) == ("seglab openvino", True, 8)
    assert field(tmp_path / "c.xml", "class_names") == ["background", "class 1", "class 2"]


def test_what_fails_the_gate_is_not_written(
    model_file: Path, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = conversion._runner

    def wrong(xml: Path, size: int) -> Any:
        run = runner(xml, size)
        return lambda images: run(images[..., ::-1])  # the channels in the wrong order

    monkeypatch.setattr(conversion, "_runner", wrong)
    result = convert(model_file, "--out", tmp_path / "m.xml", "--parity", photos, "--json", tmp_path / "failed.json")
    assert result.exit_code == 1
    assert "do not match the CPU provider, measured on 8 images" in result.stderr
    assert "max_prob is" in result.stderr
    assert json.loads((tmp_path / "failed.json").read_text())["passed"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failed.json", "photos"]


def test_nobodys_file_is_written_over(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text("<?xml version='1.0'?><net/>")
    (tmp_path / "data.bin").write_bytes(b"my data")
    for words, message in (
        (("--out", tmp_path / "net.xml"), "net.xml exists and is not an OpenVINO file that seg-export made"),
        (("--out", tmp_path / "data.xml"), "data.bin exists and is not the weights of an OpenVINO file"),
        (("--out", model_file), "--out is the file that is to be exported"),
        (("--out", tmp_path / "m.onnx"), "expected .xml"),
        (("--out", tmp_path / "m.xml", "--json", tmp_path / "m.bin"), "name the same file"),
    ):
        result = convert(model_file, *words)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    assert (tmp_path / "data.bin").read_bytes() == b"my data"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "no.onnx").write_text("no model")
    result = convert(tmp_path / "no.onnx", "--parity", photos)
    assert result.exit_code == 1
    assert "no.onnx" in result.stderr
    assert isinstance(result.exception, SystemExit)
