"""Picture of the confusion matrix of all pixels: counts, and shares of each row of the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seglab.errors import MissingDependencyError
from seglab.files import replacing
from seglab.images.formats import PICTURE_MARK
from seglab.metrics.overlap import Confusion

NAMES = ("lesion", "skin")


def draw_confusion(path: Path, counts: Confusion, images: int) -> None:
    """Draw the total pixel counts of ``images`` images as a PNG; each row of the truth sums to 100 %."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "Pictures need matplotlib; install it with: pip install 'seglab[train]'"
        ) from error

    table = np.array([[counts.tp, counts.fn], [counts.fp, counts.tn]], np.float64)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    figure = Figure(figsize=(4.6, 4.6))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.2, 0.12, 0.76, 0.76))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.2%}\n{int(table[row, column]):,}" if totals[row, 0] else "none"
        axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
    axes.set(
        xticks=(0, 1), yticks=(0, 1), xticklabels=NAMES, yticklabels=NAMES, xlabel="mask", ylabel="truth",
        title=f"Pixels of {images} image{'s' * (images != 1)}; rows sum to 100 %",
    )  # fmt: skip
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Comment": PICTURE_MARK.decode()})
