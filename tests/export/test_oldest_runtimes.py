"""The promise of the page on model files: they open in the oldest runtimes that it names, and give the same masks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.graph.stages import IR_VERSION, OPSET
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from tests.support.artefact import blobs, colour_model, tiny_model

OLDEST = {"onnxruntime": "1.18.1", "openvino": "2024.2.0"}
BETWEEN = ("1.20.1", "1.22.1")
SECONDS = 600
RUN_ONNXRUNTIME = """
import sys, numpy, onnxruntime
model, images, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
numpy.save(out, session.run(["mask"], {"image": numpy.load(images)})[0])
"""
RUN_OPENVINO = """
import sys, numpy, openvino
model, images, out = sys.argv[1:]
compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
numpy.save(out, compiled(numpy.load(images))[compiled.output("mask")])
"""


def venv(folder: Path, *packages: str) -> Path:
    """Make an environment with these packages and return its Python; the test is skipped where pip cannot."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=SECONDS)
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode:
        pytest.skip(f"pip cannot install {' '.join(packages)} here: {done.stderr.strip().splitlines()[-1]}")
    return python


def masks(python: Path, script: str, model: Path, images: Path, out: Path) -> np.ndarray:
    done = subprocess.run(
        [str(python), "-c", script, str(model), str(images), str(out)],
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.asarray(np.load(out))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [tiny_model(folder / "tiny.onnx"), colour_model(folder / "classes.onnx"), bundled_model()]


@pytest.mark.slow
@pytest.mark.parametrize("version", [OLDEST["onnxruntime"], *BETWEEN])
def test_an_old_onnxruntime_gives_the_same_masks(tmp_path: Path, models: list[Path], version: str) -> None:
    python = venv(tmp_path / "venv", f"onnxruntime=={version}", "numpy<2")
    images = blobs(np.random.default_rng(2), 150, 203)[0][None]
    np.save(tmp_path / "images.npy", images)
    for model in models:
        found = masks(python, RUN_ONNXRUNTIME, model, tmp_path / "images.npy", tmp_path / "mask.npy")
        expected = open_model(model, "cpu").mask(images)
        assert np.count_nonzero(found != expected) <= 2, model.name
        assert len(np.unique(expected)) > 1 or model.name == "lesion.onnx"


@pytest.mark.slow
def test_an_old_openvino_gives_the_same_masks_at_the_networks_size(tmp_path: Path, models: list[Path]) -> None:
    python = venv(tmp_path / "venv", f"openvino=={OLDEST['openvino']}", "numpy<2")
    images = blobs(np.random.default_rng(2), 64, 64)[0][None]
    np.save(tmp_path / "images.npy", images)
    for model in models[:2]:
        found = masks(python, RUN_OPENVINO, model, tmp_path / "images.npy", tmp_path / "mask.npy")
        assert np.count_nonzero(found != open_model(model, "cpu").mask(images)) <= 2, model.name


def test_files_are_of_the_format_that_is_promised(models: list[Path], repo_root: Path) -> None:
    page = (repo_root / "docs" / "reference" / "model_file.md").read_text()
    for model in models[:2]:
        read = onnx.load(model)
        assert (read.ir_version, read.opset_import[0].version) == (IR_VERSION, OPSET)
    for line in (
        f"| onnxruntime | {OLDEST['onnxruntime'].rpartition('.')[0]} |",
        f"| OpenVINO | {OLDEST['openvino'].rpartition('.')[0]} |",
        f"| ONNX IR | {IR_VERSION} |",
        f"| ONNX opset | {OPSET} |",
    ):
        assert line in page
