"""``seg-batch review``: the review page, a table of its decisions, and corrected masks as a training set."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import click

from seglab.cli_support import SOME_FAILED, NamedPath, command_errors, echo, echo_lines, progress
from seglab.words import counted

FILE = NamedPath()
ONE_TASK = "--decisions and --to are tasks of their own; give one of them, or neither to open the page."
NEEDS_TO = "--import and --accepted need --to FOLDER, the folder for the training set. Name a new one."
NOTHING_TO_TAKE = "--to needs --import DIR (corrected masks), --accepted (accepted masks), or both. Add one."


@click.command()
@click.argument("out", type=FILE)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0: any free one.")
@click.option("--no-browser", is_flag=True, help="Print the address only.")
@click.option("--reviewer", metavar="NAME", help="Name beside your decisions.  [default: your login]")
@click.option(
    "--decisions",
    "table",
    type=FILE,
    metavar="FILE",
    help="Write the verdicts to FILE (.csv, .jsonl, .parquet) and exit.",
)
@click.option("--import", "corrected", type=FILE, metavar="DIR", help="Take corrected masks (PNG) from DIR, and exit.")
@click.option("--accepted", is_flag=True, help="With --to: also take the masks that were accepted.")
@click.option("--to", "folder", type=FILE, metavar="FOLDER", help="Folder for the training set.")
@command_errors
def review(
    out: Path,
    port: int,
    no_browser: bool,
    reviewer: str | None,
    table: Path | None,
    corrected: Path | None,
    accepted: bool,
    folder: Path | None,
) -> None:
    """Look at masks in the browser, accept or reject them.

    The page runs on this machine only, until Ctrl-C. Decisions are kept beside the ledger of OUT, in review.sqlite. A
    mask that is made again is open for review again.

    With --import, corrected masks, named as the masks of OUT or as their photographs, become a training set for
    `seglab train --data FOLDER`. Exit code 3: some of them were not taken.

    Example: seg-batch review masks
    """
    if table is not None and (folder or corrected or accepted):
        raise click.UsageError(ONE_TASK)
    if folder is None and (corrected or accepted):
        raise click.UsageError(NEEDS_TO)
    if folder is not None and not (corrected or accepted):
        raise click.UsageError(NOTHING_TO_TAKE)
    if table is not None:
        rows = _write_decisions(out, table)
        echo(f"{counted(rows, 'image')} with decisions: {table}", err=True)
    elif folder is not None:
        _take_in(out, corrected, folder, accepted=accepted)
    else:
        _serve(out, port, reviewer or _login(), with_browser=not no_browser)


def _serve(out: Path, port: int, reviewer: str, *, with_browser: bool) -> None:
    from batch.outputs.reading import output_of
    from batch.web.server import needs_web

    with needs_web():
        from batch.review.server import open_browser, serve

    def on_ready(address: str) -> None:
        click.echo(address)
        sys.stdout.flush()
        opened = with_browser and open_browser(address)
        echo(f"{'Opened in the browser' if opened else 'Open this address in a browser'}; Ctrl-C ends it.", err=True)

    serve(output_of(out), port, reviewer, on_ready)


def _take_in(out: Path, corrected: Path | None, folder: Path, *, accepted: bool) -> None:
    from batch.outputs.reading import output_of
    from batch.review.importing import take_in

    with progress(None, "import", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        report = take_in(output_of(out), corrected, folder, accepted=accepted, advance=advance)
    echo_lines(report.lines())
    if not report.is_complete:
        sys.exit(SOME_FAILED)


def _write_decisions(out: Path, file: Path) -> int:
    from batch.outputs.reading import output_of
    from batch.review.table import write_decisions

    return write_decisions(output_of(out), file)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        return "unknown"
