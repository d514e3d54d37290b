"""``seg-batch run``: options, the progress bar, an orderly stop, what is said at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import SOME_FAILED, command_errors, echo_lines, progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batch.commands.progress_lines import ProgressLines
    from batch.ledger.records import Result
    from batch.running.runner import Runner
    from batch.settings import RunSettings

FAILURES_SHOWN = 10
FILE = click.Path(path_type=Path)
POSITIVE = click.IntRange(min=1)


@click.command()
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
@click.option(
    "--mask-bits",
    type=click.Choice(["8", "1"]),
    help="Bits a pixel; 1 is read as 0 and 1 by some programs.  [default: as the last run into OUT, or 8]",
)
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
@click.option("--sample", type=POSITIVE, metavar="N", help="Do only N images, drawn evenly from all.  [default: all]")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="S", help="Of --sample: the same seed, the same images.  [default: 0]"
)
@click.option("--max-pixels", type=POSITIVE, default=400_000_000, show_default=True, help="Most of an image.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True, metavar="SECONDS",
    help="An image that takes longer, twice, has failed.",
)  # fmt: skip
@click.option("--max-failures", metavar="N|P%", help="Give up where more images fail.  [default: never]")
@click.option(
    "--checksum", is_flag=True, help="Know images by their SHA-256, not by size and time of change: reads all of them."
)
@click.option("--zip-encoding", metavar="NAME", help="Of names in zips that are not UTF-8: gbk, cp866 or so.")
@click.option(
    "--any-dicom", is_flag=True, help="Also take DICOM images that are not photographs: CT, MR, X-ray, ultrasound."
)
@click.option("--dry-run", is_flag=True, help="Count, look at a sample, estimate the time; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print progress as JSON lines; with --dry-run, one object.")
@click.option("--profile", type=FILE, metavar="FILE", help="Write what each thread did when, for ui.perfetto.dev.")
@command_errors
def run(dry_run: bool, as_json: bool, table: Path | None, contours: Path | None, **options: Any) -> None:
    """Write a mask for every image of the SOURCEs: folders (with all below), files, quoted patterns, archives (.zip,
    .tar, .tar.gz and so on, without unpacking), URLs (s3://, gs://, https://), or - for a tar or a list of files on
    standard input.

    Run the same command again to go on where it stopped, or to do what is new or changed. Exit code 3: finished, but
    some images failed; `seg-batch status OUT` names them.

    Example: seg-batch run photos 'more/**/*.jpg' ISIC.zip --out masks --overlays pictures
    """
    if options["seed"] is not None and options["sample"] is None:
        raise click.UsageError("--seed was given without --sample; expected both. Add --sample N, or leave out --seed.")
    if dry_run:
        _forecast(options, as_json=as_json)
    elif as_json:
        from batch.commands.progress_lines import progress_lines

        with progress_lines() as lines:
            _run(options, table, contours, lines)
    else:
        _run(options, table, contours, None)


def _run(options: dict[str, Any], table: Path | None, contours: Path | None, lines: ProgressLines | None) -> None:
    """Do the run. ``lines``: where its progress goes instead of the bar and the summary."""
    from batch.commands.contours import write_contours
    from batch.commands.table import write_table
    from batch.running.runner import Runner

    settings = _settings(options)
    _require_files(table, contours, settings.profile)
    runner = Runner(settings)
    for line in runner.sources.report.unreadable:  # the others are done; at the end it is said again
        click.echo(f"not readable: {line}", err=True)
    failures: list[Result] = []
    try:
        with _orderly_stop(runner), contextlib.closing(iter(runner)) as results:
            if lines is None:
                _watch(runner, results, failures)
            else:
                lines.watch(runner, results)
    finally:
        if lines is None and runner.report.device:  # it got as far as that
            _say_end(runner, failures)
    if runner.report.interrupted:
        _leave(runner)
    if table is not None:
        write_table(runner.output.state, table)
    if contours is not None:
        write_contours(runner.output.state, contours)
    if not runner.report.is_complete:
        sys.exit(SOME_FAILED)


def _leave(runner: Runner) -> None:
    """End a run that was stopped. Raises :class:`KeyboardInterrupt`."""
    if runner.is_stuck:  # a source keeps its reader waiting, and Python would wait for that
        click.echo("Interrupted.", err=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
    raise KeyboardInterrupt


def _settings(options: dict[str, Any]) -> RunSettings:
    from batch.settings import RunSettings

    mask_bits = int(options["mask_bits"]) if options["mask_bits"] else None
    postprocess = tuple(filter(None, (options["postprocess"] or "").split(",")))
    return RunSettings(**{**options, "mask_bits": mask_bits, "postprocess": postprocess, "seed": options["seed"] or 0})


def _require_files(table: Path | None, contours: Path | None, profile: Path | None) -> None:
    """Fail before the work, not after it, for files that cannot be written or are somebody else's."""
    from batch.commands.contours import require_coco
    from batch.commands.table import require_table
    from batch.reporting.result_file import begins_with, require_replaceable

    if table is not None:
        require_table(table)
    if contours is not None:
        require_coco(contours)
    if profile is not None:
        require_replaceable(profile, (".json",), "a trace", begins_with("[\n"))


def _forecast(options: dict[str, Any], *, as_json: bool) -> None:
    from batch.commands.progress_lines import as_line
    from batch.running.forecast import forecast

    found = forecast(_settings(options))
    echo_lines([as_line(found.to_json())] if as_json else found.lines())


@contextlib.contextmanager
def _orderly_stop(runner: Runner) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the run between two results; a second one does not wait."""
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop(_number: int, _frame: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        is_stopping = runner.stop()
        images = "1 image" if runner.begun == 1 else f"{runner.begun} images"
        _say_at_once(f"Finishing {images}; press Ctrl-C again to stop now")
        if not is_stopping:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_at_once(text: str) -> None:
    """Say something in the middle of anything, the progress bar's own writing included."""
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


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
        click.echo(printable(line), err=True)
