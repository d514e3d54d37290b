"""Probe images in the file: what computes something else than was proved makes no mask, the CPU's sessions included."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.contract import read_contract, read_model
from export.contract.onnx_file import parse
from export.errors import ContractError, DeviceError
from export.graph.writing import write_model
from export.proof.sealing import seal
from export.runtime.bundled import bundled_model
from export.runtime.create import PlannedOpener
from export.runtime.opening import open_model
from export.runtime.probes import in_file as file_probes
from tests.support.artefact import TINY_SIZE, tiny_model

MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tiny_model(tmp_path_factory.mktemp("sealed") / "m.onnx")
    seal(path, read_contract(path))
    return path


def changed(path: Path, into: Path, factor: float) -> Path:
    """Write the model with other weights in its last layer, as if what computes it were faulty; the probes stay."""
    model = onnx.load(path)
    probes = {entry.key: entry.value for entry in model.metadata_props}[file_probes.KEY]
    entry = next(entry for entry in model.graph.initializer if entry.name == "network.head.weight")
    entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry) * np.float32(factor), entry.name))
    write_model(model, read_contract(path), into, {file_probes.KEY: probes})
    return into


def test_the_probes_are_what_the_model_gives(sealed: Path) -> None:
    found = read_model(sealed)
    probes = file_probes.read(found.metadata, found.contract, "m")
    assert probes is not None
    assert probes.images.shape == (file_probes.COUNT, TINY_SIZE, TINY_SIZE, 3)
    prob = open_model(sealed, "cpu").prob(probes.images)[:, None]
    np.testing.assert_allclose(probes.expected, prob[:, :, :: probes.step, :: probes.step], atol=1 / file_probes.LEVELS)
    assert np.ptp(probes.expected) > 0.5  # they are not all alike, or nothing would be shown
    assert len(found.metadata[file_probes.KEY]) < MOST_BYTES
    assert np.isnan(probes.seen(np.full((1, 1, TINY_SIZE, TINY_SIZE), np.nan, np.float32))).all()  # not a probability


@pytest.mark.parametrize("device", ["cpu", "openvino"])
def test_a_session_that_gives_something_else_is_refused(sealed: Path, tmp_path: Path, device: str) -> None:
    path = changed(sealed, tmp_path / "m.onnx", 1.2)
    with pytest.raises(
        DeviceError, match=r"does not give the results that the model's file holds.*allowed\. .*"
    ) as raised:
        open_model(path, device, compute="fp32")
    assert "Copy the file again" in str(raised.value)
    assert open_model(sealed, device, compute="fp32").device.precision == "fp32"


def test_whole_images_are_checked_as_well(sealed: Path, tmp_path: Path) -> None:
    path = changed(sealed, tmp_path / "m.onnx", 1.2)
    good, bad = open_model(sealed, "cpu"), open_model(sealed, "cpu")
    assert isinstance(bad._opener, PlannedOpener)
    bad._opener = dataclasses.replace(bad._opener, request=dataclasses.replace(bad._opener.request, path=path))
    image = np.zeros((1, 20, 30, 3), np.uint8)
    assert good.mask(image).shape == (1, 20, 30)
    with pytest.raises(DeviceError, match="does not give the results that the model's file holds"):
        bad.mask(image)


def test_a_proved_file_whose_probes_were_taken_out_is_refused(tmp_path: Path) -> None:
    model = onnx.load(bundled_model())
    entries = {entry.key: entry.value for entry in model.metadata_props}
    del entries[file_probes.KEY]
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="has no probe images"):
        open_model(tmp_path / "m.onnx", "cpu")


def test_a_file_without_probes_opens_as_before(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.onnx")
    assert file_probes.KEY not in parse(path.read_bytes()).metadata
    assert open_model(path, "cpu").prob(np.zeros((1, TINY_SIZE, TINY_SIZE, 3), np.uint8)).shape == (1, 64, 64)


@pytest.mark.parametrize("edit", [{"prob": "AAAA"}, {"images": "!"}, {"side": "x"}, {"step": 0}])
def test_damaged_probes_are_a_sentence(sealed: Path, tmp_path: Path, edit: dict[str, object]) -> None:
    model = onnx.load(sealed)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    entries[file_probes.KEY] = json.dumps({**json.loads(entries[file_probes.KEY]), **edit})
    helper.set_model_props(model, entries)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="carries damaged probe images"):
        open_model(tmp_path / "m.onnx", "cpu")
