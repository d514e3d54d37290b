"""The output `suitable`: as PyTorch has it, in every precision, and no fault in it goes unseen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.contract import read_contract
from export.conversion.build import contract_for, segmenter, stages_of
from export.errors import ContractError
from export.graph.stages import Member, Stages, fuse
from export.graph.writing import write_model
from export.precision.calibration import Calibration
from export.precision.learned import quantise_learned
from export.precision.quantise import calibrate, quantise
from export.proof.gate import check
from export.proof.stages import stage_differences
from export.runtime.opening import open_model
from export.runtime.session import Seen
from export.samples import Sample
from export.segmenter.segmenter import Segmenter
from export.tolerances import SIMULATED, tolerance_for
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import Checkpoint
from seglab.networks.encoder_features import from_plain
from tests.support.faults_around import Fault
from tests.support.int8 import needs_exact_int8
from tests.support.planted_faults import found_by
from tests.support.suitable_model import (
    SIZE,
    noise,
    plain_checkpoint,
    rounding_checkpoint,
    skin,
    suitable_checkpoint,
    suitable_model,
    traced_network,
)

CLOSE = 1e-4


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    return suitable_model(suitable_checkpoint())


@pytest.fixture(scope="module")
def file(exported: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suitable") / "m.onnx"
    write_model(exported, contract_for([suitable_checkpoint()]), path)
    return path


def pictures() -> list[np.ndarray]:
    return [*skin(11, 3, (90, 70)), *skin(12, 2, (64, 64)), *noise(13, 1)]


def samples() -> list[Sample]:
    return [Sample(str(at), image, None) for at, image in enumerate(pictures()[:3])]


def expected(checkpoint: Checkpoint, images: list[np.ndarray]) -> list[float]:
    predictor = Predictor(checkpoint)
    scores = [predictor.suitable(image) for image in images]
    assert None not in scores
    return [score for score in scores if score is not None]


def scored(seen: Seen) -> np.ndarray:
    assert seen.suitable is not None
    return seen.suitable


@pytest.mark.slow
def test_a_checkpoint_is_exported_with_it() -> None:
    """As the other tests have it from their support, which traces the network once."""
    model = segmenter([suitable_checkpoint()])
    assert [output.name for output in model.graph.output] == ["prob", "mask", "suitable"]
    assert not list(stage_differences(model, stages_of([suitable_checkpoint()])))


def test_whole_images_get_the_score_of_pytorch(file: Path) -> None:
    model = open_model(file, "cpu")
    for image, score in zip(pictures(), expected(suitable_checkpoint(), pictures()), strict=True):
        found = model.seen_whole(image[None])
        assert found.suitable == pytest.approx([score], abs=CLOSE)
        assert found.mask is not None
        assert np.array_equal(found.mask, model.mask(image[None]))


@pytest.mark.parametrize(("device", "batch"), [("cpu", None), ("cpu", 4), ("openvino", 4), ("openvino", None)])
def test_batches_get_it_with_the_probabilities(file: Path, device: str, batch: int | None) -> None:
    images = [*skin(3, 4), *noise(4, 2)]
    model = open_model(file, device, batch=batch, compute="fp32")
    seen = model.seen(np.stack(images))
    np.testing.assert_allclose(scored(seen), expected(suitable_checkpoint(), images), atol=5e-4)
    np.testing.assert_allclose(seen.prob, model.prob(np.stack(images)), atol=1e-6)
    empty = model.seen(np.zeros((0, SIZE, SIZE, 3), np.uint8))
    assert empty.suitable is not None
    assert empty.suitable.shape == (0,)


@pytest.mark.parametrize("tta", ["flips", "symmetries"])
def test_with_views_it_is_that_of_the_image_as_it_is(tmp_path: Path, tta: str) -> None:
    checkpoint = dataclasses.replace(suitable_checkpoint(), tta=tta)
    write_model(suitable_model(checkpoint), contract_for([checkpoint]), tmp_path / "m.onnx")
    images = skin(21, 3)
    seen = open_model(tmp_path / "m.onnx", "cpu").seen(np.stack(images))
    np.testing.assert_allclose(scored(seen), expected(suitable_checkpoint(), images), atol=CLOSE)


@pytest.mark.parametrize("tta", ["none", "symmetries"])
def test_it_stands_beside_hair_removal(tmp_path: Path, tta: str) -> None:
    """All stages that a graph can have, at once: no two give their tensors one name."""
    checkpoint = dataclasses.replace(suitable_checkpoint(), hair="dullrazor", tta=tta)
    path = tmp_path / "m.onnx"
    write_model(suitable_model(checkpoint), contract_for([checkpoint]), path)
    images = pictures()
    scores = [scored(open_model(path, "cpu").seen_whole(image[None])) for image in images]
    np.testing.assert_allclose(np.concatenate(scores), expected(checkpoint, images), atol=5e-3)  # the fill rounds


@pytest.mark.slow
def test_of_several_networks_the_first_one_is_asked(tmp_path: Path) -> None:
    pair, images = [suitable_checkpoint(), plain_checkpoint()], skin(22, 3)
    write_model(suitable_model(*pair), contract_for(pair), tmp_path / "m.onnx")
    seen = open_model(tmp_path / "m.onnx", "cpu").seen(np.stack(images))
    np.testing.assert_allclose(scored(seen), expected(pair[0], images), atol=CLOSE)
    write_model(suitable_model(*pair[::-1]), contract_for(pair[::-1]), tmp_path / "m.onnx")
    other = open_model(tmp_path / "m.onnx", "cpu").seen(np.stack(images))
    assert other.suitable is None
    np.testing.assert_allclose(other.prob, seen.prob, atol=1e-6)


def test_a_checkpoint_without_it_gives_a_file_without_it(tmp_path: Path) -> None:
    checkpoint = dataclasses.replace(suitable_checkpoint(), suitable={})
    write_model(suitable_model(checkpoint), contract_for([checkpoint]), tmp_path / "m.onnx")
    model = open_model(tmp_path / "m.onnx", "cpu", batch=2)
    assert model.contract.suitable == {}
    assert model.seen(np.stack(skin(0, 3))).suitable is None
    assert Segmenter(tmp_path / "m.onnx", "cpu")(skin(0, 1)[0]).suitable is None


def test_the_contract_says_what_it_is_and_from_what(file: Path) -> None:
    assert read_contract(file).suitable == {"threshold": 0.5, "images": 300, "calibrated_on": 150, "flagged": 0.01}


@pytest.mark.parametrize("exact", [False, True])
def test_results_in_python_have_it(file: Path, exact: bool) -> None:
    results = Segmenter(file, "cpu", exact=exact)(pictures()[3:])
    found = [result.suitable for result in results if result.suitable is not None]
    np.testing.assert_allclose(found, expected(suitable_checkpoint(), pictures()[3:]), atol=1e-3)


def test_a_contract_that_says_otherwise_is_refused(exported: onnx.ModelProto, tmp_path: Path) -> None:
    silent = contract_for([dataclasses.replace(suitable_checkpoint(), suitable={})])
    write_model(exported, silent, tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="suitable is none in its contract and an output of that name in its graph"):
        read_contract(tmp_path / "m.onnx")
    without = suitable_model(dataclasses.replace(suitable_checkpoint(), suitable={}))
    write_model(without, contract_for([suitable_checkpoint()]), tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="suitable is an output of that name in its contract and none"):
        read_contract(tmp_path / "m.onnx")


def test_a_network_of_other_features_is_refused() -> None:
    network = traced_network(features=True)
    found = from_plain(suitable_checkpoint().suitable)
    assert found
    narrower = dataclasses.replace(found, channels=(24, 32))
    with pytest.raises(ContractError, match=r"features of \[24, 32, 96\] channels.*from \[24, 32\]"):
        fuse([Member(network, (0, 0, 0), (1, 1, 1), suitability=narrower)], Stages(SIZE))


@pytest.mark.parametrize("precision", ["fp16", "fp16-weights", pytest.param("int8", marks=needs_exact_int8)])
def test_a_reduced_precision_changes_the_network_alone(
    exported: onnx.ModelProto, tmp_path: Path, precision: str
) -> None:
    checkpoint = suitable_checkpoint()
    if precision == "int8":
        reduced = quantise(calibrate(exported, Calibration("blobs", np.stack(skin(5, 16)))))
    else:
        reduced = suitable_model(checkpoint, precision=precision)
    assert not list(stage_differences(reduced, stages_of([checkpoint])))
    write_model(reduced, contract_for([checkpoint]), tmp_path / "m.onnx")
    report = check(open_model(tmp_path / "m.onnx", "cpu"), Predictor(checkpoint), samples())
    assert report.precision == precision
    assert 0 < max(report.figures["suitable"].values()) <= tolerance_for(precision).suitable


@needs_exact_int8
@pytest.mark.slow
def test_networks_that_learned_to_round_have_it_in_int8_and_in_fp32(tmp_path: Path) -> None:
    checkpoint, images = rounding_checkpoint(), skin(8, 4)
    exact = segmenter([checkpoint])
    int8, _ = quantise_learned(exact, checkpoint.network.ranges)
    for model, original, close in (
        (exact, Predictor(checkpoint), CLOSE),
        (int8, Predictor(checkpoint, simulates=True), SIMULATED.suitable),
    ):
        assert not list(stage_differences(model, stages_of([checkpoint])))
        write_model(model, contract_for([checkpoint]), tmp_path / "m.onnx")
        seen = open_model(tmp_path / "m.onnx", "cpu").seen(np.stack(images))
        found = [score for score in map(original.suitable, images) if score is not None]
        np.testing.assert_allclose(scored(seen), found, atol=close)


def test_fp16_keeps_first_layers_in_fp32(tmp_path: Path) -> None:
    checkpoint = suitable_checkpoint()
    model = suitable_model(checkpoint, precision="fp16", float_layers=20)
    assert not list(stage_differences(model, stages_of([checkpoint])))
    write_model(model, contract_for([checkpoint]), tmp_path / "m.onnx")
    images = skin(8, 2)
    seen = open_model(tmp_path / "m.onnx", "cpu").seen(np.stack(images))
    np.testing.assert_allclose(scored(seen), expected(checkpoint, images), atol=2e-2)


def constant(name: str, factor: float) -> Fault:
    def plant(model: onnx.ModelProto) -> None:
        entry = next(entry for entry in model.graph.initializer if entry.name == name)
        entry.CopyFrom(numpy_helper.from_array(np.asarray(numpy_helper.to_array(entry) * np.float32(factor)), name))

    return plant


def reading(name: str, at: int, other: str) -> Fault:
    def plant(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.name == name).input[at] = other

    return plant


def nothing(model: onnx.ModelProto) -> None:
    """Change nothing."""


def of_the_encoder(model: onnx.ModelProto) -> None:
    """Features half as large again on their way out of the network, which nothing around it shows."""
    end = next(node for node in model.graph.node if node.output[0] == "features1")
    model.graph.initializer.append(numpy_helper.from_array(np.array(1.5, np.float32), "network.more"))
    end.CopyFrom(helper.make_node("Mul", [end.input[0], "network.more"], ["features1"], name=end.name))


AROUND: dict[str, Fault] = {
    "steeper": constant("steepness", 1.1),
    "another limit": constant("distance_limit", 2),
    "another mean": constant("point_mean", 1.01),
    "another scale": constant("point_scale", 0.99),
    "other axes": constant("principal_axes", 0.9),
    "other weights": constant("axis_weights", 1.05),
    "without what is beside the axes": constant("rest_weight", 0),
    "features twice": reading("pooled1", 0, "features0"),
    "the squares of something else": reading("along_squared", 1, "along_squared"),
    "no logarithm": reading("steep_closeness", 0, "nearness"),
}


@pytest.mark.parametrize("name", AROUND)
def test_faults_around_the_network_are_found(exported: onnx.ModelProto, tmp_path: Path, name: str) -> None:
    checkpoint = suitable_checkpoint()
    by = found_by(AROUND[name], exported, checkpoint, Predictor(checkpoint), [], tmp_path / "m.onnx")
    assert by.startswith(("opening", "stages", "written")), by


def test_a_fault_within_the_network_is_found_by_the_gate(exported: onnx.ModelProto, tmp_path: Path) -> None:
    checkpoint = suitable_checkpoint()
    original = Predictor(checkpoint)
    assert not found_by(nothing, exported, checkpoint, original, samples(), tmp_path / "m.onnx")
    by = found_by(of_the_encoder, exported, checkpoint, original, samples(), tmp_path / "m.onnx")
    assert "suitable.whole" in by
