"""``seg-batch report``: write the page of an output, also at the end of a run."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batch.errors import printable
from seglab.cli_support import NamedPath, command_errors, echo
from seglab.errors import SeglabError

if TYPE_CHECKING:
    from batch.outputs.spec import Output


@click.command()
@click.argument("out", type=NamedPath())
@click.option("--no-pictures", is_flag=True, help="Leave photographs out.")
@click.option(
    "--to", type=NamedPath(), metavar="FILE", help="Write to FILE (.html).  [default: report.html beside the ledger]"
)
@command_errors
def report(out: Path, no_pictures: bool, to: Path | None) -> None:
    """Write a page that shows an output, with pictures (.html).

    One file for a browser, which needs no network: counts, distributions, failures by reason, the model, pictures of
    doubtful masks and of 50 at random. `seg-batch run` writes it at its end. A file that this tool did not write is
    kept.

    Example: seg-batch report masks --no-pictures --to masks.html
    """
    echo(f"report: {printable(str(write_report(out, pictures=not no_pictures, to=to)))}", err=True)


def write_report(out: Path | Output, *, pictures: bool = True, to: Path | None = None, in_place: bool = False) -> Path:
    """Write the page of an output beside its ledger, or ``to`` another file, and return its path. ``pictures``: with
    galleries.

    Raises :class:`batch.errors.OutputError` if there is no ledger, or the file is somebody else's or cannot be written,
    and :class:`seglab.errors.ConfigError` for a suffix other than .html.
    """
    from batch.ledger.reader import LedgerReader
    from batch.outputs.reading import output_of
    from batch.reporting.pages.page_file import RUN, report_path, require_page, write_page
    from batch.reporting.pages.run_page import run_page  # with OpenCV

    output = output_of(out) if isinstance(out, Path) else out
    path = report_path(output) if to is None else to
    with LedgerReader(output.state, in_place=in_place):  # no ledger is the first thing to say
        require_page(path, RUN)
    write_page(path, run_page(output, pictures=pictures, in_place=in_place), RUN)
    return path


def load_page() -> None:
    """Import what draws a page; an error shows when the page is drawn."""
    with contextlib.suppress(Exception):
        from batch.reporting.pages import run_page
        from seglab.pages.page import Page, html_of

        html_of(Page(run_page.__name__, "", [], ""))


def report_of_run(output: Output, *, did_work: bool, pictures: bool) -> Path | None:
    """Write the page at the end of a run and return its path; None if it was not written, for a reason that is printed.

    A run that did no work keeps the page that there is.
    """
    try:
        from batch.reporting.pages.page_file import is_written, report_path
        from seglab.files import remove_abandoned

        if not did_work and is_written(output):
            remove_abandoned(report_path(output))
            return None
        return write_report(output, pictures=pictures, in_place=True)  # a copy would be left if this is killed
    except SeglabError as error:
        reason = str(error)
    except Exception as error:  # the masks are done and recorded: nothing here may change how the run ends
        reason = f"{type(error).__name__}: {error}. Run `seg-batch report` to try again."
    echo(f"warning: the report was not written: {reason}", err=True)
    return None
