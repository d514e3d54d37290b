"""GPUs: what is said without one, what is asked of onnxruntime, and (marked ``gpu``) what it computes."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export.contract import read_contract
from export.errors import DeviceError
from export.runtime.devices import cpu, nvidia
from export.runtime.devices.find import plans_for
from export.runtime.devices.nvidia_driver import Gpu, NoGpuError, list_gpus
from export.runtime.engines.onnxruntime import OrtSession
from export.runtime.opening import open_model
from export.runtime.plan import Request
from tests.support.artefact import TINY_SIZE, blobs


def has_gpu() -> bool:
    try:
        return bool(list_gpus())
    except NoGpuError:
        return False


without_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has an NVIDIA GPU")


@without_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error_with_a_way_out(model_file: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=rf"Device '{device}' cannot be used: .*Use --device auto") as raised:
        open_model(model_file, device)
    assert not raised.value.available
    assert "pip install" not in str(raised.value)  # what is missing is a GPU
    assert "\n" not in str(raised.value)


def test_a_session_that_did_not_take_the_provider_is_refused(model_file: Path) -> None:
    plan = dataclasses.replace(cpu.reference(), provider=nvidia.CUDA, device="cuda:0")
    with pytest.raises(
        DeviceError, match=r"CUDAExecutionProvider did not load \(onnxruntime gave no reason\)"
    ) as raised:
        OrtSession(model_file, plan)
    assert not raised.value.available


def test_a_session_whose_work_was_placed_elsewhere_is_refused(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider may be in a session's list and get none of the work: here CUDA's, by its list."""
    plan = dataclasses.replace(cpu.reference(), provider=nvidia.CUDA, device="cuda:0")
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: [nvidia.CUDA, "CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"not all of the network .*: Conv on CPUExecutionProvider") as raised:
        OrtSession(model_file, plan)
    assert raised.value.available


@without_gpu
def test_cuda_libraries_that_do_not_load_are_the_reason(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver but no CUDA libraries: onnxruntime hands out a CPU session without an error."""
    monkeypatch.setattr(nvidia, "list_gpus", lambda: [Gpu("Pretended")])
    with pytest.raises(DeviceError, match="CUDAExecutionProvider did not load") as raised:
        open_model(model_file, "cuda")
    assert raised.value.device == "cuda:0"
    with pytest.raises(DeviceError, match=r"there are 1 GPU\(s\), numbered from 0"):
        open_model(model_file, "cuda:3")


@pytest.mark.parametrize(
    ("installed", "said"), [(False, 'pip install "onnxruntime-gpu[cuda,cudnn]"'), (True, "update the driver")]
)
def test_what_is_installed_is_not_to_be_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool, said: str, model_file: Path
) -> None:
    def version(package: str) -> str:
        if installed:
            return "9.1"
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(nvidia, "list_gpus", lambda: [Gpu("Pretended")])
    monkeypatch.setattr(metadata, "version", version)
    request = Request(model_file, read_contract(model_file), "")
    (plan,) = plans_for("cuda", request)
    assert said in plan.hint


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [None, 4])
def test_cuda_gives_the_same_probabilities(model_file: Path, batch: int | None) -> None:
    rng = np.random.default_rng(11)
    pictures = np.stack([blobs(rng, TINY_SIZE, TINY_SIZE)[0] for _ in range(7)])
    session = onnxruntime.InferenceSession(str(model_file), providers=["CPUExecutionProvider"])
    expected = session.run(["prob"], {"image": pictures})[0][:, 0]
    model = open_model(model_file, "cuda", batch=batch)
    assert model.device.provider == "CUDAExecutionProvider"
    np.testing.assert_allclose(model.prob(pictures), expected, atol=1e-4)
    images = blobs(np.random.default_rng(3), 301, 222)[0][None]
    mask = open_model(model_file, "cpu").mask(images)
    assert np.mean(model.mask(images) != mask) < 1e-4


def test_tensorrt_is_told_to_keep_engines_of_one_model_and_shape(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it then does has to be seen on a GPU."""
    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nvidia, "list_gpus", lambda: [Gpu("H200")])
    (plan,) = plans_for("tensorrt", Request(model_file, read_contract(model_file), ""))
    told = nvidia.keeping_engines(plan, "a" * 64, (8, 64, 64))
    name, options = told.providers[0]
    folder = Path(options["trt_engine_cache_path"])
    assert (name, options["device_id"], options["trt_engine_cache_enable"]) == (nvidia.TENSORRT, "0", "1")
    assert told.providers[1:] == plan.providers[1:]
    assert folder.is_dir()
    others = [
        nvidia.keeping_engines(plan, "a" * 64, (4, 64, 64)),
        nvidia.keeping_engines(plan, "b" * 64, (8, 64, 64)),
        nvidia.keeping_engines(dataclasses.replace(plan, detail="L4"), "a" * 64, (8, 64, 64)),
    ]
    assert len({str(folder), *(entry.providers[0][1]["trt_engine_cache_path"] for entry in others)}) == 4
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "file"))
    assert nvidia.keeping_engines(plan, "a" * 64, None) is plan
    assert nvidia.keeping_engines(cpu.reference(), "a" * 64, None) == cpu.reference()
