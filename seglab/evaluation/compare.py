"""Comparison of several runs: a table, and a picture of their curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.splits import read_split
from seglab.errors import DataError, MissingDependencyError, SeglabError
from seglab.files import replacing
from seglab.images.formats import PICTURE_MARK
from seglab.recipes.recipe import OWN_ARCHITECTURES
from seglab.terminal import aligned
from seglab.training.run_folder import SPLIT, Run, plain, read_run
from seglab.words import counted

SHOWN_APART = ("arch", "encoder", "size", "epochs", "workers")
"""Settings that have their own column or do not affect the result."""
FILES = ("encoder_weights", "init")
"""Settings that name files; the table shows only the file names."""
SORTS = {"dice": ("val_dice", True), "iou": ("val_iou", True), "loss": ("val_loss", False), "name": ("run", False)}
ONE_RUN = "{name} is the only run, so there is nothing to compare. Name a second one: seglab compare RUN RUN"
LINES = ("-", "--", ":", "-.")
COLOURS = 10
"""Colours in matplotlib's cycle; after so many runs the line style changes."""


@dataclass(frozen=True)
class Comparison:
    """``rows`` with the figures of the ``runs``, in the same order.

    ``warnings``: reasons why figures may not compare. ``unreadable``: why a folder has no row, by its path.
    """

    rows: list[dict[str, Any]]
    runs: list[Run]
    warnings: list[str]
    unreadable: dict[str, str]

    def table(self) -> list[list[str]]:
        """Return header and rows as text."""
        header = list(self.rows[0])
        return [header, *([_text(key, row[key]) for key in header] for row in self.rows)]

    def notes(self) -> list[str]:
        """Return the warnings, and the reasons why folders have no row."""
        return [*self.warnings, *(f"left out: {reason}" for reason in self.unreadable.values())]

    def markdown(self) -> str:
        """Return the table as Markdown, with the notes below it."""
        header, *rows = self.table()
        lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, ["---"] * len(header), *rows)]
        notes = "".join(f"\n- {note}" for note in self.notes())
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n" + (f"{notes}\n" if notes else "")

    def text(self) -> str:
        """Return the table with aligned columns, numbers on the right."""
        right = [any(isinstance(row[key], (int, float)) for row in self.rows) for key in self.rows[0]]
        return "\n".join(aligned(self.table(), [place for place, is_number in enumerate(right) if is_number]))


def compare(paths: Sequence[Path], sort: str = "dice") -> Comparison:
    """Read the runs in ``paths`` and return their comparison, sorted by a key of :data:`SORTS`, best first.

    Raises :class:`DataError` where none of the folders is a run with a finished epoch.
    """
    found, unreadable = _read(paths)
    if not found:
        raise DataError(next(iter(unreadable.values())))
    recipes = [plain(run.recipe) for run in found]
    differing = [
        key for key in recipes[0] if key not in SHOWN_APART and any(other[key] != recipes[0][key] for other in recipes)
    ]
    names = names_of([run.path for run in found])
    rows = [_row(name, run, differing) for name, run in zip(names, found, strict=True)]
    key, highest_first = SORTS[sort]
    order = sorted(range(len(rows)), key=lambda place: rows[place][key], reverse=highest_first)
    return Comparison(
        [rows[place] for place in order], [found[place] for place in order], _warnings(names, found), unreadable
    )


def draw_comparison(path: Path, comparison: Comparison) -> None:
    """Draw as a PNG: validation Dice by epoch for every run, and best Dice against the number of weights."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingDependencyError(
            "Pictures need matplotlib; install it with: pip install 'seglab[train]'"
        ) from error

    figure = Figure(figsize=(15, max(5.0, 0.25 * len(comparison.rows))), layout="constrained")
    FigureCanvasAgg(figure)
    curves, sizes = figure.subplots(1, 2)
    for place, (row, run) in enumerate(zip(comparison.rows, comparison.runs, strict=True)):
        colour, line = f"C{place % COLOURS}", LINES[place // COLOURS % len(LINES)]
        epochs, dice = zip(*((epoch.epoch, epoch.val_dice) for epoch in run.history), strict=True)
        label = f"{place + 1}  {row['run']}  {row['val_dice']:.4f}"
        curves.plot(epochs, dice, line, marker=".", color=colour, label=label)
        if row["weights"]:
            point = row["weights"] / 1e6, row["val_dice"]
            sizes.plot(*point, "o", color=colour)
            sizes.annotate(str(place + 1), point, xytext=(5, 4), textcoords="offset points", size=9, color=colour)
    curves.set(xlabel="epoch", ylabel="validation Dice")
    curves.xaxis.set_major_locator(MaxNLocator(integer=True))
    sizes.set(xlabel="million weights", ylabel="best validation Dice")
    sizes.margins(0.1)
    figure.legend(*curves.get_legend_handles_labels(), loc="outside right upper", fontsize=9, title="run, best Dice")
    if len(comparison.rows) == 1:
        figure.suptitle(f"One run only, nothing to compare: {comparison.rows[0]['run']}")
    for axes in (curves, sizes):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Comment": PICTURE_MARK.decode()})


def _read(paths: Sequence[Path]) -> tuple[list[Run], dict[str, str]]:
    """Return the runs that can be read, and the reasons for the others by path."""
    found: list[Run] = []
    unreadable: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        try:
            found.append(read_run(path))
        except SeglabError as error:
            unreadable[str(path)] = str(error)
    return found, unreadable


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings that distinguish the paths."""
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts))):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _row(name: str, run: Run, differing: Sequence[str]) -> dict[str, Any]:
    best = dataclasses.asdict(run.best)
    recipe = plain(run.recipe)
    rates = [row.images_per_second for row in run.timing]
    return {
        "run": name,
        "arch": run.recipe.arch,
        "encoder": run.recipe.encoder if run.recipe.arch not in OWN_ARCHITECTURES else "-",
        "S": run.recipe.size,
        "weights": run.about.get("parameters"),
        "epochs": f"{len(run.history)}/{run.recipe.epochs}",
        "best": best["epoch"],
        **{key: best[key] for key in ("train_loss", "val_loss", "val_dice", "val_iou")},
        "images/s": float(np.median(rates)) if rates else None,
        **{key: recipe[key] for key in differing},
    }


def _warnings(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    warnings = [
        f"{name} is not finished ({len(run.history):,} of {counted(run.recipe.epochs, 'epoch')}): continue with "
        "--resume."
        for name, run in zip(names, runs, strict=True)
        if not run.finished
    ]
    if len(runs) == 1:
        warnings.append(ONE_RUN.format(name=names[0]))
    warnings += _other_images(names, runs)
    if len({run.recipe.size for run in runs}) > 1:
        warnings.append("Dice and IoU are at each run's own size; `seglab validate` scores at the images' sizes.")
    if len({run.recipe.loss for run in runs}) > 1:
        warnings.append("The runs have different loss functions: train_loss and val_loss are not comparable.")
    return warnings


def _other_images(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    validated = [_validated(run) for run in runs]
    warnings = []
    unknown = [name for name, ids in zip(names, validated, strict=True) if ids is None]
    if unknown:
        warnings.append(
            f"{', '.join(unknown)}: no {SPLIT} says on which images it validated; scores may not be comparable."
        )
    known = [(name, ids) for name, ids in zip(names, validated, strict=True) if ids is not None]
    others = [name for name, ids in known if ids != known[0][1]]
    if others:
        warnings.append(
            f"{', '.join(others)} validated on other images than {known[0][0]}: these scores are not comparable. "
            "Train with --split-file, or score the checkpoints on the same set with `seglab validate`."
        )
    return warnings


def _validated(run: Run) -> frozenset[str] | None:
    try:
        return frozenset(read_split(run.path / SPLIT)["validation"])
    except SeglabError:
        return None


def _text(key: str, value: Any) -> str:
    if value is None or value == "":
        return "-"
    if key in FILES:
        return Path(value).name
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
