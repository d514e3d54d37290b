"""Networks that take BGR, give probabilities, or of whose classes one is the lesion's: in the graph as in PyTorch."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from export.conversion.build import contract_for, segmenter
from export.graph.writing import write_model
from export.runtime.opening import open_model
from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec
from tests.support.artefact import blobs

SIZE = 32
KINDS = [
    *itertools.product([1, 3], ["logits", "probabilities"], ["rgb", "bgr"], [None], ["none", "flips"]),
    *itertools.product([1, 3], ["logits"], ["bgr"], [None], ["symmetries"]),
    *itertools.product([2], ["probabilities"], ["rgb"], [1], ["symmetries"]),
    *itertools.product([2, 3], ["logits", "probabilities"], ["rgb", "bgr"], [0, 1], ["none", "flips"]),
]


def checkpoint_of(classes: int, output: str, channels: str, lesion_class: int | None, tta: str) -> Checkpoint:
    spec = NetworkSpec("unet-scratch", classes=classes, options={"widths": [4, 8]})
    state = build_network(spec).state_dict()
    checkpoint = Checkpoint(spec, SIZE, state, output=output, channels=channels, lesion_class=lesion_class, tta=tta)
    return dataclasses.replace(checkpoint, threshold=0.45, class_names=("lesion",) if checkpoint.classes == 1 else ())


@pytest.mark.parametrize(
    ("classes", "output", "channels", "lesion_class", "tta"),
    [kind if number % 5 == 0 else pytest.param(*kind, marks=pytest.mark.slow) for number, kind in enumerate(KINDS)],
)
def test_the_graph_gives_what_pytorch_gives(
    tmp_path: Path, classes: int, output: str, channels: str, lesion_class: int | None, tta: str
) -> None:
    checkpoint = checkpoint_of(classes, output, channels, lesion_class, tta)
    path = tmp_path / "m.onnx"
    write_model(segmenter([checkpoint]), contract_for([checkpoint]), path)
    model, original = open_model(path, "cpu"), Predictor(checkpoint)
    image = blobs(np.random.default_rng(classes), 50, 40)[0]
    expected_prob, expected_mask = original.prob_and_mask(image)
    prob, mask = model.prob_and_mask(image[None])
    np.testing.assert_allclose(prob[0], expected_prob, atol=1e-4)
    assert np.count_nonzero(mask[0] != expected_mask) <= 2
    assert model.contract.classes == checkpoint.classes
    assert (model.contract.output, model.contract.channels) == (output, channels)
    assert model.contract.lesion_class == lesion_class
