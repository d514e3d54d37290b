"""Which file of a training run's folder has its weights; no torch is loaded for that."""

from __future__ import annotations

from pathlib import Path

BEST = "best.pt"
"""The checkpoint of the best epoch, in the folder of a run."""


def weights_file(path: Path) -> Path:
    """Return the file of weights that ``path`` names: ``best.pt`` where it is the folder of a run, else itself."""
    is_run = (path / BEST).is_file() and not (path / "config.json").exists()  # that is of smp's save_pretrained
    return path / BEST if is_run else path
