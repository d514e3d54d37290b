"""Several runs side by side: a table, and a picture of their curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.errors import MissingDependencyError, SeglabError
from seglab.files import replacing
from seglab.runs import SPLIT, Run, plain, read_run
from seglab.splits import read_split

SHOWN_APART = ("arch", "encoder", "size", "epochs", "workers")
"""Settings with a column of their own, or without a bearing on the result."""
SORTS = {"dice": ("val_dice", True), "iou": ("val_iou", True), "loss": ("val_loss", False), "name": ("run", False)}


@dataclass(frozen=True)
class Comparison:
    """Rows (best first) of figures by name, and what a reader must know before comparing them."""

    rows: list[dict[str, Any]]
    warnings: list[str]
    runs: list[Run]

    def table(self) -> list[list[str]]:
        """Return header and rows as text."""
        header = list(self.rows[0])
        return [header, *([_text(row[key]) for key in header] for row in self.rows)]

    def markdown(self) -> str:
        """Return the table as Markdown, with the warnings below it."""
        header, *rows = self.table()
        lines = [header, ["---"] * len(header), *rows]
        notes = "".join(f"\n- {warning}" for warning in self.warnings)
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + (f"{notes}\n" if notes else "")

    def text(self) -> str:
        """Return the table in aligned columns."""
        lines = self.table()
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


def compare(paths: Sequence[Path], sort: str = "dice") -> Comparison:
    """Read the runs in ``paths`` and set them side by side.

    Raises :class:`seglab.errors.DataError` where a folder is no run with a finished epoch.
    """
    found = [read_run(path) for path in paths]
    recipes = [plain(run.recipe) for run in found]
    differing = [
        key for key in recipes[0] if key not in SHOWN_APART and any(other[key] != recipes[0][key] for other in recipes)
    ]
    rows = [_row(run, {key: recipe[key] for key in differing}) for run, recipe in zip(found, recipes, strict=True)]
    key, highest_first = SORTS[sort]
    order = sorted(range(len(rows)), key=lambda place: rows[place][key], reverse=highest_first)
    return Comparison([rows[place] for place in order], _warnings(found), [found[place] for place in order])


def draw_comparison(path: Path, runs: Sequence[Run]) -> None:
    """Draw validation Dice by epoch of every run, and the best Dice against the number of weights, as a PNG."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError(
            "Pictures need matplotlib; install it with: pip install 'seglab[train]'"
        ) from error

    figure = Figure(figsize=(14, 5), layout="constrained")
    FigureCanvasAgg(figure)
    curves, sizes = figure.subplots(1, 2)
    for run in runs:
        dice = [epoch.val_dice for epoch in run.history]
        label = f"{run.path.name} {run.best.val_dice:.4f}"
        (line,) = curves.plot([epoch.epoch for epoch in run.history], dice, marker=".", label=label)
        weights = run.about.get("parameters", 0) / 1e6
        sizes.plot([weights], [run.best.val_dice], marker="o", color=line.get_color())
        sizes.annotate(run.path.name, (weights, run.best.val_dice), xytext=(6, 3), textcoords="offset points", size=8)
    curves.set(xlabel="epoch", ylabel="validation Dice")
    curves.xaxis.set_major_locator(MaxNLocator(integer=True))
    sizes.set(xlabel="million weights", ylabel="best validation Dice")
    sizes.margins(x=0.25, y=0.1)
    figure.legend(*curves.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    for axes in (curves, sizes):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _row(run: Run, differing: dict[str, Any]) -> dict[str, Any]:
    best = dataclasses.asdict(run.best)
    rates = [row.images_per_second for row in run.timing]
    encoder = run.recipe.encoder if run.recipe.arch != "unet-scratch" else "-"
    return {
        "run": run.path.name,
        "arch": run.recipe.arch,
        "encoder": encoder,
        "S": run.recipe.size,
        "weights": run.about.get("parameters", 0),
        "epochs": f"{len(run.history)}/{run.recipe.epochs}",
        "best": best["epoch"],
        **{key: best[key] for key in ("train_loss", "val_loss", "val_dice", "val_iou")},
        "images/s": float(np.median(rates)) if rates else 0.0,
        **differing,
    }


def _warnings(runs: Sequence[Run]) -> list[str]:
    warnings = [
        f"{run.path.name} is not finished ({len(run.history)} of {run.recipe.epochs} epochs): go on with --resume."
        for run in runs
        if not run.finished
    ]
    validated = {run.path.name: _validated(run) for run in runs}
    first = next(iter(validated.values()))
    others = [name for name, ids in validated.items() if ids != first]
    if others:
        warnings.append(
            f"{', '.join(others)} validated on other images than {runs[0].path.name}: these figures do not compare. "
            "Train with --split-file, or score the checkpoints on one set with `seglab validate`."
        )
    return warnings


def _validated(run: Run) -> frozenset[str]:
    try:
        return read_split(run.path / SPLIT)["validation"]
    except SeglabError:
        return frozenset()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 and value >= 1e-3 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
