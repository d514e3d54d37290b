"""Devices: what was asked for and verified, or an error that says why."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from export.errors import ContractError, DeviceError
from export.runtime import bundled
from export.runtime.engines import openvino as engine
from export.runtime.engines.failures import brief
from export.runtime.inspection import inspect_devices
from export.runtime.opening import open_model
from seglab.errors import ConfigError
from seglab.files import sha256
from tests.support.artefact import TINY_SIZE, blobs


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    rng = np.random.default_rng(11)
    return np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(7)])


@pytest.fixture(scope="module")
def expected(model_file: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities from a plain session that none of our code opened."""
    session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["prob"], {"image": pictures})[0][:, 0], np.float32)


@pytest.mark.parametrize("batch", [None, 1, 3, 7, 16])
@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_probabilities_do_not_depend_on_device_or_batch(
    model_file: Path, pictures: NDArray[np.uint8], expected: NDArray[np.float32], device: str, batch: int | None
) -> None:
    model = open_model(model_file, device, threads=1, batch=batch, compute="fp32")
    for count in (7, 2, 7, 1):  # a batch that is not full leaves nothing behind
        prob = model.prob(pictures[:count])
        assert prob.dtype == np.float32
        np.testing.assert_allclose(prob, expected[:count], atol=1e-5)
    assert model.prob(pictures[:0]).shape == (0, TINY_SIZE, TINY_SIZE)


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_whole_images_are_masked_exactly_on_every_device(model_file: Path, device: str) -> None:
    """OpenVINO ignores antialiasing; the exact path must not."""
    images = np.stack([blobs(np.random.default_rng(seed), 301, 222)[0] for seed in range(2)])
    session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    expected_prob, expected_mask = session.run(None, {"image": images})
    model = open_model(model_file, device, batch=2)
    prob, mask = model.prob_and_mask(images)
    assert mask.dtype == np.uint8
    assert mask.shape == (2, 301, 222)
    np.testing.assert_allclose(prob, expected_prob[:, 0], atol=1e-5)
    np.testing.assert_array_equal(mask, expected_mask)
    np.testing.assert_array_equal(model.mask(images), mask)
    assert (model.whole_device.name, model.whole_device.engine.split()[0]) == ("cpu", "onnxruntime")


@pytest.mark.parametrize("device", ["cpu", "openvino"])
@pytest.mark.parametrize("how", [np.asfortranarray, lambda images: images[:, ::-1, ::-1], lambda images: images[::2]])
def test_how_images_lie_in_memory_makes_no_difference(
    model_file: Path, pictures: NDArray[np.uint8], device: str, how: Callable[[Any], Any]
) -> None:
    model = open_model(model_file, device, batch=2)
    given = how(pictures)
    before = given.copy()
    np.testing.assert_array_equal(model.prob(given), model.prob(np.ascontiguousarray(given)))
    given.setflags(write=False)
    model.prob(given)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, TINY_SIZE, TINY_SIZE, 3), np.float32),
        np.zeros((TINY_SIZE, TINY_SIZE, 3), np.uint8),
        np.zeros((1, TINY_SIZE, TINY_SIZE + 1, 3), np.uint8),
        np.zeros((1, 3, TINY_SIZE, TINY_SIZE), np.uint8),
    ],
)
def test_a_batch_of_another_kind_is_refused(model_file: Path, batch: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(N, 64, 64, 3\)"):
        open_model(model_file, "cpu").prob(batch)


def test_images_of_another_kind_are_refused(model_file: Path) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(N, H, W, 3\)"):
        open_model(model_file, "cpu").mask(np.zeros((1, 5, 5), np.uint8))


def test_the_model_knows_itself(model_file: Path) -> None:
    model = open_model(model_file, "cpu")
    assert (model.path, model.sha256, model.contract.size) == (model_file, sha256(model_file), TINY_SIZE)
    device = model.device
    assert (device.name, device.provider) == ("cpu", "CPUExecutionProvider")
    assert device.engine == f"onnxruntime {onnxruntime.__version__}"
    assert device.rejected == {}


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:-1", "openvino:0", ""])
def test_a_device_that_no_one_knows_is_a_usage_error(model_file: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"expected auto\|cpu\|openvino\|cuda\|cuda:K\|tensorrt") as raised:
        open_model(model_file, device)
    assert raised.value.exit_code == 2


def test_an_arithmetic_that_no_one_knows_is_a_usage_error(model_file: Path) -> None:
    with pytest.raises(ConfigError, match="no arithmetic 'fp8'; expected one of fp32, bf16, int8"):
        open_model(model_file, "cpu", compute="fp8")


def test_a_package_that_is_missing_is_to_be_installed(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(DeviceError, match=r"the package openvino is missing\. Install it: pip install openvino"):
        open_model(model_file, "openvino")


def test_a_package_that_is_broken_is_not_to_be_installed(tmp_path: Path, model_file: Path) -> None:
    broken = tmp_path / "openvino" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('libopenvino.so: cannot open shared object file')")
    code = (
        "import sys; from pathlib import Path; from export.runtime.opening import open_model; "
        "print(open_model(Path(sys.argv[1]), 'auto').device.rejected['openvino']); "
        "open_model(Path(sys.argv[1]), 'openvino')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(model_file)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "libopenvino.so: cannot open shared object file" in done.stdout
    assert "its library did not load: libopenvino.so: cannot open" in done.stderr
    assert done.stderr.rstrip().endswith("Use --device cpu.")


def test_whatever_a_broken_package_raises_is_the_reason(monkeypatch: pytest.MonkeyPatch, model_file: Path) -> None:
    real = __import__

    def broken(name: str, *more: Any) -> Any:
        if name == "openvino":
            raise OSError("wrong ELF class")
        return real(name, *more)

    monkeypatch.setattr("builtins.__import__", broken)
    with pytest.raises(DeviceError, match="its library did not load: wrong ELF class"):
        open_model(model_file, "openvino")


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_onnxruntime_that_is_broken_is_the_reason(tmp_path: Path, model_file: Path, command: str) -> None:
    broken = tmp_path / "onnxruntime" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('DLL load failed while importing onnxruntime_pybind11_state')")
    code = "from batch.cli import main; main()"
    others = [str(tmp_path), "--out", str(tmp_path / "out")] if command == "run" else []
    done = subprocess.run(
        [sys.executable, "-c", code, command, *others, "--model", str(model_file)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Device 'cpu' cannot be used: onnxruntime did not load: DLL load failed while importing "
        "onnxruntime_pybind11_state. Install seglab again, in an environment of its own.\n"
    )


def test_the_error_crosses_to_another_process() -> None:
    error = DeviceError("cuda:0", "it is gone", "Look.", available=True, out_of_memory=True, passing=True)
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), vars(found)) == (str(error), vars(error))


def test_a_cpu_that_openvino_does_not_support_is_the_reason(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> object:
        raise RuntimeError('Exception from src/core.cpp:1:\nDevice with "CPU" name is not registered')

    monkeypatch.setattr("export.runtime.devices.openvino.core", lambda: type("Core", (), {"get_property": refuse})())
    with pytest.raises(DeviceError, match=r"does not work on this machine: Device .*not registered\. Use --device cpu"):
        open_model(model_file, "openvino")


def test_a_run_that_fails_names_the_device(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(model_file, "cpu", batch=2)
    monkeypatch.setattr(model._session, "_batch", 3)  # the session is fixed to 2
    with pytest.raises(DeviceError, match=r"Device 'cpu' .* running the model on \(3, 64, 64, 3\) failed"):
        model.prob(np.zeros((3, TINY_SIZE, TINY_SIZE, 3), np.uint8))


def test_a_model_without_contract_is_refused_before_any_device(tmp_path: Path, model_file: Path) -> None:
    model = onnx.load(model_file)
    model.ClearField("metadata_props")
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ContractError, match="without a contract"):
        open_model(tmp_path / "bare.onnx", "cuda")


def test_inspection_covers_every_device_in_every_precision(model_file: Path) -> None:
    reports = inspect_devices(model_file)
    assert [report.name.partition(":")[0] for report in reports if report.precision != "bf16"] == [
        "cpu", "openvino", "cuda", "tensorrt",
    ]  # fmt: skip
    native = "BF16" in engine.core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert [report.name for report in reports if report.precision == "bf16"] == ["openvino"] * native
    for report in reports:
        if report.name in ("cpu", "openvino") and report.precision == "fp32":
            assert report.verified
            assert report.images_per_second > 0
            assert report.install == ""
        assert report.reason
        assert report.verified or report.install
        assert report.available or not report.verified


def test_opening_and_failing_print_nothing(model_file: Path, repo_root: Path) -> None:
    """Not even onnxruntime's own log, which goes to the terminal behind Python's back."""
    code = """
import sys
from pathlib import Path
import numpy as np
from export.errors import DeviceError
from export.runtime.opening import open_model
for device in ("cpu", "openvino", "auto"):
    model = open_model(Path(sys.argv[1]), device, batch=2)
    model.prob(np.zeros((3, 64, 64, 3), np.uint8))
    model.mask(np.zeros((1, 9, 300, 3), np.uint8))
for device in ("cuda", "tensorrt"):
    try:
        open_model(Path(sys.argv[1]), device)
    except DeviceError:
        pass
assert "torch" not in sys.modules and "onnx" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(model_file)],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_bundled_models_are_found_or_missed_clearly(monkeypatch: pytest.MonkeyPatch) -> None:
    int8, fp32 = bundled.bundled_models()
    assert bundled.bundled_models("int8") == [int8]
    for asked in ({"compute": "fp32"}, {"compute": "bf16"}, {"exact": True}, {"compute": "fp32", "exact": True}):
        assert bundled.bundled_models(**asked) == [fp32]
    monkeypatch.setattr(bundled, "INT8", "absent.onnx")
    with pytest.raises(ContractError, match=r"absent\.onnx.*Install seglab again"):
        bundled.bundled_models()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "RuntimeError"),
        ("\n no memory \n at 0x1", "no memory"),
        ("Exception from src/core.cpp:117:\nException from src/plugin.cpp:9:\n  cannot map\nmore", "cannot map"),
        ("Exception from src/core.cpp:117:\nCheck 'ptr' failed at src/memory.cpp:257:\nFailed to allocate 3 bytes",
         "Failed to allocate 3 bytes"),
    ],
)  # fmt: skip
def test_what_is_said_of_foreign_errors(text: str, said: str) -> None:
    assert brief(RuntimeError(text)) == said
