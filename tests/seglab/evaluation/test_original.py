"""The PyTorch original with what a checkpoint can ask for: test-time flips, hair removal, pixels scaled to 0-1."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.conversion.checkpoint import convert
from export.runtime.opening import open_model
from export.samples import sample_set
from seglab.evaluation.original import Predictor
from seglab.images.hair import remove_hair
from seglab.images.pixels.resize import fit
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from tests.support.artefact import tiny_checkpoint

pytestmark = pytest.mark.usefixtures("traced_once")

SIZE = 32


def checkpoint(hair: str = "none", tta: str = "none") -> Checkpoint:
    """An untrained network that answers differently to a mirror image."""
    torch.manual_seed(3)
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    state = build_network(spec).state_dict()
    return Checkpoint(spec, SIZE, state, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.5, hair=hair, tta=tta)


def image(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)


def test_flips_are_the_mean_over_the_mirror_images() -> None:
    photo = image(SIZE, SIZE)
    plain = Predictor(checkpoint())
    turns = [slice(None), slice(None, None, -1)]
    views = [(np.ascontiguousarray(photo[y, x]), y, x) for y in turns for x in turns]
    expected = np.mean([plain.prob(view)[y, x] for view, y, x in views], axis=0)
    flipped = Predictor(checkpoint(tta="flips"))
    assert flipped.prob(photo) == pytest.approx(expected, abs=1e-6)
    assert not np.allclose(flipped.prob(photo), plain.prob(photo), atol=1e-4)
    assert np.array_equal(Predictor(checkpoint(tta="flips"), tta="none").prob(photo), plain.prob(photo))
    assert np.array_equal(Predictor(checkpoint(), tta="flips").prob(photo), flipped.prob(photo))


def test_symmetries_are_the_mean_over_all_eight() -> None:
    photo = image(SIZE, SIZE)
    plain = Predictor(checkpoint())
    turns = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]
    back = []
    for quarters, mirrored in turns:
        view = np.rot90(photo, quarters)
        prob = plain.prob(np.ascontiguousarray(view[:, ::-1] if mirrored else view))
        back.append(np.rot90(prob[:, ::-1] if mirrored else prob, -quarters))
    assert Predictor(checkpoint(tta="symmetries")).prob(photo) == pytest.approx(np.mean(back, axis=0), abs=1e-6)


def test_hairs_are_removed_from_what_the_network_gets() -> None:
    photo = np.full((60, 80, 3), 200, np.uint8)
    photo[:, 38:41] = 20
    fitted = fit(photo, SIZE)
    assert not np.array_equal(remove_hair(fitted), fitted)
    shaved = Predictor(checkpoint(hair="dullrazor")).prob(photo)
    plain = Predictor(checkpoint())
    off = np.abs(shaved - plain.prob(remove_hair(fitted))).max()
    assert off < 0.1 * np.abs(shaved - plain.prob(photo)).max()


def test_a_checkpoint_remembers_both_and_old_ones_have_neither(tmp_path: Path) -> None:
    save_checkpoint(checkpoint("dullrazor", "flips"), tmp_path / "new.pt")
    loaded = load_checkpoint(tmp_path / "new.pt")
    assert (loaded.hair, loaded.tta) == ("dullrazor", "flips")
    values = torch.load(tmp_path / "new.pt", weights_only=True)
    del values["hair"], values["tta"]
    torch.save(values, tmp_path / "old.pt")
    old = load_checkpoint(tmp_path / "old.pt")
    assert (old.hair, old.tta) == ("none", "none")


@pytest.mark.slow
@pytest.mark.parametrize("tta", ["flips", "symmetries"])
def test_every_view_is_inside_the_exported_graph(tmp_path: Path, tta: str) -> None:
    path = tmp_path / "views.onnx"
    trained = dataclasses.replace(tiny_checkpoint(tmp_path / "tiny.pt"), tta=tta)
    assert convert([trained], path, sample_set(None)).passed
    photo = image(50, 70)
    prob, _ = open_model(path, "cpu", batch=1).prob_and_mask(photo[None])
    assert prob[0] == pytest.approx(Predictor(trained).prob(photo), abs=1e-4)
