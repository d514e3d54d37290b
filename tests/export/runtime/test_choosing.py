"""Which device and precision is taken, and what is kept of it."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.contract import read_contract
from export.errors import DeviceError
from export.runtime import cache, choosing, create
from export.runtime.devices import nvidia, openvino
from export.runtime.devices.cpu_features import computes_int8_exactly
from export.runtime.devices.nvidia_driver import NoGpuError
from export.runtime.engines import openvino as engine
from export.runtime.engines.openvino import OpenVinoSession
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.runtime.plan import Plan, Request
from export.runtime.probes.verify import require_same
from tests.support.artefact import TINY_SIZE, tiny_model, tiny_twins

CUDNN = "nvidia-cudnn-cu12"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no GPU."""

    def no_gpu() -> list[object]:
        raise NoGpuError("there is no NVIDIA driver on this machine")

    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(nvidia, "list_gpus", no_gpu)
    return tmp_path / "cache"


def rates(monkeypatch: pytest.MonkeyPatch, **by_device: float) -> list[list[str]]:
    """Let devices be as fast as this; return the names of what is timed."""
    timed: list[list[str]] = []

    def rate(models: list[Model], seconds: float) -> list[float]:
        timed.append([model.device.name for model in models])
        return [by_device[model.device.name] for model in models]

    monkeypatch.setattr(choosing, "images_per_second", rate)
    return timed


def faulty(monkeypatch: pytest.MonkeyPatch, is_faulty: Callable[[Plan], bool]) -> None:
    """Plant a fault: what runs on OpenVINO by such a plan sees negatives."""

    class Faulty(OpenVinoSession):
        def __init__(self, path: Path, plan: Plan, **more: Any) -> None:
            super().__init__(path, dataclasses.replace(plan, compute="fp32"), **more)
            self._negative = is_faulty(plan)

        def prob(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().prob(255 - images if self._negative else images)

    monkeypatch.setattr(create, "OpenVinoSession", Faulty)


def in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the CPU have bf16, whatever CPU it is."""
    exact = openvino.plans()[-1]
    fast = dataclasses.replace(exact, compute="bf16", precision="bf16")
    monkeypatch.setattr(openvino, "plans", lambda *_: [fast, exact])


@pytest.mark.parametrize(("cpu", "fast", "taken"), [(40.0, 90.0, "openvino"), (90.0, 40.0, "cpu")])
def test_auto_takes_what_is_measured_fastest_and_says_why_not_the_others(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, cpu: float, fast: float, taken: str
) -> None:
    timed = rates(monkeypatch, cpu=cpu, openvino=fast)
    other = {"cpu": "openvino", "openvino": "cpu"}[taken]
    for _ in range(2):
        device = open_model(model_file, "auto", compute="fp32").device
        assert device.name == taken
        assert device.rejected[f"{other} fp32"] == "slower, 40 images/s against 90"
        assert "NVIDIA driver" in device.rejected["cuda"]
    assert timed == [["openvino", "cpu"]]  # once


def test_the_choice_does_not_change_with_threads_and_batch(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on with one process must not go on in another precision."""
    timed = rates(monkeypatch, cpu=90.0, openvino=40.0)
    for threads, batch in ((1, 2), (2, 8), (None, None)):
        assert open_model(model_file, "auto", threads=threads, batch=batch, compute="fp32").device.name == "cpu"
    assert len(timed) == 1


def test_real_rates_are_rates(model_file: Path) -> None:
    models = [open_model(model_file, device, batch=2) for device in ("cpu", "openvino")]
    assert all(1 < rate < 1e6 for rate in choosing.images_per_second(models, 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("fast", ["int8", "fp32"])
def test_of_two_files_of_a_network_the_fastest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: str
) -> None:
    files = tiny_twins(tmp_path)
    timed = []

    def rate(models: list[Model], seconds: float) -> list[float]:
        timed.append([f"{model.device.name} {model.device.precision}" for model in models])
        return [90.0 if model.device.precision == fast and model.device.name == "cpu" else 40.0 for model in models]

    monkeypatch.setattr(choosing, "images_per_second", rate)
    for _ in range(2):
        model = open_model(files, "auto", batch=2)
        assert (model.device.name, model.contract.precision) == ("cpu", fast)
    other = {"int8": "fp32", "fp32": "int8"}[fast]
    assert model.device.rejected[f"cpu {other}"] == "slower, 40 images/s against 90"
    assert len(timed) == 1
    assert {"openvino int8", "cpu int8", "cpu fp32"} < set(timed[0]) or not computes_int8_exactly()


@pytest.mark.slow
def test_the_file_that_was_taken_is_opened_alone_on_the_same_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run does that goes on."""
    timed = rates(monkeypatch, cpu=90.0, openvino=40.0)
    first = open_model(tiny_twins(tmp_path), "auto")
    again = open_model(first.path, "auto")
    assert (first.device.name, again.device.name) == ("cpu", "cpu")
    assert len(timed) == 1


def test_a_device_that_is_there_again_is_tried_again(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, cpu=40.0, openvino=90.0)
    with monkeypatch.context() as for_now:
        for_now.setitem(sys.modules, "openvino", None)
        device = open_model(model_file, "auto", compute="fp32").device
        assert (device.name, "the package openvino is missing" in device.rejected["openvino"]) == ("cpu", True)
    assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"


def test_libraries_that_were_installed_make_another_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []
    for version in ("9.9", "9.10"):
        monkeypatch.setattr(metadata, "version", {**dict.fromkeys(cache.ENGINES, "1"), CUDNN: version}.__getitem__)
        cache._versions.cache_clear()
        keys.append(cache.key("a"))
    cache._versions.cache_clear()
    assert keys[0] != keys[1]


def test_a_file_in_int8_does_not_compute_in_fp32(tmp_path: Path) -> None:
    int8, _ = tiny_twins(tmp_path)
    with pytest.raises(DeviceError, match=r"the model is int8, and cannot be computed in fp32\. Use an fp32 model"):
        open_model(int8, "cpu", compute="fp32")


def test_a_file_that_is_not_in_int8_cannot_compute_in_it(model_file: Path) -> None:
    with pytest.raises(DeviceError, match="the model is fp32, and int8 needs a model that was exported in int8"):
        open_model(model_file, "cpu", compute="int8")


@pytest.mark.slow
def test_another_model_is_another_choice(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = rates(monkeypatch, cpu=90.0, openvino=40.0)
    for path in (model_file, tiny_model(tmp_path / "other.onnx", seed=1)):
        open_model(path, "auto", compute="fp32")
    assert len(timed) == 2


def test_a_choice_for_part_of_a_cpu_is_not_one_for_all_of_it(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = rates(monkeypatch, cpu=90.0, openvino=40.0)
    open_model(model_file, "auto", compute="fp32")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    open_model(model_file, "auto", compute="fp32")
    assert len(timed) == 2


@pytest.mark.parametrize("before", [True, False])
def test_a_failure_that_may_pass_is_not_kept(model_file: Path, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    rates(monkeypatch, cpu=40.0, openvino=90.0)
    if before:
        assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"

    def busy(*_: object, **__: object) -> object:
        raise RuntimeError("Resource temporarily unavailable")

    with monkeypatch.context() as for_now:
        for_now.setattr(engine, "_compile", busy)
        assert open_model(model_file, "auto", compute="fp32").device.name == "cpu"
    assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes on this system")
def test_what_is_no_file_is_passed_over(folder: Path) -> None:
    cache.write("entry", b"x")
    (folder / "entry").unlink()
    os.mkfifo(folder / "entry")
    assert cache.read("entry") is None


def test_what_was_chosen_and_no_longer_verifies_is_chosen_anew(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = rates(monkeypatch, cpu=40.0, openvino=90.0)
    assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"
    faulty(monkeypatch, lambda plan: True)
    device = open_model(model_file, "auto", compute="fp32").device
    assert device.name == "cpu"
    assert "does not give what the CPU provider gives" in device.rejected["openvino fp32"]
    assert timed == [["openvino", "cpu"], ["cpu"]] or timed == [["openvino", "cpu"]]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:40] + b"x" + data[41:]]
)
def test_what_is_damaged_is_made_again(
    model_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    timed = rates(monkeypatch, cpu=40.0, openvino=90.0)
    open_model(model_file, "auto", compute="fp32")
    kept = {path: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock"}
    assert {path.name.partition("-")[0] for path in kept} == {"choice", "probes"}
    for path, data in kept.items():
        path.write_bytes(damage(data))
    assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"
    assert len(timed) == 2
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_that_others_can_write_to_is_not_trusted(
    model_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = rates(monkeypatch, cpu=40.0, openvino=90.0)
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    for _ in range(2):
        open_model(model_file, "auto", compute="fp32")
    assert len(timed) == 2
    assert not list(folder.iterdir())


def test_a_cache_that_cannot_be_written_is_passed_over(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "file"))
    timed = rates(monkeypatch, cpu=40.0, openvino=90.0)
    for _ in range(2):
        assert open_model(model_file, "auto", compute="fp32").device.name == "openvino"
    assert len(timed) == 2


def test_the_cache_does_not_grow_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_ENTRIES", 5)
    for number in range(12):
        cache.write(f"entry-{number:02}", b"x")
        os.utime(folder / f"entry-{number:02}", (number, number))
    assert len(list(folder.iterdir())) <= 6
    assert cache.read("entry-11") == b"x"


def test_processes_that_begin_together_choose_once(model_file: Path, folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from export.runtime import cache, choosing; "
        "cache.PATIENCE_SECONDS = 600; "
        "real = choosing.images_per_second; "
        "choosing.images_per_second = lambda *a: (print('timed'), real(*a))[1]; "
        "from export.runtime.opening import open_model; "
        "print(open_model(Path(sys.argv[1]), 'auto', batch=2, threads=1).device.name)"
    )
    command = [sys.executable, "-c", code, str(model_file)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert sum(words.count("timed") for words in said) == 1
    assert len({words[-1] for words in said}) == 1


def test_a_device_that_computes_something_else_is_not_taken(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty(monkeypatch, lambda plan: True)
    with pytest.raises(DeviceError, match="does not give what the CPU provider gives: worst_dice") as raised:
        open_model(model_file, "openvino", compute="fp32")
    assert raised.value.available
    device = open_model(model_file, "auto").device
    assert device.name == "cpu"
    assert "worst_dice" in device.rejected["openvino fp32"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_fast_precision_that_does_not_verify_gives_way_to_the_exact_one(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    in_both_precisions(monkeypatch)
    faulty(monkeypatch, lambda plan: plan.compute == "bf16")
    if kept:
        open_model(model_file, "openvino")
    device = open_model(model_file, "openvino").device
    assert device.precision == "fp32"
    assert "in bf16 it does not give" in device.rejected["openvino bf16"]
    with pytest.raises(DeviceError, match="in bf16 it does not give"):
        open_model(model_file, "openvino", compute="bf16")


def test_a_fast_precision_that_verifies_is_taken_unless_another_is_asked_for(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_both_precisions(monkeypatch)
    faulty(monkeypatch, lambda plan: False)
    assert open_model(model_file, "openvino").device.precision == "bf16"
    assert open_model(model_file, "openvino", compute="bf16").device.precision == "bf16"
    assert open_model(model_file, "openvino", compute="fp32").device.precision == "fp32"


def test_a_precision_that_no_device_has_is_an_error(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = openvino.plans()[-1]
    monkeypatch.setattr(openvino, "plans", lambda *_: [exact])
    for device in ("auto", "cpu", "openvino"):
        with pytest.raises(DeviceError, match="on this machine it computes in fp32, not in bf16"):
            open_model(model_file, device, compute="bf16")


def test_every_limit_of_the_gate_counts(model_file: Path) -> None:
    """The worst image, the share of flipped pixels: not only means."""
    plan = dataclasses.replace(openvino.plans()[-1], precision="int8")
    expected = np.zeros((20, 1, TINY_SIZE, TINY_SIZE), np.float32)
    expected[:, :, 8:40, 8:40] = 0.6
    require_same(expected, expected, plan=plan, threshold=0.5)
    one_worse = expected.copy()
    one_worse[3, :, 8:9, 8:40] = 0.4  # 32 pixels of one image: its Dice is 0.984, the mean 0.9992
    with pytest.raises(DeviceError, match=r"worst_dice is 0\.984\d*, at least 0\.985 allowed"):
        require_same(one_worse, expected, plan=plan, threshold=0.5)
    nothing = np.zeros_like(expected)
    with pytest.raises(DeviceError, match=r"max_prob is nan, at most 0\.5 allowed"):  # NaN is no lesion, either
        require_same(np.full_like(expected, np.nan), nothing, plan=plan, threshold=0.5)


def test_what_devices_have_to_give_is_kept_and_counts(model_file: Path, folder: Path) -> None:
    open_model(model_file, "openvino", compute="fp32")
    (kept,) = folder.glob("probes-*.npz")
    request = Request(model_file, read_contract(model_file), "")
    assert request.contract.size == TINY_SIZE
    data = cache.read(kept.name)
    assert data is not None
    with np.load(io.BytesIO(data)) as found:
        images, expected = found["images"], found["expected"]
    np.testing.assert_allclose(open_model(model_file, "cpu").prob(images), expected[:, 0], atol=1e-6)
    changed = io.BytesIO()
    np.savez(changed, images=images, expected=1 - expected)  # not what the model gives
    cache.write(kept.name, changed.getvalue())
    with pytest.raises(DeviceError, match="does not give what the CPU provider gives"):
        open_model(model_file, "openvino", compute="fp32")
