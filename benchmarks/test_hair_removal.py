"""Hair removal: OpenCV on the host, and the stage of ONNX operators, on the same images, to the same pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.support.places import DATA
from export.graph.hair import RESULT, hair_stage
from export.graph.stages import IR_VERSION, OPSET
from export.precision.calibration import session
from seglab.data.finding.layouts import find_pairs
from seglab.images.hair import remove_hair
from seglab.images.pixels.resize import fit
from seglab.synth import synthesise

SIZE = 192
IMAGES = 8
EVERY = 64

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def images() -> Images:
    """Photographs ``(N, S, S, 3)``; synthetic ones where there are none."""
    if not (DATA / "isic2018").is_dir():
        return np.stack([synthesise(SIZE, SIZE, seed).image for seed in range(IMAGES)])
    pairs = find_pairs(DATA / "isic2018")[::EVERY][:IMAGES]
    return np.stack([fit(pair.photo().pixels, SIZE) for pair in pairs])


def by_opencv(images: Images) -> Images:
    """Remove hairs as training does, one image after another."""
    return np.stack([remove_hair(image) for image in images])


def by_graph() -> Callable[[Images], Images]:
    """Return a function that runs the stage on all images at once, on onnxruntime's CPU provider."""
    text, constants = hair_stage(SIZE)
    images_type, result_type = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, SIZE, SIZE]) for name in ("resized", RESULT)
    )
    graph = helper.make_graph(
        parser.parse_graph(f"stage () => () {{ {text} }}").node, "hair", [images_type], [result_type],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    opened = session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION))

    def run(images: Images) -> Images:
        (result,) = opened.run([RESULT], {"resized": images.transpose(0, 3, 1, 2).astype(np.float32)})
        return np.asarray(result, np.uint8).transpose(0, 2, 3, 1)

    return run


@pytest.mark.parametrize("way", ["opencv", "graph"])
def test_hair_removal(benchmark: BenchmarkFixture, way: str, images: Images) -> None:
    remove = by_opencv if way == "opencv" else by_graph()
    benchmark.group = f"hair removal, {IMAGES} photographs at {SIZE}"
    assert np.array_equal(benchmark(remove, images), by_opencv(images))
