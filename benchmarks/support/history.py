"""What was measured of one commit after another: lines of JSON, and the plot of them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from seglab.files import replacing, write_text

Entry = dict[str, Any]
"""A line: commit, base, machine, and a row for each way (see :mod:`benchmarks.track`)."""


def read(path: Path) -> list[Entry]:
    """Return the entries, oldest first; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, entry: Entry) -> None:
    """Add an entry at the end."""
    before = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, before + json.dumps(entry) + "\n")


def plot(entries: list[Entry], path: Path) -> None:
    """Draw throughput, as times the PyTorch loop of the same machine, and Dice over commits: a line a way."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    speed, dice = figure.subplots(2, 1, sharex=True)
    for axes, column, title in (
        (speed, "times_loop", "images a second, whole command: times the PyTorch loop on the same machine"),
        (dice, "dice", "mean Dice against the truth"),
    ):
        lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, entry in enumerate(entries):
            for row in entry["rows"]:
                if row.get(column) is not None:
                    lines[f"{row['device']} {row['precision']}"].append((place, row[column]))
        for label, points in sorted(lines.items()):
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label)
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    speed.set_ylim(bottom=0)
    speed.axhline(1, color="grey", linewidth=1, linestyle="--", label="PyTorch loop")
    dice.yaxis.set_major_locator(MaxNLocator(6))
    dice.ticklabel_format(axis="y", useOffset=False)
    dice.set_xticks(
        range(len(entries)), [entry["commit"][:7] for entry in entries], rotation=45, ha="right", fontsize=8
    )
    speed.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
