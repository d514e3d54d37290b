"""The score `suitable`: distances against SciPy's, its calibration, what is refused, and how it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from seglab.errors import CheckpointError, DataError
from seglab.evaluation.original import Predictor
from seglab.networks import suitability
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from seglab.networks.encoder_features import Watched, from_plain, pooled
from seglab.networks.suitability import FLAGGED, THRESHOLD, USUAL, Suitability, learn
from tests.support.suitable_model import noise, skin, suitable_checkpoint


def cloud(seed: int, count: int, channels: int = 12) -> np.ndarray:
    """Points of channels that depend on each other."""
    mixing = np.random.default_rng(7).normal(size=(channels, channels))
    return (np.random.default_rng(seed).normal(size=(count, channels)) @ mixing + 5).astype(np.float32)


def inverse_covariance(points: np.ndarray, axes: int) -> np.ndarray:
    """Of standardised points: the largest variances as they are, the others by their mean, all a little larger."""
    covariance = np.cov(points.T, bias=True)
    variances, vectors = np.linalg.eigh(covariance)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    more = suitability.SHRINKAGE * variances.mean()
    rest = max(variances[axes:].mean(), more) if axes < len(variances) else more
    changed = np.concatenate([variances[:axes] + more, np.full(len(variances) - axes, rest)])
    return np.linalg.inv(vectors @ np.diag(changed) @ vectors.T)


@pytest.mark.parametrize("axes", [4, 64])
def test_distances_are_those_of_scipy(monkeypatch: pytest.MonkeyPatch, axes: int) -> None:
    monkeypatch.setattr(suitability, "AXES", axes)
    training, others = cloud(0, 400), cloud(1, 60)
    found = learn(training, others, (12,))
    standard = (others - found.mean) * found.scale
    inverse = inverse_covariance((training.astype(np.float64) - found.mean) * found.scale, min(axes, 12))
    expected = [mahalanobis(point, np.zeros(12), inverse) ** 2 for point in standard]
    np.testing.assert_allclose(found.squared_distances(others), expected, rtol=2e-3)


def test_scores_are_set_by_images_that_were_not_learned_from() -> None:
    others = cloud(1, 1000)
    found = learn(cloud(0, 500), others, (12,))
    scores = found.scores(others)
    assert np.mean(scores < THRESHOLD) == pytest.approx(FLAGGED)
    assert np.median(scores) == pytest.approx(USUAL, abs=1e-4)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert found.scores(found.mean[None])[0] == pytest.approx(1)
    assert found.scores(others + 100).max() < 0.01


@pytest.mark.parametrize(("training", "others"), [(49, 20), (50, 19), (0, 0)])
def test_too_few_images_are_refused(training: int, others: int) -> None:
    with pytest.raises(DataError, match=f"{training} training and {others} validation images.*at least 50 and 20"):
        learn(cloud(0, training), cloud(1, others), (12,))


def test_features_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="equal or non-finite features for all images"):
        learn(np.ones((60, 3), np.float32), np.ones((30, 3), np.float32), (3,))
    with pytest.raises(DataError, match="equal or non-finite features"):
        learn(np.full((60, 3), np.nan, np.float32), np.ones((30, 3), np.float32), (3,))


def test_a_network_tells_noise_from_what_it_learned_from() -> None:
    predictor = Predictor(suitable_checkpoint())
    assert all((score or 0) > THRESHOLD for score in map(predictor.suitable, skin(9, 10)))
    assert all((score or 0) < THRESHOLD for score in map(predictor.suitable, noise(9, 10)))
    flipped = Predictor(suitable_checkpoint(), tta="flips")
    assert flipped.suitable(skin(9, 1)[0]) == predictor.suitable(skin(9, 1)[0])


def test_features_are_those_that_the_encoder_gives() -> None:
    predictor = Predictor(suitable_checkpoint())
    image = skin(4, 1)[0]
    network = predictor.networks[0]
    with torch.inference_mode():
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        features = network.network.encoder((x - network._mean) / network._std)  # type: ignore[operator]
        expected = torch.cat([features[at].mean(dim=(2, 3)) for at in (2, 3, 4)], dim=1)
    np.testing.assert_allclose(predictor.points([image]), expected.numpy(), rtol=1e-5, atol=1e-5)
    assert predictor.feature_channels() == (24, 32, 96)


def test_watching_ends() -> None:
    network = build_network(NetworkSpec("unet", "mobilenet_v2")).eval()
    image = torch.zeros(1, 3, 64, 64)
    with Watched(network) as watched, torch.no_grad():
        logits, *features = watched(image)
        assert torch.equal(pooled(list(features)), pooled(watched.given))
    kept = [each.shape for each in watched.given]
    with torch.no_grad():
        assert torch.equal(network(image), logits)
        network(image.repeat(2, 1, 1, 1))
    assert [each.shape for each in watched.given] == kept


def test_a_network_without_an_encoder_has_no_score() -> None:
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    predictor = Predictor(Checkpoint(spec, 32, build_network(spec).state_dict()))
    assert predictor.suitable(skin(0, 1)[0]) is None
    with pytest.raises(CheckpointError, match="no encoder"):
        predictor.points(skin(0, 1))


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    checkpoint = suitable_checkpoint()
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    read, written = (from_plain(each.suitable) for each in (load_checkpoint(tmp_path / "c.pt"), checkpoint))
    assert isinstance(read, Suitability)
    assert isinstance(written, Suitability)
    for field in dataclasses.fields(Suitability):
        assert np.array_equal(getattr(read, field.name), getattr(written, field.name))


@pytest.mark.parametrize("spoiled", [{"limit": 1.0}, {"mean": 3}, {"unknown": 1}])
def test_a_damaged_one_is_refused(spoiled: dict[str, object]) -> None:
    values = spoiled if "limit" in spoiled else suitable_checkpoint().suitable | spoiled
    with pytest.raises(CheckpointError, match="damaged"):
        from_plain(values)
