"""Devices: what was asked for and verified, or an error that says why."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from artefact import TINY_SIZE, blobs, tiny_model
from numpy.typing import NDArray

from export.errors import ContractError, DeviceError
from export.runtime import bundled
from export.runtime import model as runtime
from export.runtime import session as providers
from export.runtime.cache import GraphCache
from export.runtime.masks import drop_single_class
from export.runtime.model import inspect_devices, open_model
from export.runtime.nvidia import NoGpuError, list_gpus
from export.runtime.probe import probe_images
from seglab.errors import ConfigError
from seglab.files import sha256


def has_gpu() -> bool:
    try:
        return bool(list_gpus())
    except NoGpuError:
        return False


without_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has an NVIDIA GPU")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("runtime") / "tiny.onnx")


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
    model = open_model(model_file, device, threads=1, batch=batch)
    prob = model.prob(pictures)
    assert prob.dtype == np.float32
    assert prob.shape == (7, TINY_SIZE, TINY_SIZE)
    tolerance = 1e-4 if model.device.precision == "fp32" else 0.1
    np.testing.assert_allclose(prob, expected, atol=tolerance)


def test_no_images_give_no_probabilities(model_file: Path) -> None:
    model = open_model(model_file, "cpu", batch=4)
    assert model.prob(np.empty((0, TINY_SIZE, TINY_SIZE, 3), np.uint8)).shape == (0, TINY_SIZE, TINY_SIZE)


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
    assert model.whole_on == "cpu"


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
    assert (model.device.name, model.device.provider) == ("cpu", "CPUExecutionProvider")
    assert model.device.rejected == {}


def test_openvino_says_its_precision(model_file: Path) -> None:
    device = open_model(model_file, "openvino").device
    assert device.provider == "OpenVINOExecutionProvider"
    (found,) = [
        entry
        for entry in onnxruntime.get_ep_devices()
        if entry.ep_name == device.provider and entry.ep_metadata["ov_device"] == "CPU"
    ]
    native = "BF16" in found.ep_metadata["OPTIMIZATION_CAPABILITIES"].split()
    assert device.precision == ("bf16" if native else "fp32")


def test_openvino_is_asked_for_precision_and_threads() -> None:
    plans = providers.plans_for("openvino", 3)
    assert plans[-1].precision == "fp32"
    for plan in plans:
        config = json.loads(plan.options["load_config"])["CPU"]
        assert config["INFERENCE_NUM_THREADS"] == 3
        assert config["INFERENCE_PRECISION_HINT"] == {"fp32": "f32", "bf16": "bf16"}[plan.precision]


@without_gpu
def test_auto_says_what_it_took_and_why_not_the_others(model_file: Path) -> None:
    device = open_model(model_file, "auto").device
    assert device.name == "openvino"
    assert "NVIDIA driver" in device.rejected["cuda"]


@without_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error_with_a_way_out(model_file: Path, device: str) -> None:
    with pytest.raises(DeviceError, match=rf"Device '{device}' cannot be used: .*NVIDIA.*pip install") as raised:
        open_model(model_file, device)
    assert not raised.value.available


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:-1", "openvino:0", ""])
def test_a_device_that_no_one_knows_is_a_usage_error(model_file: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"expected auto\|cpu\|openvino\|cuda\|cuda:K\|tensorrt") as raised:
        open_model(model_file, device)
    assert raised.value.exit_code == 2


def test_a_missing_package_is_an_error_and_auto_goes_on(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", None)
    with pytest.raises(DeviceError, match="pip install onnxruntime-ep-openvino"):
        open_model(model_file, "openvino")
    monkeypatch.setattr(providers, "list_gpus", _no_gpu)
    device = open_model(model_file, "auto").device
    assert device.name == "cpu"
    assert set(device.rejected) == {"cuda", "openvino"}


def _no_gpu() -> list[object]:
    raise NoGpuError("there is no NVIDIA driver on this machine")


def test_a_device_that_computes_something_else_is_not_taken(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: what runs on OpenVINO sees negatives."""

    class Faulty(runtime.Model):
        def prob(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().prob(255 - batch)

    monkeypatch.setattr(runtime, "Model", Faulty)
    monkeypatch.setattr(providers, "list_gpus", _no_gpu)
    with pytest.raises(DeviceError, match="probabilities differ from the CPU provider's") as raised:
        open_model(model_file, "openvino")
    assert raised.value.available
    device = open_model(model_file, "auto").device
    assert device.name == "cpu"
    assert "probabilities differ" in device.rejected["openvino"]


def test_a_fast_precision_that_does_not_verify_gives_way_to_the_exact_one(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = providers.plans_for("openvino", None)[-1]
    fast = dataclasses.replace(exact, precision="bf16")
    wrong = True

    class Faulty(runtime.Model):
        def prob(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            return super().prob(255 - batch if wrong and self.device.precision == "bf16" else batch)

    monkeypatch.setattr(runtime, "Model", Faulty)
    monkeypatch.setattr(runtime, "plans_for", lambda *_: [fast, exact])
    device = open_model(model_file, "openvino").device
    assert device.precision == "fp32"
    assert "in bf16 its probabilities differ" in device.detail
    wrong = False
    assert open_model(model_file, "openvino").device.precision == "bf16"


def test_a_session_that_did_not_take_the_provider_is_refused(model_file: Path) -> None:
    plan = dataclasses.replace(providers.cpu_plan(), provider=providers.OPENVINO)
    with pytest.raises(DeviceError, match="OpenVINOExecutionProvider did not load") as raised:
        providers.create_session(model_file, plan, None, None)
    assert not raised.value.available


def test_a_session_whose_work_was_placed_elsewhere_is_refused(model_file: Path) -> None:
    """The CPU provider is in every session's list; here it got none of the work."""
    plan = dataclasses.replace(providers.plans_for("openvino", None)[0], provider=providers.CPU)
    with pytest.raises(DeviceError, match=r"not all of the network .* but Conv on OpenVINOExecutionProvider") as raised:
        providers.create_session(model_file, plan, None, None)
    assert raised.value.available


def test_a_run_that_fails_names_the_device(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(model_file, "cpu", batch=2)
    monkeypatch.setattr(model, "batch", 3)  # the session is fixed to 2
    with pytest.raises(DeviceError, match=r"Device 'cpu' .* running the model on \(3, 64, 64, 3\) failed"):
        model.prob(np.zeros((3, TINY_SIZE, TINY_SIZE, 3), np.uint8))


def test_a_model_without_contract_is_refused_before_any_device(tmp_path: Path, model_file: Path) -> None:
    model = onnx.load(model_file)
    model.ClearField("metadata_props")
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ContractError, match="without a contract"):
        open_model(tmp_path / "bare.onnx", "cuda")


def test_inspection_covers_every_device(model_file: Path) -> None:
    reports = {report.name.partition(":")[0]: report for report in inspect_devices(model_file)}
    assert list(reports) == ["cpu", "openvino", "cuda", "tensorrt"]
    for name in ("cpu", "openvino"):
        assert reports[name].verified
        assert reports[name].images_per_second > 0
        assert reports[name].install == ""
    for report in reports.values():
        assert report.reason
        assert report.verified or report.install
        assert report.available or not report.verified


def test_opening_and_failing_print_nothing(model_file: Path, repo_root: Path) -> None:
    """Not even onnxruntime's own log, which goes to the terminal behind Python's back."""
    code = """
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
import numpy as np
from export.errors import DeviceError
from export.runtime.model import open_model
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


def test_cuda_libraries_that_do_not_load_are_the_reason(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver but no CUDA libraries: onnxruntime hands out a CPU session without an error."""
    from export.runtime.nvidia import Gpu

    if has_gpu():
        pytest.skip("this machine has an NVIDIA GPU")
    monkeypatch.setattr(providers, "list_gpus", lambda: [Gpu("Pretended")])
    with pytest.raises(DeviceError, match=r"CUDAExecutionProvider did not load .*pip install") as raised:
        open_model(model_file, "cuda")
    assert raised.value.device == "cuda:0"
    with pytest.raises(DeviceError, match=r"there are 1 GPU\(s\), numbered from 0"):
        open_model(model_file, "cuda:3")


def test_the_bundled_model_is_found_or_missed_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "NAME", "absent.onnx")
    with pytest.raises(ContractError, match=r"absent\.onnx.*Install seglab again"):
        bundled.bundled_model()


@pytest.mark.gpu
@pytest.mark.parametrize("batch", [None, 4])
def test_cuda_gives_the_same_probabilities(
    model_file: Path, pictures: NDArray[np.uint8], expected: NDArray[np.float32], batch: int | None
) -> None:
    model = open_model(model_file, "cuda", batch=batch)
    assert model.device.provider == "CUDAExecutionProvider"
    np.testing.assert_allclose(model.prob(pictures), expected, atol=1e-4)
    images = blobs(np.random.default_rng(3), 301, 222)[0][None]
    mask = open_model(model_file, "cpu").mask(images)
    assert np.mean(model.mask(images) != mask) < 1e-4


def test_optimised_graphs_are_kept_and_used(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = probe_images(TINY_SIZE, TINY_SIZE, 3)
    expected = open_model(model_file, "cpu", batch=2).prob(images)
    first = open_model(model_file, "cpu", batch=2, cache=tmp_path / "cache").prob(images)
    (kept,) = (tmp_path / "cache").iterdir()
    opened: list[Path] = []
    monkeypatch.setattr(providers, "_opened", _noting(opened, providers._opened))
    again = open_model(model_file, "cpu", batch=2, cache=tmp_path / "cache").prob(images)
    assert opened == [kept]
    for prob in (first, again):
        np.testing.assert_allclose(prob, expected, atol=1e-6)


def test_a_cache_is_for_one_model_and_one_batch(model_file: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other.onnx", seed=1)
    for path, batch in ((model_file, 2), (model_file, 4), (model_file, None), (other, 2), (model_file, 2)):
        open_model(path, "cpu", batch=batch, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_damaged_cache_is_made_again(model_file: Path, tmp_path: Path) -> None:
    open_model(model_file, "cpu", cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    size = kept.stat().st_size
    kept.write_bytes(kept.read_bytes()[:100])
    images = probe_images(TINY_SIZE, TINY_SIZE, 1)
    assert open_model(model_file, "cpu", cache=tmp_path / "cache").prob(images).shape == (1, TINY_SIZE, TINY_SIZE)
    assert kept.stat().st_size == size


def test_a_cache_that_cannot_be_written_is_passed_over(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    assert open_model(model_file, "cpu", cache=tmp_path / "cache").device.name == "cpu"


def test_openvino_keeps_what_it_compiled(model_file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        open_model(model_file, "openvino", batch=2, cache=tmp_path / "cache")
    (blob,) = (tmp_path / "cache").glob("openvino-*/*.blob")
    size = blob.stat().st_size
    for content in (blob.read_bytes()[:1000], b""):  # a torn one is no obstacle, and made again
        blob.write_bytes(content)
        assert open_model(model_file, "openvino", batch=2, cache=tmp_path / "cache").device.name == "openvino"
        (blob,) = (tmp_path / "cache").glob("openvino-*/*.blob")
        assert blob.stat().st_size > size / 2  # it differs by some bytes each time
    assert not list((tmp_path / "cache").glob(".openvino-*"))


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_processes_share_a_cache_from_the_start(model_file: Path, tmp_path: Path, device: str) -> None:
    code = (
        "import sys; from pathlib import Path; from export.runtime.model import open_model; "
        "open_model(Path(sys.argv[1]), sys.argv[2], batch=2, threads=1, cache=Path(sys.argv[3]))"
    )
    for attempt in range(3):
        command = [sys.executable, "-c", code, str(model_file), device, str(tmp_path / f"cache{attempt}")]
        processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        assert [process.communicate()[1] for process in processes] == [""] * 3
        assert [process.returncode for process in processes] == [0] * 3
        assert not list((tmp_path / f"cache{attempt}").glob(".*"))


def test_what_devices_have_to_agree_with_is_kept_and_counts(model_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    open_model(model_file, "openvino", batch=2, cache=cache)
    (proof,) = cache.glob("proof-*.npz")
    with np.load(proof) as kept:
        images, prob = kept["images"], kept["prob"]
    np.testing.assert_allclose(open_model(model_file, "cpu").prob(images), drop_single_class(prob), atol=1e-6)

    np.savez(proof, images=images, prob=1 - prob)  # not what the model gives: so the device is not what it ought to be
    with pytest.raises(DeviceError, match="differ from the CPU provider's"):
        open_model(model_file, "openvino", batch=2, cache=cache)

    proof.write_bytes(proof.read_bytes()[:100])
    open_model(model_file, "openvino", batch=2, cache=cache)
    with np.load(proof) as again:
        np.testing.assert_array_equal(again["prob"], prob)


def test_tensorrt_is_told_to_keep_engines_of_one_model_and_shape(tmp_path: Path) -> None:
    """What it then does has to be seen on a GPU."""
    plan = providers.Plan(
        "tensorrt", providers.TENSORRT, "fp32", "H200, fp32",
        providers=((providers.TENSORRT, {"device_id": "1"}), (providers.CUDA, {}), providers.CPU),
    )  # fmt: skip
    cache = GraphCache(tmp_path / "cache", "a" * 64)
    told = cache.keeping_engines(plan, (8, 64, 64))
    name, options = told.providers[0]
    folder = Path(options["trt_engine_cache_path"])
    assert (name, options["device_id"], options["trt_engine_cache_enable"]) == (providers.TENSORRT, "1", "1")
    assert told.providers[1:] == plan.providers[1:]
    assert folder.is_dir()
    others = [
        cache.keeping_engines(plan, (4, 64, 64)),
        GraphCache(tmp_path / "cache", "b" * 64).keeping_engines(plan, (8, 64, 64)),
        cache.keeping_engines(dataclasses.replace(plan, detail="L4, fp32"), (8, 64, 64)),
    ]
    assert len({str(folder), *(entry.providers[0][1]["trt_engine_cache_path"] for entry in others)}) == 4
    (tmp_path / "file").write_text("no folder")
    assert GraphCache(tmp_path / "file", "a" * 64).keeping_engines(plan, None) is plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "RuntimeError"),
        ("\n no memory \n at 0x1", "no memory"),
        ("Exception from core.cpp:117:\nException from plugin.cpp:9:\n  cannot map\nmore",
         "Exception from core.cpp:117: Exception from plugin.cpp:9: cannot map"),
    ],
)  # fmt: skip
def test_what_is_said_of_foreign_errors(text: str, said: str) -> None:
    assert providers.brief(RuntimeError(text)) == said


def _noting(opened: list[Path], function: Callable[..., Any]) -> Callable[..., Any]:
    def note(path: Path, *rest: Any) -> Any:
        opened.append(path)
        return function(path, *rest)

    return note
