"""``seg-batch run``: its options, the run, and the orderly stop; the screen is in ``screen``."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.commands.report import load_page
from seglab.cli_support import (
    SOME_FAILED,
    GroupedCommand,
    NamedPath,
    NamedText,
    PlainOption,
    command_errors,
    echo,
    echo_lines,
)
from seglab.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from batch.commands.progress_lines import ProgressLines
    from batch.running.runner import Runner
    from batch.settings import RunSettings

FILE = NamedPath()
POSITIVE = click.IntRange(min=1)
GROUPS = {
    "What is read": ("files_from", "limit", "sample", "seed", "max_pixels", "any_dicom", "checksum", "zip_encoding"),
    "What is written": (
        "out", "ledger", "name", "pseudonymise", "mask_bits", "postprocess", "overlays", "probs", "probs_format",
        "table", "contours", "no_report", "no_pictures",
    ),
    "The model and its device": ("model", "device", "compute", "exact", "batch", "processes", "workers"),
    "When it stops": ("max_failures", "timeout"),
    "What is shown": ("dry_run", "timing", "as_json", "profile"),
}  # fmt: skip
"""Options, grouped for the help."""


option = functools.partial(click.option, cls=PlainOption)


@click.command(cls=GroupedCommand, groups=GROUPS)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@option("--files-from", multiple=True, metavar="LIST", help="List of files, one per line; - for standard input.")
@option("--limit", type=POSITIVE, metavar="N", help="Stop after N images.")
@option("--sample", type=POSITIVE, metavar="N", help="Take only N images, drawn at random.")
@option("--seed", type=click.IntRange(min=0), metavar="S", help="For --sample: same seed, same images.  [default: 0]")
@option("--max-pixels", type=POSITIVE, default=400_000_000, metavar="N", help="Skip images above N pixels.")
@option("--any-dicom", is_flag=True, help="Also take DICOM of CT, MR, X-ray, ultrasound.")
@option("--checksum", is_flag=True, help="Compare images by SHA-256, not by size and time.")
@option("--zip-encoding", metavar="NAME", help="Encoding of names in old zips: gbk, cp866, ...")
@option("--out", required=True, type=NamedText(), metavar="OUT", help="Folder, .zip, .tar or URL for the masks.")
@option("--ledger", type=FILE, metavar="DIR", help="Folder for the ledger.  [default: OUT, or beside it]")
@option("--name", default="{stem}.png", metavar="TEXT", help="Mask names; also {name}, {suffix}.")
@option("--pseudonymise", is_flag=True, help="Name masks and images by pseudonyms.")
@option(
    "--mask-bits",
    type=click.Choice(["8", "1"]),
    metavar="8|1",
    help="Bits per pixel.  [default: as the last run, or 8]",
)
@option("--postprocess", metavar="STEPS", help="Clean masks: largest, fill, or largest,fill.")
@option("--overlays", type=FILE, metavar="DIR", help="Draw the outlines on the images, into this folder.")
@option("--probs", type=FILE, metavar="DIR", help="Write probability maps into this folder.")
@option(
    "--probs-format",
    type=click.Choice(["png", "npy"]),
    default="png",
    metavar="KIND",
    help="png (16-bit), npy (float16).",
)
@option("--table", type=FILE, metavar="FILE", help="Write a table at the end: .csv, .jsonl, .parquet.")
@option("--contours", type=FILE, metavar="FILE", help="Write the lesions as COCO JSON at the end.")
@option("--no-report", is_flag=True, help="Write no report.html at the end.")
@option("--no-pictures", is_flag=True, help="Leave photographs out of the report.")
@option("--model", type=FILE, metavar="FILE", help="Model file.  [default: the package's own network]")
@option("--device", default="auto", metavar="NAME", help="auto, cpu, openvino, cuda:K, tensorrt.")
@option(
    "--compute",
    type=click.Choice(["fp32", "bf16", "int8"]),
    metavar="TYPE",
    help="fp32, bf16, int8.  [default: the fastest that passes]",
)
@option("--exact", is_flag=True, help="Decode and resize whole images: slower, the reference.")
@option("--batch", type=POSITIVE, metavar="N", help="Images per model call.  [default: by the device]")
@option("--processes", type=POSITIVE, metavar="N", help="Processes per device.  [default: one per core or GPU]")
@option("--workers", type=POSITIVE, metavar="N", help="Threads for decoding, and as many for writing.")
@option(
    "--max-failures",
    metavar="N|P%",
    help="Stop once more images failed.  [default: never]",
)
@option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    metavar="SECONDS",
    help="Fail images that twice take longer.",
)
@option("--dry-run", is_flag=True, help="Count, estimate the time from a sample; write nothing.")
@option("--timing", is_flag=True, help="Show the time of each stage, and the slowest one.")
@option("--json", "as_json", is_flag=True, help="Print progress, or the --dry-run, as JSON.")
@option("--profile", type=FILE, metavar="FILE", help="Write a trace of all threads for ui.perfetto.dev.")
@command_errors
def run(dry_run: bool, as_json: bool, timing: bool, **options: Any) -> None:
    """Write a mask for every image in folders, archives or URLs.

    SOURCEs are folders (with their sub-folders), files, quoted patterns, archives (.zip, .tar, .tar.gz and others,
    without unpacking), URLs (s3://, gs://, https://), or - for a tar or a list of files on standard input.

    Run the same command again to continue a stopped run, or to do new and changed images. Exit code 3: finished, but
    some images failed; `seg-batch status OUT` lists them.

    Example: seg-batch run photos 'more/**/*.jpg' ISIC.zip --out masks --overlays pictures
    """
    if options["seed"] is not None and options["sample"] is None:
        raise click.UsageError("--seed was given without --sample. Add --sample N, or leave out --seed.")
    files = _Results(**{name: options.pop(name) for name in ("table", "contours", "no_report", "no_pictures")})
    if dry_run:
        _forecast(options, as_json=as_json)
    elif as_json:
        from batch.commands.progress_lines import progress_lines

        with progress_lines() as lines:
            _run(options, files, lines)
    else:
        _run(options, files, None, with_timing=timing)


@dataclass(frozen=True)
class _Results:
    """What is written at the end of a run, beside the masks."""

    table: Path | None
    contours: Path | None
    no_report: bool
    no_pictures: bool

    def write(self, runner: Runner) -> None:
        """Write the files that were asked for."""
        from batch.commands.contours import write_contours
        from batch.commands.table import write_table

        if self.table is not None:
            write_table(runner.output.state, self.table)
        if self.contours is not None:
            write_contours(runner.output.state, self.contours)

    def prepare_report(self) -> None:
        """Load what draws the page while the workers open the model, which takes longer."""
        if not self.no_report:
            threading.Thread(target=load_page, name="load the page", daemon=True).start()

    def write_report(self, runner: Runner) -> Path | None:
        """Write the page, if it is wanted and there are images; return its path."""
        from batch.commands.report import report_of_run

        report = runner.report
        if self.no_report or report.interrupted or not report.total:
            return None
        did_work = bool(report.done or report.failed)
        return report_of_run(runner.output, did_work=did_work, pictures=not self.no_pictures)


def _run(options: dict[str, Any], files: _Results, lines: ProgressLines | None, *, with_timing: bool = False) -> None:
    """Do the run. ``lines``: where its progress goes instead of the screen. ``with_timing``: show the stages' times."""
    from batch.commands.screen.live import Screen
    from batch.running.runner import Runner

    settings = _settings(options)
    _require_files(files.table, files.contours, settings.profile)
    runner = Runner(settings)
    files.prepare_report()
    for line in runner.sources.report.unreadable:  # the other sources are done; repeated at the end
        echo(f"not readable: {line}", err=True)
    screen, page = Screen(runner, with_timing=with_timing), None
    try:
        with _orderly_stop(runner), contextlib.closing(iter(runner)) as results:
            if lines is None:
                screen.watch(results)
            else:
                lines.watch(runner, results)
        page = files.write_report(runner)
    finally:
        if lines is None and runner.report.device:  # the model was opened
            screen.end(page)
    if runner.report.interrupted:
        _leave(runner)
    files.write(runner)
    if not runner.report.is_complete:
        sys.exit(SOME_FAILED)


def _leave(runner: Runner) -> None:
    """End a run that was stopped. Raises :class:`KeyboardInterrupt`."""
    if runner.is_stuck:  # a source blocks its reader, and Python would wait for that thread at exit
        echo("Interrupted.", err=True)
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
    """Raise before the work if a result file cannot be written or is somebody else's."""
    from batch.commands.table import require_table
    from batch.formats.coco import require_coco
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
    if as_json:
        click.echo(as_line(found.to_json()))
    else:
        echo_lines(found.lines())


@contextlib.contextmanager
def _orderly_stop(runner: Runner) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM end the run between two results; a second one stops at once.

    Ignored signals stay ignored: a shell starts background commands with Ctrl-C ignored.
    """
    signals = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]

    def stop(_number: int, _frame: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        is_stopping = runner.stop()
        _say_at_once(f"Finishing {counted(runner.begun, 'image')}; press Ctrl-C again to stop now")
        if not is_stopping:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_at_once(text: str) -> None:
    """Write a line to stderr at any moment, even while the progress bar is being written."""
    with contextlib.suppress(OSError):
        os.write(2, f"\n{text}\n".encode())
