"""``seglab compare``: set several runs side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from seglab.cli_support import command_errors
from seglab.commands.common import FOLDER

SOME_UNREADABLE = 1


@click.command()
@click.argument("run", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=FOLDER, help="Folder that gets comparison.md and comparison.png.")
@click.option("--json", "json_file", type=FOLDER, help="Write the rows as JSON; - for stdout.")
@click.option("--sort", type=click.Choice(["dice", "iou", "loss", "name"]), default="dice", help="Best first, by this.")
@command_errors
def compare(run: tuple[Path, ...], out: Path | None, json_file: Path | None, sort: str) -> None:
    """Compare runs: their best epochs, and the settings in which they differ.

    A folder that is no run with a finished epoch is named and left out; the exit code is then 1.

    Example: seglab compare runs/unet runs/fpn --out comparison
    """
    from seglab.evaluation.compare import compare as set_side_by_side
    from seglab.evaluation.compare import draw_comparison
    from seglab.files import write_text

    comparison = set_side_by_side(run, sort)
    values = {"rows": comparison.rows, "warnings": comparison.warnings, "unreadable": comparison.unreadable}
    report = json.dumps({"format_version": 1, **values}, indent=1)
    if out:
        write_text(out / "comparison.md", comparison.markdown())
        draw_comparison(out / "comparison.png", comparison)
    if json_file and str(json_file) != "-":
        write_text(json_file, report + "\n")
    click.echo(report if str(json_file) == "-" else comparison.text())
    for note in comparison.notes():
        click.echo(f"Note: {note}", err=True)
    if comparison.unreadable:
        sys.exit(SOME_UNREADABLE)
