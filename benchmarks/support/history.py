"""The history of measurements by commit: lines of JSON, and their plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seglab.files import replacing, write_text

LEAST_SPAN = 0.02
"""Of the axis of Dice, so that noise does not look like news."""
Entry = dict[str, Any]
"""A line: commit, base, machine, and a row for each way (see :mod:`benchmarks.track`)."""


def read(path: Path) -> list[Entry]:
    """Return the entries, oldest first; none if there is no file. Raises ValueError for a line without an entry."""
    entries = []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or not {"commit", "base", "rows"} <= entry.keys():
            raise ValueError(f"{path}, line {number}, is no entry; expected a JSON object. Remove that line.")
        entries.append(entry)
    return entries


def append(path: Path, entry: Entry) -> None:
    """Add an entry at the end."""
    before = path.read_text() if path.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, before + json.dumps(entry) + "\n")


def speeds(entries: list[Entry]) -> list[dict[str, float]]:
    """Return for each entry how fast its ways were: times the PyTorch loop where a way comes first, from then on as the
    entry of its base times the measured ratio. What two jobs measured apart is not comparable; a ratio of pairs is.
    """
    found: list[dict[str, float]] = []
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        base = found[places[entry["base"]]] if entry["base"] in places else {}
        rows = {label(row): row for row in entry["rows"] if row.get("times_loop") is not None}
        found.append({way: base[way] * row["ratio"] if way in base else row["times_loop"] for way, row in rows.items()})
        places[entry["commit"]] = place
    return found


def label(row: dict[str, Any]) -> str:
    """Return the name of a way."""
    return f"{row['device']} {row['precision']}"


def plot(entries: list[Entry], path: Path) -> None:
    """Draw throughput and Dice over commits: a line a way."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    speed, dice = figure.subplots(2, 1, sharex=True)
    _lines(speed, speeds(entries))
    _lines(dice, [{label(row): row["dice"] for row in entry["rows"] if "dice" in row} for entry in entries])
    speed.set_title("throughput of the whole command; the PyTorch loop is 1", fontsize=10, loc="left")
    dice.set_title("mean Dice against the truth", fontsize=10, loc="left")
    speed.set_ylim(bottom=0)
    speed.axhline(1, color="grey", linewidth=1, linestyle="--")
    low, high = dice.get_ylim()
    dice.set_ylim(min(low, (low + high) / 2 - LEAST_SPAN / 2), max(high, (low + high) / 2 + LEAST_SPAN / 2))
    names = [entry["commit"][:7] for entry in entries]
    dice.set_xticks(range(len(entries)), names, rotation=45, ha="right", fontsize=8)
    speed.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _lines(axes: Any, entries: list[dict[str, float]]) -> None:
    """Draw a line for each name, through the entries that have it."""
    for name in sorted({name for entry in entries for name in entry}):
        points = [(place, entry[name]) for place, entry in enumerate(entries) if name in entry]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name, alpha=0.8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
