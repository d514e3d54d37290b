"""What a training run leaves beside its checkpoints: the log as CSV, the curves, the split."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seglab.errors import MissingDependencyError
from seglab.files import replacing, write_text
from seglab.training import Epoch


def write_log(path: Path, history: Sequence[Epoch]) -> None:
    """Write a row per epoch."""
    write_csv(path, (dataclasses.asdict(epoch) for epoch in history))


def write_csv(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write dictionaries of the same keys as CSV, numbers with six significant digits."""
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
    write_text(path, text.getvalue())


def write_split(path: Path, training: Iterable[str], validation: Iterable[str]) -> None:
    """Write the ids of both sides as JSON."""
    write_text(path, json.dumps({"training": sorted(training), "validation": sorted(validation)}, indent=1) + "\n")


def draw_curves(path: Path, history: Sequence[Epoch]) -> None:
    """Draw losses and scores over epochs as a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError("Curves need matplotlib; install it with: pip install 'seglab[train]'") from error

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [epoch.epoch for epoch in history]
    panels = (("loss", ("train_loss", "val_loss")), ("score", ("val_dice", "val_iou")))
    for axes, (label, names) in zip(figure.subplots(1, 2), panels, strict=True):
        for name in names:
            values = [getattr(epoch, name) for epoch in history]
            axes.plot(epochs, values, marker=".", label=f"{name.replace('_', ' ')} {values[-1]:.4f}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
