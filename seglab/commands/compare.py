"""``seglab compare``: a table of several runs, and paired comparisons of their scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import command_errors, echo
from seglab.commands.common import FOLDER
from seglab.commands.places import PICTURE, json_with, page_with, require_outputs, text_with
from seglab.evaluation.pages.files import COMPARE, mark_of, write_page

if TYPE_CHECKING:
    from seglab.evaluation.compare import Comparison
    from seglab.evaluation.paired import Paired

SOME_UNREADABLE = 1
MARK = "<!-- by seglab compare -->"
"""First line of comparison.md; a file with it may be replaced."""
REPORT = json_with("format_version", "paired", words="a report of seglab compare")
PAGE = page_with(mark_of(COMPARE), "a page of seglab compare")
NO_SCORES = (
    "{name} has no scores per image, so it is not compared image by image. To score it: seglab validate RUN/best.pt "
    "--data SET --csv RUN/scores.csv"
)


@click.command()
@click.argument("run", type=FOLDER, nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=FOLDER, help="Folder that gets comparison.md and comparison.png.")
@click.option("--json", "json_file", type=FOLDER, help="Write the rows as JSON; - for stdout.")
@click.option("--report", type=FOLDER, help="Write one page with tables and charts, an .html file.")
@click.option(
    "--sort",
    type=click.Choice(["dice", "iou", "loss", "name"]),
    default="dice",
    help="Sort the rows by this, best first.",
)
@command_errors
def compare(run: tuple[Path, ...], out: Path | None, json_file: Path | None, report: Path | None, sort: str) -> None:
    """Compare runs: scores, settings, and which is better.

    The table shows the best epoch of each run and the settings that differ. The first run is compared with each of the
    others.

    RUN is the folder of a run or of a cross-validation, or a table of scores (.csv) that `seglab validate` or
    `seg-batch score` wrote. Scores are compared on the images that both have: the differences in Dice and IoU with
    95 % intervals, by a paired bootstrap over lesions.

    A folder without a finished epoch is reported and left out. The exit code is then 1.

    \b
    Example:
      seglab compare runs/unet runs/fpn --out comparison
      seglab compare unet.csv fpn.csv --report unet-fpn.html
    """
    from seglab.evaluation.compare import draw_comparison
    from seglab.evaluation.pages.comparison import comparison_page
    from seglab.files import json_text, require_folder, write_text

    if out:
        require_folder(out, "--out")
        table = text_with(MARK, "a table of seglab compare")
        require_outputs({"--out": (out / "comparison.md", table), "--out's picture": (out / "comparison.png", PICTURE)})
    require_outputs({"--json": (json_file, REPORT), "--report": (report, PAGE)})
    comparison = _side_by_side(run, sort)
    paired, notes = _paired(run)
    if comparison:
        notes = [*comparison.notes(), *notes]
    text = json_text(_report(comparison, paired))
    if report:
        write_page(report, comparison_page(comparison, paired, notes))
    if out:
        write_text(out / "comparison.md", _markdown(comparison, paired))
        if comparison:
            draw_comparison(out / "comparison.png", comparison)
    if json_file and str(json_file) != "-":
        write_text(json_file, text)
    if str(json_file) == "-":
        click.echo(text.rstrip())
    else:
        _show(comparison, paired)
    for note in notes:
        echo(f"Note: {note}", err=True)
    if comparison and comparison.unreadable:
        sys.exit(SOME_UNREADABLE)


def _side_by_side(paths: Sequence[Path], sort: str) -> Comparison | None:
    """Return the table of the runs; None where all paths are tables of scores."""
    from seglab.evaluation.compare import compare as set_side_by_side
    from seglab.evaluation.paired import scores_file
    from seglab.training.run_folder import SETTINGS

    runs = [path for path in paths if (path / SETTINGS).exists() or scores_file(path) is None]
    return set_side_by_side(runs, sort) if runs else None


def _paired(paths: Sequence[Path]) -> tuple[list[Paired], list[str]]:
    """Compare the first path with each of the others; return the results, and messages for those not compared."""
    from seglab.errors import DataError
    from seglab.evaluation.compare import names_of
    from seglab.evaluation.paired import compare_paired, read_scores, scores_file

    paths = list(dict.fromkeys(paths))
    named = dict(zip(names_of(paths), map(scores_file, paths), strict=True)) if len(paths) > 1 else {}
    scored = [read_scores(file, name) for name, file in named.items() if file]
    notes = [NO_SCORES.format(name=name) for name, file in named.items() if not file]
    found = []
    for other in scored[1:]:
        try:
            found.append(compare_paired(scored[0], other))
        except DataError as error:
            if len(paths) == 2 and not any(path.is_dir() for path in paths):
                raise
            notes.append(str(error))
    return found, notes


def _report(comparison: Comparison | None, paired: Sequence[Paired]) -> dict[str, Any]:
    report: dict[str, Any] = {"format_version": 1}
    if comparison:
        report |= {"rows": comparison.rows, "warnings": comparison.warnings, "unreadable": comparison.unreadable}
    return {**report, "paired": [found.to_json() for found in paired]}


def _show(comparison: Comparison | None, paired: Sequence[Paired]) -> None:
    if comparison:
        click.echo(comparison.text())
    for place, found in enumerate(paired):
        echo("\n" * bool(comparison or place) + "\n".join(found.lines()))


def _markdown(comparison: Comparison | None, paired: Sequence[Paired]) -> str:
    parts = [comparison.markdown()] if comparison else []
    return f"{MARK}\n\n" + "\n".join([*parts, *("```\n" + "\n".join(found.lines()) + "\n```\n" for found in paired)])
