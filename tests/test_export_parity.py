"""The gate: planted faults must fail it, with the figure that shows them; the true graph must pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from artefact import blobs, tiny_checkpoint, tiny_model
from onnx import helper, numpy_helper

from export.convert import convert
from export.errors import ParityError
from export.graph import segmenter
from export.parity import CHUNK, ParityReport, check
from export.runtime import open_model
from export.samples import EDGES, Sample, SampleSet, edge_samples, sample_set
from export.tolerances import TOLERANCES, tolerance_for
from seglab.errors import DataError, ImageError
from seglab.files import sha256
from seglab.predict import Predictor

SHAPES = ((150, 203), (203, 150), (64, 64), (91, 91))


def samples() -> list[Sample]:
    rng = np.random.default_rng(5)
    drawn = [(f"blob-{height}x{width}", *blobs(rng, height, width)) for height, width in SHAPES]
    return [*edge_samples(), *(Sample(name, image, mask) for name, image, mask in drawn)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def original(folder: Path) -> Predictor:
    return Predictor(tiny_checkpoint(folder / "tiny.pt"))


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs in the plain layout."""
    root = tmp_path_factory.mktemp("pictures")
    for index, shape in enumerate(SHAPES[:3]):
        image, mask = blobs(np.random.default_rng(index), *shape)
        for name, pixels in (("images", image[..., ::-1]), ("masks", mask)):
            (root / name).mkdir(exist_ok=True)
            assert cv2.imwrite(str(root / name / f"p{index}.png"), pixels)
    return root


def measure(path: Path, original: Predictor, device: str = "cpu") -> ParityReport:
    return check(open_model(path, device, batch=CHUNK), original, samples())


def constant(model: onnx.ModelProto, like: float) -> onnx.TensorProto:
    """Find the constant scalar of this value."""
    found: onnx.TensorProto
    (found,) = [
        entry
        for entry in model.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT
        and numpy_helper.to_array(entry).size == 1
        and np.isclose(numpy_helper.to_array(entry), like)
    ]
    return found


def attribute(model: onnx.ModelProto, index: int, name: str) -> onnx.AttributeProto:
    """Find an attribute of the first (input) or last (mask) resize."""
    node = [entry for entry in model.graph.node if entry.op_type == "Resize"][index]
    found: onnx.AttributeProto = next(entry for entry in node.attribute if entry.name == name)
    return found


def bgr(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
    model.graph.node.insert(0, helper.make_node("Gather", ["image", "order"], ["swapped"], axis=3))
    for node in model.graph.node[1:]:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "swapped"


def no_antialias(model: onnx.ModelProto) -> None:
    attribute(model, 0, "antialias").i = 0
    attribute(model, 0, "exclude_outside").i = 0


def wrong_std(model: onnx.ModelProto) -> None:
    scale = next(entry for entry in model.graph.initializer if entry.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.02), "scale"))


def threshold_40(model: onnx.ModelProto) -> None:
    entry = constant(model, 0.5)
    entry.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(entry), 0.4), entry.name))


def sigmoid_twice(model: onnx.ModelProto) -> None:
    index = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Sigmoid")
    logits = model.graph.node[index].input[0]
    model.graph.node[index].input[0] = "once"
    model.graph.node.insert(index, helper.make_node("Sigmoid", [logits], ["once"]))


def corners_aligned(model: onnx.ModelProto) -> None:
    attribute(model, -1, "coordinate_transformation_mode").s = b"align_corners"


def whole_pixels(model: onnx.ModelProto) -> None:
    attribute(model, -1, "mode").s = b"nearest"


def half_a_pixel_off(model: onnx.ModelProto) -> None:
    attribute(model, 0, "coordinate_transformation_mode").s = b"asymmetric"


def corners_aligned_before(model: onnx.ModelProto) -> None:
    attribute(model, 0, "coordinate_transformation_mode").s = b"align_corners"


def silently_bf16(model: onnx.ModelProto) -> None:
    """Round what every convolution reads, as hardware does that computes in bf16 without saying so."""
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            for index, name in enumerate(list(node.input)[:2]):
                short, back = f"{node.name}_{index}_bf16", f"{node.name}_{index}_rounded"
                model.graph.node.append(helper.make_node("Cast", [name], [short], to=onnx.TensorProto.BFLOAT16))
                model.graph.node.append(helper.make_node("Cast", [short], [back], to=onnx.TensorProto.FLOAT))
                node.input[index] = back
        model.graph.node.append(node)


def test_the_true_graph_passes(folder: Path, original: Predictor) -> None:
    report = measure(tiny_model(folder / "true.onnx"), original)
    assert report.passed, report.failures
    assert report.figures["whole"]["max_prob"] < 1e-4
    assert report.figures["whole"]["flipped"] == 0
    # The masks are not all alike, or nothing was proved.
    assert report.figures["truth"]["dice"] > 0.9
    assert report.figures["host"]["mean_dice"] > 0.95
    assert len(report.rows) == len(EDGES) + len(SHAPES)


@pytest.mark.parametrize(
    ("fault", "figures"),
    [
        (bgr, {"whole.max_prob", "whole.mean_dice", "batch.max_prob", "batch.mean_dice", "truth.dice_difference"}),
        (no_antialias, {"whole.max_prob", "whole.flipped", "whole.worst_dice"}),
        (wrong_std, {"whole.max_prob", "batch.max_prob"}),
        (threshold_40, {"whole.flipped", "whole.mean_dice", "whole.worst_dice"}),
        (sigmoid_twice, {"whole.max_prob", "batch.max_prob", "whole.mean_dice"}),
        (corners_aligned, {"whole.flipped", "whole.mean_dice"}),
        (whole_pixels, {"whole.flipped", "whole.mean_dice"}),
        (half_a_pixel_off, {"whole.max_prob", "whole.flipped"}),
        (corners_aligned_before, {"whole.max_prob", "whole.flipped"}),
        (silently_bf16, {"whole.max_prob", "whole.mean_prob", "batch.max_prob", "batch.mean_prob"}),
    ],
)
def test_a_planted_fault_fails_the_gate(
    folder: Path, original: Predictor, fault: Callable[[onnx.ModelProto], None], figures: set[str]
) -> None:
    path = tiny_model(folder / f"{fault.__name__}.onnx")
    model = onnx.load(path)
    fault(model)
    onnx.save(model, path)
    report = measure(path, original)
    assert {failure.figure for failure in report.failures} >= figures
    names = {row.image for row in report.rows}
    assert {failure.image for failure in report.failures} <= names
    with pytest.raises(ParityError, match=r"whole\.flipped|whole\.max_prob") as raised:
        report.require_passed()
    assert raised.value.report is report


def test_faults_before_the_network_do_not_show_where_the_host_resizes(folder: Path, original: Predictor) -> None:
    """So the two feeds are told apart in the figures."""
    path = tiny_model(folder / "feeds.onnx")
    model = onnx.load(path)
    no_antialias(model)
    onnx.save(model, path)
    assert all(failure.figure.startswith(("whole.", "truth.")) for failure in measure(path, original).failures)


def test_one_flipped_pixel_of_a_small_mask_is_no_failure() -> None:
    """Dice of 3 against 4 pixels is 0.86; in fp32 that is a probability that was 0.5 to seven digits."""
    assert tolerance_for("fp32").counted_dice(0.86, 1) == 1.0
    assert tolerance_for("fp32").counted_dice(0.86, 3) == 0.86


def test_a_graph_that_computes_nan_fails(folder: Path, original: Predictor) -> None:
    path = tiny_model(folder / "nan.onnx")
    model = onnx.load(path)
    scale = next(entry for entry in model.graph.initializer if entry.name == "scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(np.nan), "scale"))
    onnx.save(model, path)
    assert {failure.figure for failure in measure(path, original).failures} >= {"whole.max_prob", "batch.mean_prob"}


def test_openvino_passes_in_its_precision(folder: Path, original: Predictor) -> None:
    report = measure(tiny_model(folder / "openvino.onnx"), original, "openvino")
    assert report.passed, report.failures
    assert (report.device, report.whole_on) == ("openvino", "cpu")
    assert report.precision in ("fp32", "bf16")


def test_the_report_as_json(folder: Path, original: Predictor) -> None:
    path = tiny_model(folder / "json.onnx")
    values = json.loads(measure(path, original).to_json())
    assert (values["kind"], values["format_version"], values["passed"]) == ("seglab parity", 1, True)
    assert values["model_sha256"] == sha256(path)
    assert values["rows"][-1]["whole"]["dice"] == 1.0
    assert values["tolerances"][0]["name"] == "fp32"


def test_convert_leaves_a_proved_model_with_its_figures(folder: Path) -> None:
    out = folder / "made" / "m.onnx"
    checkpoint = tiny_checkpoint(folder / "made.pt")
    report = convert([checkpoint], out, SampleSet("blobs", ()), licence="MIT")
    contract = open_model(out, "cpu").contract
    assert contract.parity == json.loads(json.dumps(report.summary()))
    assert contract.parity["passed"] is True
    assert contract.licence == "MIT"
    assert report.about["model_sha256"] == sha256(out)
    assert [path.name for path in out.parent.iterdir()] == ["m.onnx"]


def test_convert_leaves_nothing_where_the_gate_fails(folder: Path, picture_folder: Path) -> None:
    checkpoint = tiny_checkpoint(folder / "wrong.pt")
    wrong = segmenter([dataclasses.replace(checkpoint, std=(0.3, 0.3, 0.3))])
    out = folder / "wrong" / "m.onnx"
    with pytest.raises(ParityError, match=r"whole\.max_prob is .* at most 0\.001 allowed \(worst image: "):
        convert([checkpoint], out, sample_set(picture_folder), fused=wrong)
    assert list(out.parent.iterdir()) == []


def test_a_data_set_is_read_with_its_truth(picture_folder: Path) -> None:
    found = sample_set(picture_folder)
    assert found.source.startswith("3 of 3 images with truth of pictures")
    assert len(list(found)) == len(found) == len(EDGES) + 3
    assert all(sample.truth is not None for sample in list(found)[len(EDGES) :])


def test_any_other_folder_is_read_as_images(picture_folder: Path) -> None:
    found = sample_set(picture_folder / "images", limit=2)
    assert found.source.startswith("2 of 3 images without truth of images")
    assert [path.name for path, _ in found.files] == ["p0.png", "p2.png"]


def test_the_standard_set_has_what_breaks_graphs() -> None:
    found = list(sample_set(None))
    shapes = {sample.image.shape[:2] for sample in found}
    assert {(1, 1), (32, 4000), (4000, 32), (600, 450), (97, 61)} <= shapes
    levels = {int(sample.image.min()) for sample in found if np.ptp(sample.image) == 0}
    assert {0, 255} <= levels


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No images below"):
        sample_set(tmp_path)


def test_a_broken_image_in_the_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        list(sample_set(tmp_path))


def test_no_samples_prove_nothing(folder: Path, original: Predictor) -> None:
    model = open_model(tiny_model(folder / "none.onnx"), "cpu")
    with pytest.raises(ParityError, match="no image"):
        check(model, original, [])


def test_no_more_than_a_chunk_is_read_ahead(folder: Path, original: Predictor) -> None:
    drawn = 0

    def endless() -> object:
        nonlocal drawn
        while True:
            drawn += 1
            if drawn > CHUNK:
                raise KeyboardInterrupt
            yield Sample(f"s{drawn}", np.zeros((5, 5, 3), np.uint8))

    with pytest.raises(KeyboardInterrupt):
        check(open_model(tiny_model(folder / "ahead.onnx"), "cpu"), original, endless())  # type: ignore[arg-type]
    assert drawn == CHUNK + 1


def test_tolerances_widen_with_the_precision() -> None:
    fp32, bf16 = tolerance_for("fp32"), tolerance_for("bf16")
    assert fp32.max_prob < bf16.max_prob
    assert fp32.mean_dice > bf16.mean_dice
    assert set(TOLERANCES) == {"fp32", "fp16", "fp16-weights", "bf16", "int8"}
    with pytest.raises(ParityError, match="fp8"):
        tolerance_for("fp8")
