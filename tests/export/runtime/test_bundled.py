"""The model that comes with the package: what its card promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.support.places import CHECKPOINT
from export.contract import FORMAT_VERSION, read_contract, read_model
from export.contract.onnx_file import parse
from export.conversion.build import stages_of
from export.proof.stages import stage_differences
from export.runtime.bundled import bundled_model
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.runtime.probes import in_file as file_probes
from seglab.data.finding.layouts import find_file_pairs
from seglab.data.pairs import FilePair
from seglab.data.splits import read_ids, validates
from seglab.evaluation.original import Predictor
from seglab.files import sha256
from seglab.images.masks import read_mask
from seglab.images.reader import read_image
from seglab.metrics.overlap import Scores, confusion
from seglab.networks.checkpoints import load_checkpoint
from seglab.synth import synthesise

MOST_BYTES = 12 * 2**20


@pytest.fixture(scope="module")
def model() -> Model:
    """The bundled model on the CPU provider."""
    return open_model(bundled_model(), "cpu")


def test_the_file_is_what_the_current_code_makes() -> None:
    """Exported again with every release: its stages are those of today, its digest and its probes are in it."""
    content = read_model(bundled_model())
    assert content.contract.format_version == FORMAT_VERSION
    assert content.contract.graph_sha256 == parse(bundled_model().read_bytes()).sha256
    assert file_probes.KEY in content.metadata
    assert list(stage_differences(onnx.load(bundled_model()), stages_of([load_checkpoint(CHECKPOINT)]))) == []


def mean_dice(model: Model, pairs: list[FilePair]) -> float:
    """Exact masks at the images' own sizes, against the truth."""
    scores = Scores()
    for pair in pairs:
        mask = model.mask(read_image(pair.image)[None])[0]
        scores.add(pair.id, confusion(mask, read_mask(pair.truth)))
    return scores.summary()["dice"]


def test_the_file_is_small_and_says_where_it_comes_from() -> None:
    path = bundled_model()
    contract = read_contract(path)
    assert path.stat().st_size <= MOST_BYTES
    assert contract.checkpoint_sha256 == sha256(CHECKPOINT)
    assert "CC0" in contract.licence
    assert sorted(contract.training["data"]["sets"]) == ["isic2017", "isic2018"]
    assert (path.parent / "MODEL_CARD.md").is_file()


def test_it_agrees_with_its_pytorch_original(model: Model) -> None:
    from seglab.networks.checkpoints import load_checkpoint

    predictor = Predictor(load_checkpoint(CHECKPOINT))
    for height, width in ((450, 600), (301, 207)):
        image = synthesise(height, width, seed=11).image
        assert confusion(model.mask(image[None])[0], predictor.mask(image)).dice > 0.999


def test_it_finds_synthetic_lesions(model: Model) -> None:
    pictures = [synthesise(450, 600, seed) for seed in range(12)]
    dices = [confusion(model.mask(picture.image[None])[0], picture.mask).dice for picture in pictures]
    assert np.median(dices) > 0.8


@pytest.mark.slow
@pytest.mark.real
def test_held_out_crops_score_as_the_card_says(model: Model, data_dir: Path) -> None:
    held_out = [pair for pair in find_file_pairs(data_dir / "isic2018") if validates(pair.id)]
    assert len(held_out) == 414
    assert mean_dice(model, held_out[::6]) > 0.88


@pytest.mark.slow
@pytest.mark.real
def test_held_out_whole_frames_score_as_the_card_says(model: Model, data_dir: Path) -> None:
    ids = read_ids(data_dir / "isic2017" / "ISIC-2017_Validation_Data")
    frames = [pair for pair in find_file_pairs(data_dir / "isic2017") if pair.id in ids]
    assert len(frames) == 150
    assert mean_dice(model, frames[::3]) > 0.85
    assert mean_dice(model, find_file_pairs(data_dir / "originals")[::6]) > 0.85
