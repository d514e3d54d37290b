"""``seglab validate``: score a checkpoint against truth masks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import SOME_FAILED, command_errors, echo, echo_lines
from seglab.commands.common import FOLDER, DataNamed, data_options
from seglab.commands.places import STDOUT, json_with, require_outputs, table_of
from seglab.commands.runs.validation import PAGE, draw, validate_checkpoint
from seglab.commands.score_table import score_table
from seglab.files import json_text, write_text
from seglab.words import counted

if TYPE_CHECKING:
    from seglab.evaluation.validate import Verdict

REPORT = json_with("checkpoint", "scores", words="scores that seglab wrote")
SCORES = table_of("image", "dice", words="a table of scores that seglab wrote")


@click.command()
@click.argument("checkpoint", type=FOLDER, metavar="CKPT")
@data_options(required=False)
@click.option(
    "--part", type=click.Choice(["training", "validation", "test", "all"]), default="validation",
    help="Part of the split to score, or all pairs.",
)  # fmt: skip
@click.option(
    "--split", "split_file", type=FOLDER,
    help="split.json of a run.  [default: the split in the checkpoint, else the split.json beside it]",
)  # fmt: skip
@click.option(
    "--tta", type=click.Choice(["none", "flips", "symmetries"]),
    help="Average over mirror images, or over all eight symmetries.  [default: as the checkpoint says]",
)  # fmt: skip
@click.option(
    "--boundary/--no-boundary", default=True, help="Measure outlines, too: 95 % Hausdorff distance and boundary IoU."
)
@click.option("--json", "json_file", type=FOLDER, help="Write the figures as JSON; - for stdout.")
@click.option("--csv", "csv_file", type=FOLDER, help="Write a CSV with a row per image.")
@click.option(
    "--figures", type=FOLDER,
    help="Folder for overlays (mask cyan, truth amber), sheets of best, median and worst, the confusion matrix, and "
    "report.html.",
)  # fmt: skip
@click.option("--report", type=FOLDER, help="Write one page with scores, charts and images, an .html file.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def validate(
    checkpoint: Path,
    named: DataNamed,
    part: str,
    split_file: Path | None,
    tta: str | None,
    boundary: bool,
    json_file: Path | None,
    csv_file: Path | None,
    figures: Path | None,
    report: Path | None,
    device: str,
) -> None:
    """Score a trained network against the truth masks.

    CKPT is a checkpoint, or the folder of a run, which stands for its best checkpoint. Images are scored at their own
    sizes. Without --data, the data of the run are scored. Images that cannot be scored are listed, and the exit code
    is then 3.

    \b
    Example:
      seglab validate runs/quick --csv scores.csv --figures pictures
      seglab validate runs/quick --part test --report test.html
    """
    require_outputs({"--json": (json_file, REPORT), "--csv": (csv_file, SCORES), "--report": (report, PAGE)})
    from seglab.training.run_folder import write_csv

    found = validate_checkpoint(
        checkpoint, named,
        part=part, split_file=split_file, tta=tta, boundary=boundary, figures=figures, device=device,
    )  # fmt: skip
    if csv_file:
        write_csv(csv_file, found.verdict.rows())
    _say(found.report(), found.verdict, json_file)
    if found.unwritten:
        raise found.unwritten
    draw(found, figures, report)
    if found.failed:
        echo(f"{len(found.failed):,} of {counted(len(found.pairs.pairs), 'image')} could not be scored.", err=True)
        sys.exit(SOME_FAILED)


def _say(report: dict[str, Any], verdict: Verdict, json_file: Path | None) -> None:
    """Print the table of scores and write the report to ``json_file``; with ``--json -`` print the report instead."""
    if json_file and str(json_file) != STDOUT:
        write_text(json_file, json_text(report))
    if str(json_file) == STDOUT:
        click.echo(json_text(report), nl=False)
    else:
        echo_lines(score_table(verdict.summary(), verdict.intervals()))
