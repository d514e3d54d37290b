"""The picture ``curves.png`` of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglab.errors import MissingDependencyError
from seglab.files import replacing
from seglab.images.formats import PICTURE_MARK
from seglab.training.run_folder import Epoch


def draw_curves(path: Path, history: Sequence[Epoch]) -> None:
    """Draw losses, scores and learning rate over epochs as a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError("The curves need matplotlib. Install it: pip install 'seglab[train]'") from error

    figure = Figure(figsize=(13, 4))
    figure.subplots_adjust(0.055, 0.13, 0.99, 0.97, 0.26)
    FigureCanvasAgg(figure)
    epochs = [epoch.epoch for epoch in history]
    panels = (("loss", ("train_loss", "val_loss")), ("score", ("val_dice", "val_iou")), ("learning rate", ("lr",)))
    for axes, (label, names) in zip(figure.subplots(1, 3), panels, strict=True):
        for name in names:
            values = [getattr(epoch, name) for epoch in history]
            axes.plot(epochs, values, marker=".", label=f"{name.replace('_', ' ')} {values[-1]:.4g}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Comment": PICTURE_MARK.decode()})
