"""The gate: planted faults must fail it, with the figure that shows them; the true graph must pass."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from benchmarks.support.places import CHECKPOINT
from export.conversion.build import segmenter
from export.conversion.checkpoint import convert
from export.errors import ParityError
from export.proof.gate import CHUNK, ParityReport, check
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from export.samples import EDGES, Sample, SampleSet, edge_samples, sample_set
from export.tolerances import TOLERANCES, tolerance_for
from seglab.errors import DataError, ImageError
from seglab.evaluation.original import Predictor
from seglab.files import sha256
from seglab.networks.checkpoints import load_checkpoint
from tests.support.artefact import blobs, tiny_checkpoint, tiny_model
from tests.support.faults_around import Fault
from tests.support.planted_faults import FAULTS, NAMES, no_antialias, opened, planted, sigmoid_twice

pytestmark = pytest.mark.usefixtures("traced_once")

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
    return check(opened(path, device), original, samples())


def test_the_true_graph_passes(folder: Path, original: Predictor) -> None:
    report = measure(tiny_model(folder / "true.onnx"), original)
    assert report.passed, report.failures
    assert report.figures["whole"]["max_prob"] < 1e-4
    assert report.figures["whole"]["flipped"] <= 2  # at the threshold, where the last digits of a CPU decide
    # The masks are not all alike, or nothing was proved.
    assert report.figures["truth"]["dice"] > 0.9
    assert report.figures["host"]["mean_dice"] > 0.95
    assert len(report.rows) == len(EDGES) + len(SHAPES)


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES.__getitem__)
def test_a_planted_fault_fails_the_gate(folder: Path, original: Predictor, fault: Fault) -> None:
    path = planted(fault, tiny_model(folder / "tiny.onnx"), folder / "planted.onnx")
    report = measure(path, original)
    assert {failure.figure for failure in report.failures} >= FAULTS[fault]
    names = {row.image for row in report.rows}
    assert {failure.image for failure in report.failures} <= names
    with pytest.raises(ParityError, match=r"whole\.flipped|whole\.max_prob") as raised:
        report.require_passed()
    assert raised.value.report is report


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("fault", FAULTS, ids=NAMES.__getitem__)
def test_a_fault_planted_in_the_packages_model_fails_the_gate(data_dir: Path, tmp_path: Path, fault: Fault) -> None:
    original, samples = Predictor(load_checkpoint(CHECKPOINT)), sample_set(data_dir / "originals", 12)
    path = planted(fault, bundled_model(), tmp_path / "faulty.onnx")
    report = check(opened(path), original, samples)
    assert {failure.figure for failure in report.failures} & FAULTS[fault]


def test_faults_before_the_network_do_not_show_where_the_host_resizes(folder: Path, original: Predictor) -> None:
    """So the two feeds are told apart in the figures."""
    path = planted(no_antialias, tiny_model(folder / "tiny.onnx"), folder / "feeds.onnx")
    assert all(failure.figure.startswith(("whole.", "truth.")) for failure in measure(path, original).failures)


def test_one_flipped_pixel_of_a_small_mask_is_no_failure() -> None:
    """Dice of 3 against 4 pixels is 0.86; in fp32 that is a probability that was 0.5 to seven digits."""
    assert tolerance_for("fp32").counted_dice(0.86, 1) == 1.0
    assert tolerance_for("fp32").counted_dice(0.86, 3) == 0.86


def test_an_edge_case_is_judged_by_the_share_of_its_pixels() -> None:
    """What int8 makes of noise, where the network marks a hundredth of the image, and of a black one."""
    limits = tolerance_for("int8")
    assert limits.counted_dice(0.93, 900, edge_pixels=192 * 192) == 1.0
    assert limits.counted_dice(0.93, 950, edge_pixels=192 * 192) == 0.93
    assert limits.counted_dice(0.93, 100) == 0.93
    assert tolerance_for("fp32").counted_dice(0.93, 3, edge_pixels=192 * 192) == 0.93


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
    wrong = segmenter([checkpoint])
    sigmoid_twice(wrong)
    out = folder / "wrong" / "m.onnx"
    with pytest.raises(ParityError, match=r"whole\.max_prob is .* at most 0\.001 allowed \(worst image: "):
        convert([checkpoint], out, sample_set(picture_folder), fused_model=wrong)
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
