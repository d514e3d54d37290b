"""Made-up packages of pretrained weights, as ``encoder_weights=package`` finds them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from seglab.recipes.packaged import PACKAGED_ENCODERS


def write_package(root: Path, encoder: str, state: dict[str, Tensor]) -> Path:
    """Write the package that holds ``state`` for an encoder, below ``root``; return its folder."""
    folder = root / PACKAGED_ENCODERS[encoder]
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    torch.save(state, folder / "models" / "weights.pth")
    return folder
