"""Devices through the commands: the same masks everywhere, precision by name, refusals in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import read_grey, save_many, seg_batch

ONE_IN = 100_000


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save_many(folder, 40)  # enough for a process on each core
    return folder


def devices_of(model_file: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(seg_batch("doctor", "--model", model_file, "--json").stdout)["devices"]
    return found


def differing(masks: Path, others: Path) -> tuple[int, int, int]:
    """Return how many masks there are, their pixels, and the pixels that differ."""
    names = sorted(path.relative_to(masks) for path in masks.rglob("*.png"))
    assert names == sorted(path.relative_to(others) for path in others.rglob("*.png"))
    pairs = [(read_grey(masks / name), read_grey(others / name)) for name in names]
    return len(pairs), sum(one.size for one, _ in pairs), sum(int(np.sum(one != other)) for one, other in pairs)


def test_doctor_shows_every_device_with_a_figure_or_a_reason(model_file: Path) -> None:
    devices = devices_of(model_file)
    assert {"cpu", "openvino", "cuda", "tensorrt"} <= {str(device["name"]).partition(":")[0] for device in devices}
    exact = {device["name"]: device for device in devices if device["precision"] == "fp32"}
    for name in ("cpu", "openvino"):  # every device whose wheels are installed is there, whoever made the CPU
        assert exact[name]["verified"], exact[name]
    for device in devices:
        assert (device["images_per_second"] != 0) is device["verified"]
        assert device["verified"] or (device["reason"] and device["install"])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_masks_are_the_same_on_every_device(tmp_path: Path, model_file: Path, images: Path, processes: int) -> None:
    for device, named in (("cpu", "onnxruntime"), ("openvino", "OpenVINO")):
        options = ("--model", model_file, "--device", device, "--compute", "fp32", "--processes", str(processes))
        done = seg_batch("run", images, "--out", tmp_path / device, *options)
        assert done.returncode == 0, done.stderr
        assert f"Device    {named} on the CPU, fp32\n" in done.stderr
    count, pixels, wrong = differing(tmp_path / "cpu", tmp_path / "openvino")
    assert count == 40
    assert wrong * ONE_IN <= pixels


@pytest.mark.slow
def test_another_device_goes_on_and_another_precision_does_it_again(
    tmp_path: Path, model_file: Path, images: Path
) -> None:
    options = ("--out", tmp_path / "out", "--model", model_file, "--compute", "fp32")
    assert "40 masks, " in seg_batch("run", images, *options, "--device", "cpu").stderr
    assert "40 masks unchanged in " in seg_batch("run", images, *options, "--device", "openvino").stderr
    status = json.loads(seg_batch("status", tmp_path / "out", "--json").stdout)
    assert "openvino" in json.dumps(status)
    assert "fp32" in json.dumps(status)


def test_an_arithmetic_that_cannot_be_had_is_one_line(tmp_path: Path, model_file: Path, images: Path) -> None:
    options = ("--model", model_file, "--device", "cpu", "--compute", "bf16")
    done = seg_batch("run", images, "--out", tmp_path / "out", *options)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: Device 'cpu' cannot be used: on this machine it computes in fp32, not in bf16. "
        "Ask for fp32, or for another device.\n"
    )
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "tensorrt"])
def test_a_device_that_is_not_there_is_one_line_and_says_nothing_untrue(
    tmp_path: Path, model_file: Path, images: Path, device: str
) -> None:
    if any(str(entry["name"]).startswith(device) and entry["available"] for entry in devices_of(model_file)):
        pytest.skip("this machine has that device")
    done = seg_batch("run", images, "--out", tmp_path / "out", "--model", model_file, "--device", device)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: Device '{device}' cannot be used: ")
    assert done.stderr.count("\n") == 1
    assert "pip install onnxruntime-gpu" not in done.stderr  # that is installed


@pytest.mark.slow
@pytest.mark.real
def test_real_photographs_get_the_same_masks_on_openvino(tmp_path: Path, data_dir: Path) -> None:
    """The package's network on camera originals: at most one pixel in 100,000 may differ."""
    for device in ("cpu", "openvino"):
        options = ("--out", tmp_path / device, "--device", device, "--compute", "fp32")
        done = seg_batch("run", data_dir / "originals" / "images", *options)
        assert done.returncode == 0, done.stderr
    count, pixels, wrong = differing(tmp_path / "cpu", tmp_path / "openvino")
    assert count == 84
    assert wrong * ONE_IN <= pixels


@pytest.mark.parametrize("device", ["cpu,openvino", "cuda:0,cpu", "auto,auto", "cuda,cuda:1"])
def test_several_devices_are_gpus(tmp_path: Path, model_file: Path, images: Path, device: str) -> None:
    """One of two engines of the same CPU would do all the work."""
    refused = seg_batch("run", images, "--out", tmp_path / "out", "--model", model_file, "--device", device)
    assert refused.returncode == 2, refused.stderr
    assert "expected one, or several GPUs by their numbers (cuda:0,cuda:1)" in " ".join(refused.stderr.split())
    assert not (tmp_path / "out").exists()
