"""``seg-batch``: images in, masks and a ledger out."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from batch.commands.run import run
from seglab import __version__
from seglab.cli_support import CONTEXT, SOME_FAILED, begin_command, command_errors, echo_lines, progress

FILE = click.Path(path_type=Path)


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seg-batch")
def main() -> None:
    """Segment whole archives of images: every image gets a mask or a reason."""
    begin_command()


main.add_command(run)


@main.command()
@click.argument("out", type=FILE)
@click.argument("truth", type=FILE)
@click.option("--json", "json_to", metavar="FILE", help="Write the scores as JSON; - for stdout.")
@click.option("--csv", "csv_to", type=FILE, help="Write a row per image.")
@command_errors
def score(out: Path, truth: Path, json_to: str | None, csv_to: Path | None) -> None:
    """Compare the masks in OUT with TRUTH: a data set, or a folder of truth masks; matched by id.

    Exit code 3: some masks could not be scored.

    Example: seg-batch score masks isic2018 --json scores.json --csv images.csv
    """
    from batch.commands.score import score as compare
    from batch.commands.score import write_csv
    from seglab.files import write_text

    with progress(None, "score", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        report = compare(out, truth, advance)
    if csv_to is not None:
        write_csv(report, csv_to)
    text = json.dumps(report.to_json(), indent=2)
    if json_to is not None and json_to != "-":
        write_text(Path(json_to), text + "\n")
    echo_lines([text] if json_to == "-" else report.lines())
    if not report.is_complete:
        sys.exit(SOME_FAILED)


@main.command()
@click.argument("out", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "all_failures", is_flag=True, help="Show all failures, not the first 20 only.")
@command_errors
def status(out: Path, as_json: bool, all_failures: bool) -> None:
    """Show how far OUT is, with which model and device, how fast, and what failed.

    Example: seg-batch status masks --all
    """
    from batch.commands.status import status_of

    report = status_of(out, all_failures=all_failures)
    echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())


@main.command()
@click.argument("out", type=FILE)
@click.option("--redo", is_flag=True, help="Let the next run make wrong masks again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def verify(out: Path, redo: bool, as_json: bool) -> None:
    """Read every mask in OUT again and compare it with the ledger: is it there, whole, and as it was written?

    Exit code 3: something is missing, wrong or left over.

    Example: seg-batch verify masks --redo
    """
    from batch.commands.verify import verify as compare

    with progress(None, "verify", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        report = compare(out, redo=redo, advance=advance)
    echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())
    if not report.is_whole:
        sys.exit(SOME_FAILED)


@main.command()
@click.argument("out", type=FILE)
@click.argument("file", type=FILE)
@command_errors
def table(out: Path, file: Path) -> None:
    """Write what OUT's ledger knows to FILE, a row an image: .csv, .jsonl or .parquet.

    Example: seg-batch table masks masks.parquet
    """
    from batch.commands.table import write_table

    rows = write_table(out, file)
    click.echo(f"{rows} rows: {file}", err=True)


@main.command()
@click.argument("out", type=FILE)
@click.argument("file", type=FILE)
@click.option("--polygons", is_flag=True, help="Outlines instead of run lengths: holes are lost.")
@command_errors
def contours(out: Path, file: Path, polygons: bool) -> None:
    """Write the masks of OUT to FILE as COCO annotations (JSON), one category: lesion.

    Example: seg-batch contours masks lesions.json
    """
    from batch.commands.contours import write_contours

    with progress(None, "contours", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        report = write_contours(out, file, polygons=polygons, advance=advance)
    click.echo(f"{report.images} images, {report.annotations} with a lesion: {file}", err=True)


@main.command()
@click.option("--model", type=FILE, help="Model to try the devices on.  [default: the one that comes with the package]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def doctor(model: Path | None, as_json: bool) -> None:
    """Show which devices there are, which verify, how fast each runs the model, and what to install for the others.

    Example: seg-batch doctor
    """
    from batch.commands.doctor import examine

    report = examine(model)
    echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())
    if not report.is_usable:
        sys.exit(1)
