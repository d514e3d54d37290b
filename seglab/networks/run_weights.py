"""The weights file in the folder of a run. This module does not import torch."""

from __future__ import annotations

from pathlib import Path

BEST = "best.pt"
"""File name of the checkpoint of a run's best epoch."""


def weights_file(path: Path) -> Path:
    """Return the file of weights that ``path`` names: ``best.pt`` where it is the folder of a run, else itself."""
    is_run = (path / BEST).is_file() and not (path / "config.json").exists()  # smp's save_pretrained wrote config.json
    return path / BEST if is_run else path
