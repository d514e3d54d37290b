"""A small smp network with random weights; the score ``suitable`` of its checkpoint recognises blobs on skin."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from export.conversion.build import contract_for, fused, traced
from export.graph.trace import trace
from export.graph.writing import write_model
from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network, restore_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec
from seglab.networks.encoder_features import to_plain
from seglab.networks.suitability import learn
from tests.support.artefact import blobs, with_ranges

SIZE = 64
IMAGES, OTHERS = 300, 150


def skin(seed: int, count: int, shape: tuple[int, int] = (SIZE, SIZE)) -> list[NDArray[np.uint8]]:
    """Draw blobs on skin."""
    rng = np.random.default_rng(seed)
    return [blobs(rng, *shape)[0] for _ in range(count)]


def noise(seed: int, count: int) -> list[NDArray[np.uint8]]:
    """Draw images without blobs."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for _ in range(count)]


@functools.cache
def suitable_checkpoint() -> Checkpoint:
    """Return the checkpoint of a U-Net/MobileNetV2 (S = 64) with a score. Its threshold leaves lesion and background
    in each image.
    """
    torch.manual_seed(0)
    spec = NetworkSpec("unet", "mobilenet_v2", options={"decoder_channels": [8, 8, 8, 8]})
    return with_score(Checkpoint(spec, SIZE, build_network(spec).state_dict(), sha256="5" * 64))


def rounding_checkpoint() -> Checkpoint:
    """Return the checkpoint of such a network with folded normalisation and ranges, like one trained for int8.

    It uses all stages of its encoder: unused stages run in PyTorch and have ranges, but are not in the graph.
    """
    torch.manual_seed(0)
    spec = NetworkSpec("unet", "mobilenet_v2", options={"decoder_channels": [8, 8, 8, 8, 8]})
    return with_score(with_ranges(Checkpoint(spec, SIZE, build_network(spec).state_dict())))


def with_score(plain: Checkpoint) -> Checkpoint:
    """Return a checkpoint with the score, and a threshold that leaves lesion and background in each image."""
    predictor = Predictor(dataclasses.replace(plain, suitable={}))
    found = learn(
        _points(predictor, skin(1, IMAGES)), _points(predictor, skin(2, OTHERS)), predictor.feature_channels()
    )
    threshold = round(float(np.median(predictor.prob(skin(3, 1)[0]))), 4)
    return dataclasses.replace(plain, suitable=to_plain(found), threshold=threshold)


def plain_checkpoint() -> Checkpoint:
    """Return the checkpoint of a network without an encoder that can be in an ensemble with the other one."""
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    return Checkpoint(spec, SIZE, build_network(spec).state_dict(), threshold=suitable_checkpoint().threshold)


@functools.cache
def traced_network(*, features: bool) -> onnx.ModelProto:
    """Return the graph of the network of :func:`suitable_checkpoint`, traced once."""
    return trace(restore_network(suitable_checkpoint()), SIZE, features=features)


def suitable_model(*checkpoints: Checkpoint, precision: str = "fp32", float_layers: int = 0) -> onnx.ModelProto:
    """Return the fused graph of checkpoints that are :func:`suitable_checkpoint` with other settings, or
    :func:`plain_checkpoint`: as :func:`export.conversion.build.segmenter` gives it, but traced once.
    """
    networks = [
        traced_network(features=at == 0 and bool(each.suitable)) if each.network.encoder else traced([each])[0]
        for at, each in enumerate(checkpoints)
    ]
    return fused(checkpoints, networks, precision, float_layers)


def suitable_file(path: Path) -> Path:
    """Write that network's model file and return its path."""
    write_model(suitable_model(suitable_checkpoint()), contract_for([suitable_checkpoint()]), path)
    return path


def _points(predictor: Predictor, images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.concatenate([predictor.points(images[start : start + 20]) for start in range(0, len(images), 20)])
