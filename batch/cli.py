"""``seg-batch``: images in, masks and a ledger out."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab import __version__
from seglab.cli_support import CONTEXT, command_errors, progress, stop_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.ledger.records import Result
    from batch.running.runner import Runner
    from batch.settings import RunSettings

SOME_FAILED = 3
FAILURES_SHOWN = 10
FILE = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seg-batch")
def main() -> None:
    """Segment whole archives of images: every image gets a mask or a reason."""
    stop_on_sigterm()


@main.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--files-from", multiple=True, metavar="LIST", help="A list of files, one a line; - for stdin.")
@click.option("--out", required=True, metavar="OUT", help="Folder, .zip, .tar or URL for the masks.")
@click.option("--ledger", type=FILE, metavar="DIR", help="Folder for the ledger.  [default: OUT, or beside an archive]")
@click.option("--model", type=FILE, help="Model file.  [default: the one that comes with the package]")
@click.option("--device", default="auto", help="auto, cpu, openvino, cuda, cuda:K or tensorrt; several by commas.")
@click.option(
    "--compute",
    type=click.Choice(["fp32", "bf16"]),
    help="Arithmetic of a float model.  [default: bf16 where the CPU has it and it passes its gate, else fp32]",
)
@click.option("--exact", is_flag=True, help="Decode whole images and resize inside the model: slower, the reference.")
@click.option("--name", default="{stem}.png", help="Template of mask names; fields {stem}, {name}, {suffix}.")
@click.option("--mask-bits", type=click.Choice(["1", "8"]), default="1", help="Bits a pixel; both read as 0/255.")
@click.option("--postprocess", metavar="STEPS", help="Of each mask: largest (region only), fill (holes), largest,fill.")
@click.option("--overlays", type=FILE, help="Folder for pictures of the images with their lesions outlined.")
@click.option("--probs", type=FILE, help="Folder for probability maps, at the images' sizes.")
@click.option("--probs-format", type=click.Choice(["png", "npy"]), default="png", help="16-bit PNG, or float16.")
@click.option("--table", type=FILE, help="Write the table at the end: .csv, .jsonl or .parquet.")
@click.option("--contours", type=FILE, help="Write the lesions at the end: COCO JSON, run lengths.")
@click.option("--batch", type=POSITIVE, help="Images a model call.  [default: chosen by the device]")
@click.option(
    "--workers",
    type=POSITIVE,
    help="Decoding and writing threads, each.  [default: one a core; none in a process with one core]",
)
@click.option("--processes", type=POSITIVE, help="Processes a device.  [default: one a core, or one a GPU]")
@click.option("--limit", type=POSITIVE, help="Stop after so many images.  [default: all]")
@click.option("--max-pixels", type=POSITIVE, default=400_000_000, show_default=True, help="Most of an image.")
@click.option("--max-failures", metavar="N|P%", help="Give up where more images fail.  [default: never]")
@click.option("--dry-run", is_flag=True, help="Count, look at a sample, estimate the time; write nothing.")
@click.option("--profile", type=FILE, metavar="FILE", help="Write what each thread did when, for ui.perfetto.dev.")
@command_errors
def run(dry_run: bool, table: Path | None, contours: Path | None, **options: Any) -> None:
    """Write a mask for every image of the SOURCEs: folders (with all below), files, quoted patterns, archives (.zip,
    .tar, .tar.gz and so on, without unpacking), URLs (s3://, gs://, https://), or - for a tar or a list of files on
    standard input.

    Run the same command again to go on where it stopped, or to do what is new or changed. Exit code 3: finished, but
    some images failed; `seg-batch status OUT` names them.

    Example: seg-batch run photos 'more/**/*.jpg' ISIC.zip --out masks --overlays pictures
    """
    from batch.commands.contours import require_coco, write_contours
    from batch.commands.table import write_table, writer_for
    from batch.running.runner import Runner
    from batch.settings import RunSettings

    options["mask_bits"] = int(options["mask_bits"])
    options["postprocess"] = tuple(filter(None, (options["postprocess"] or "").split(",")))
    settings = RunSettings(**options)
    if table is not None:
        writer_for(table)  # to fail before the work, not after it
    if contours is not None:
        require_coco()
    if dry_run:
        _forecast(settings)
        return
    runner = Runner(settings)
    failures: list[Result] = []
    try:
        with _orderly_stop(runner), contextlib.closing(iter(runner)) as results:
            _watch(runner, results, failures)
    finally:
        if runner.report.device:  # it got as far as that
            _say_end(runner, failures)
    if runner.report.interrupted:
        raise KeyboardInterrupt
    if table is not None:
        write_table(runner.output.state, table)
    if contours is not None:
        write_contours(runner.output.state, contours)
    if not runner.report.is_complete:
        sys.exit(SOME_FAILED)


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
    _echo_lines([text] if json_to == "-" else report.lines())
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
    _echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())


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
    _echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())
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
    _echo_lines([json.dumps(report.to_json(), indent=2)] if as_json else report.lines())
    if not report.is_usable:
        sys.exit(1)


def _forecast(settings: RunSettings) -> None:
    from batch.running.forecast import forecast

    _echo_lines(forecast(settings).lines())


@contextlib.contextmanager
def _orderly_stop(runner: Runner) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the run between two results; a second one does not wait."""
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if not runner.stop():
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(runner: Runner, results: Iterable[Result], failures: list[Result]) -> None:
    """Go through the results with a progress bar whose total is counted on the side."""
    from batch.ledger.records import Status

    with progress(None, "segment", " images") as bar:
        stopped = threading.Event()
        if not bar.disable:
            threading.Thread(target=_count, args=(runner, bar, stopped), daemon=True).start()
        try:
            for result in results:
                if result.status is Status.SKIPPED and not bar.disable:  # no work: it must not show in the rate
                    bar.n, bar.initial, bar.last_print_n = bar.n + 1, bar.initial + 1, bar.last_print_n + 1
                    bar.update(0)
                else:
                    bar.update()
                if result.status is Status.FAILED and len(failures) < FAILURES_SHOWN:
                    failures.append(result)
        finally:
            stopped.set()


def _count(runner: Runner, bar: Any, stopped: threading.Event) -> None:
    bar.total = runner.sources.count(stopped.is_set)


def _say_end(runner: Runner, failures: list[Result]) -> None:
    from batch.errors import printable

    report = runner.report
    for result in failures:
        click.echo(f"failed: {printable(result.path)}: {printable(result.error or '')}", err=True)
    if report.failed > len(failures):
        click.echo(f"and {report.failed - len(failures)} more: seg-batch status {report.masks} --all", err=True)
    if not report.total and not report.interrupted:
        click.echo("No images found.", err=True)
    for line in report.lines():
        click.echo(line, err=True)


def _echo_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
