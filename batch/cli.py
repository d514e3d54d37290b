"""``seg-batch``: images in, masks and a ledger out."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from batch.commands.cluster.group import cluster
from batch.commands.export import export
from batch.commands.report import report as report_page
from batch.commands.review import review
from batch.commands.run import run
from batch.commands.serve import serve
from batch.errors import printable
from seglab import __version__
from seglab.cli_support import (
    CONTEXT,
    SOME_FAILED,
    CommandGroup,
    NamedPath,
    begin_command,
    command_errors,
    echo,
    echo_lines,
    progress,
)
from seglab.terminal import columns_of
from seglab.words import counted

FILE = NamedPath()


@click.group(cls=CommandGroup, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seg-batch")
def main() -> None:
    """Segment archives of images: every image gets a mask, or a reason why it has none."""
    begin_command()


main.add_command(run)


def _show(as_json: bool, to_json: Callable[[], dict[str, Any]], lines: Iterable[str]) -> None:
    """Print what was found, as JSON or as a person reads it."""
    if as_json:
        click.echo(json.dumps(to_json(), indent=2))
    else:
        echo_lines(lines)


def _counting(bar: Any) -> Callable[[int], None]:
    """Return a function that counts one more on a bar; it takes the total, which may become known late."""

    def advance(total: int) -> None:
        bar.total = total
        bar.update()

    return advance


def _warn(warnings: Iterable[str]) -> None:
    """Print the warnings to stderr, a line each."""
    for warning in warnings:
        echo(f"warning: {warning}", err=True)


@main.command()
@click.argument("out", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--all", "all_failures", is_flag=True, help="Show all failures, not only the first 20.")
@click.option("--failed", is_flag=True, help="Print only the images that failed: path, tab, reason.")
@click.option("-0", "zero", is_flag=True, help="With --failed: print paths only, each followed by a NUL byte.")
@command_errors
def status(out: Path, as_json: bool, all_failures: bool, failed: bool, zero: bool) -> None:
    """Show how much of a run is done, how fast, and what failed.

    To run the failed images again: seg-batch status masks --failed -0 | seg-batch run - --out masks

    Example: seg-batch status masks --all
    """
    from batch.commands.screen.paper import Paper
    from batch.commands.status import failed_lines, failed_paths, status_of
    from batch.outputs.reading import ledger_of

    if (zero and not failed) or (failed and as_json):
        raise click.UsageError(
            "-0 needs --failed, and --failed cannot be combined with --json. Use `--failed`, `--failed -0`, or "
            "`--json --all`, which lists the failures as JSON."
        )
    if failed:
        with ledger_of(out) as ledger:
            if zero:
                sys.stdout.flush()
                sys.stdout.buffer.writelines(failed_paths(ledger))
                sys.stdout.buffer.flush()
            else:
                for line in failed_lines(ledger):
                    click.echo(line)
        return
    report = status_of(out, all_failures=all_failures)
    _show(as_json, report.to_json, report.lines(Paper(columns_of(sys.stdout))))


main.add_command(report_page)
main.add_command(review)


@main.command()
@click.argument("out", type=FILE)
@click.argument("truth", type=FILE)
@click.option("--json", "json_to", metavar="FILE", help="Write the scores as JSON; - for stdout.")
@click.option("--csv", "csv_to", type=FILE, help="Write a row per image.")
@click.option("--report", "page", type=FILE, metavar="FILE", help="Write a page with pictures (.html).")
@command_errors
def score(out: Path, truth: Path, json_to: str | None, csv_to: Path | None, page: Path | None) -> None:
    """Score masks against truth: Dice, IoU and more.

    OUT is the output of a run. TRUTH is a data set, or a folder of truth masks.

    A mask and its truth are paired by id: the file's name without its suffix and without endings such as _segmentation,
    _mask, -gt or _label. Where an id occurs twice, the folders must tell which belong together. Exit code 3: some
    masks could not be scored, or some truths have no mask.

    Example: seg-batch score masks isic2018 --json scores.json --csv images.csv
    """
    from batch.commands.score import require_writable, write_csv
    from batch.commands.score import score as compare
    from batch.reporting.result_file import write_json

    json_file = Path(json_to) if json_to not in (None, "-") else None
    require_writable(json_file, csv_to, page)
    with progress(None, "score", " masks") as bar:
        report = compare(out, truth, _counting(bar), page)
    if csv_to is not None:
        write_csv(report, csv_to)
    if json_file is not None:
        write_json(json_file, report.to_json())
    _show(json_to == "-", report.to_json, report.lines())
    _warn(report.warnings)
    if not report.is_complete:
        sys.exit(SOME_FAILED)


@main.command()
@click.argument("out_a", type=FILE)
@click.argument("out_b", type=FILE)
@click.option("--table", "table_to", type=FILE, help="Write a row per image: .csv, .jsonl or .parquet.")
@click.option("--worst", type=click.IntRange(min=0), default=10, help="Images to list, largest differences first.")
@click.option("--report", "page", type=FILE, metavar="FILE", help="Write a page with pictures (.html).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def compare(out_a: Path, out_b: Path, table_to: Path | None, worst: int, page: Path | None, as_json: bool) -> None:
    """Show how the masks of two outputs differ.

    Both outputs must hold masks of the same images. The comparison shows what the model of OUT_B would change.

    Images are paired by path. If a source was moved, they are paired by the path below it. Two empty masks have a Dice
    and IoU of 1. Exit code 3: a mask is missing, damaged, or differs in size from its partner.

    Example: seg-batch compare masks masks-new --table changes.csv
    """
    from batch.commands.compare import compare as compare_outputs

    with progress(None, "compare", " images") as bar:
        report = compare_outputs(out_a, out_b, table=table_to, worst=worst, page=page, advance=_counting(bar))
    _warn(report.notes)
    _show(as_json, report.to_json, report.lines())
    if not report.is_complete:
        sys.exit(SOME_FAILED)


@main.command()
@click.argument("out", type=FILE)
@click.option("--redo", is_flag=True, help="Mark missing and wrong masks, so that the next run makes them again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def verify(out: Path, redo: bool, as_json: bool) -> None:
    """Check that every mask exists and is complete and unchanged.

    Reads every mask in OUT and compares it with the ledger.

    Exit code 3: a mask is missing or wrong, or a PNG file belongs to no image. Images that failed or are still to be
    done are counted, and do not change the exit code.

    Example: seg-batch verify masks --redo
    """
    from batch.commands.verify import verify as compare

    with progress(None, "verify", " masks") as bar:
        report = compare(out, redo=redo, advance=_counting(bar))
    _show(as_json, report.to_json, report.lines())
    if not report.is_whole:
        sys.exit(SOME_FAILED)


@main.command()
@click.argument("out", type=FILE)
@click.argument("file", type=FILE)
@click.option("--with-names", is_flag=True, help="All columns, though masks have pseudonyms.")
@command_errors
def table(out: Path, file: Path, with_names: bool) -> None:
    """Write a table of all images: CSV, JSON lines or Parquet.

    FILE gets a row per image with what OUT's ledger knows about it. It ends in .csv, .jsonl or .parquet.

    Example: seg-batch table masks masks.parquet
    """
    from batch.commands.table import write_table

    rows = write_table(out, file, with_names=with_names)
    echo(f"{counted(rows, 'row')}: {printable(str(file))}", err=True)


@main.command()
@click.argument("out", type=FILE)
@click.argument("file", type=FILE)
@click.option("--polygons", is_flag=True, help="Write outlines instead of run lengths; holes are lost.")
@command_errors
def contours(out: Path, file: Path, polygons: bool) -> None:
    """Write the masks as COCO annotations (.json).

    There is one category, lesion. Label maps have one category per class. Images are named by their paths below the
    source.

    Example: seg-batch contours masks lesions.json
    """
    from batch.commands.contours import write_contours

    with progress(None, "contours", " masks") as bar:
        report = write_contours(out, file, polygons=polygons, advance=_counting(bar))
    _warn(report.warnings)
    echo(f"{report.line()}: {printable(str(file))}", err=True)


main.add_command(export)


@main.command()
@click.argument("out", type=FILE)
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--files-from", multiple=True, metavar="LIST", help="A list of paths, one per line; - for stdin.")
@click.option("--below", is_flag=True, help="Also forget all images below each PATH: a folder, an archive or a URL.")
@click.option(
    "--purge", is_flag=True, help="Leave no trace: overwrite deleted files, and remove the paths from all runs."
)
@click.option("--overlays", type=FILE, help="Folder of the overlays.  [default: the one that the run wrote to]")
@click.option("--probs", type=FILE, help="Folder of the probability maps.  [default: the one that the run wrote to]")
@click.option("--ignore-missing", is_flag=True, help="Continue if masks or one of these folders are already gone.")
@command_errors
def forget(out: Path, paths: tuple[str, ...], files_from: tuple[str, ...], **options: Any) -> None:
    """Remove images and everything that was made from them.

    Deletes their ledger rows, masks, overlays and probability maps.

    Each PATH is an image as `seg-batch status` and `table` print it, or a path from the working folder. A mask that was
    changed after a run wrote it is kept, and so is its image. Exit code 1: no image is known. 3: some are not known, or
    are kept.

    Example: seg-batch status masks --failed -0 | seg-batch forget masks --files-from -
    """
    from batch.commands.forget import ForgetRequest
    from batch.commands.forget import forget as take_out
    from batch.reporting.spellings import names_in

    if not (paths or files_from):
        raise click.UsageError("No image was named; name at least one PATH, or give --files-from LIST.")
    request = ForgetRequest(out, itertools.chain(paths, names_in(files_from)), **options)
    with progress(None, "forget", " images") as bar:
        report = take_out(request, _counting(bar))
    echo_lines(report.lines())
    if report.is_of_nothing:
        sys.exit(1)
    if not report.is_complete:
        sys.exit(SOME_FAILED)


main.add_command(serve)


@main.command()
@click.option("--model", type=FILE, help="Model to run on the devices.  [default: the one that comes with the package]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def doctor(model: Path | None, as_json: bool) -> None:
    """Show which devices work here, and how fast.

    Each device found is verified and timed with the model. For the others, it says what to install.

    Example: seg-batch doctor
    """
    from batch.commands.doctor import examine

    report = examine(model)
    _show(as_json, report.to_json, report.lines())
    if not report.is_usable:
        sys.exit(1)


main.add_command(cluster)
