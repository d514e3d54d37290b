"""The stage that scores whether an image looks like the network's training images: ``suitable``, from its features.

It is in fp32 in every file: a reduced precision changes only the network, whose encoder's features come in. Of several
networks the first is used, of several views the image as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ContractError
from export.graph.stage_texts import FIRST_VIEW, POOL, POOLED, SCORE
from seglab.networks.suitability import LEAST_VARIANCE, Suitability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto

Stage = tuple[str, dict[str, NDArray[Any]]]
"""Nodes, as ONNX text, and constants."""

FEATURES = "features"
"""Prefix of the stages' tensors that hold an encoder's features, and of a network's outputs after the first."""


def suitable_stages(suitability: Suitability, *, has_views: bool) -> Iterator[Stage]:
    """Yield the stages from ``features0``, ``features1`` ... to ``suitable``, float ``(batch,)``.

    ``has_views``: whether the features of the images are followed by those of their other views.
    """
    count = len(suitability.channels)
    yield "".join(POOL.format(at=at) for at in range(count)), {"plane_axes": np.array([2, 3])}
    yield POOLED.format(each=", ".join(f"pooled{at}" for at in range(count))), {}
    if has_views:
        yield FIRST_VIEW, {"from_first": np.array([0]), "view_axis": np.array([0])}
    yield SCORE.format(point="point" if has_views else "pooled"), _constants(suitability)


def _constants(suitability: Suitability) -> dict[str, NDArray[Any]]:
    return {
        "point_mean": suitability.mean,
        "point_scale": suitability.scale,
        "principal_axes": suitability.axes,
        "axes_back": np.ascontiguousarray(suitability.axes.T),
        "axis_weights": suitability.weights,
        "rest_weight": np.array(suitability.rest, np.float32),
        "feature_axis": np.array([1]),
        "least_distance": np.array(LEAST_VARIANCE, np.float32),
        "distance_limit": np.array(suitability.limit, np.float32),
        "steepness": np.array(suitability.steepness, np.float32),
    }


def feature_names(network: ModelProto, suitability: Suitability | None) -> dict[str, str]:
    """Map a network's outputs after the first to their names among the stages.

    Raises :class:`ContractError` unless they are the features that the score is computed from.
    """
    found = list(network.graph.output)[1:]
    channels = tuple(entry.type.tensor_type.shape.dim[1].dim_value for entry in found)
    expected = () if suitability is None else suitability.channels
    if channels != expected:
        raise ContractError(
            f"The network gives features of {list(channels)} channels, and the score `suitable` is computed from "
            f"{list(expected)}; expected the same. Make the score again: `seglab suitable CKPT --data DIR`."
        )
    return {entry.name: f"{FEATURES}{at}" for at, entry in enumerate(found)}
