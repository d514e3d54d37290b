"""``seg-batch cluster``: one job on many machines."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import (
    SOME_FAILED,
    CommandGroup,
    GroupedCommand,
    NamedPath,
    NamedText,
    PlainOption,
    command_errors,
    echo,
    echo_lines,
    progress,
    say_of_stops,
)
from seglab.words import counted

if TYPE_CHECKING:
    from batch.cluster.engines.worker import WorkerOptions
    from batch.cluster.job import OpenJob
    from batch.cluster.names import UnitName
    from batch.cluster.unit import UnitResult

FILE = NamedPath()
POSITIVE = click.IntRange(min=1)
DEFAULT_UNIT = 5000
WATCH_SECONDS = 5.0
STOPPED = "Interrupted; run the same command again to continue. Units that were being done are done again."
GROUPS = {
    "What is read": ("files_from", "inventory", "max_pixels", "any_dicom", "zip_encoding"),
    "What is written": ("job", "unit", "masks", "name", "mask_bits", "postprocess"),
    "The model": ("model", "device", "compute", "exact"),
}
option = functools.partial(click.option, cls=PlainOption)
job_argument = click.argument("job", type=NamedText(), metavar="JOB")


@click.group(cls=CommandGroup)
def cluster() -> None:
    """Do one job on many machines: Slurm, Kubernetes, Ray.

    JOB is a folder that all machines share, or s3://BUCKET/NAME. `plan` divides the images into units of some thousand.
    `run`, on as many machines as there are, does each unit once. `collect` brings the masks to one place.
    """


@cluster.command(cls=GroupedCommand, groups=GROUPS)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@option("--files-from", multiple=True, metavar="LIST", help="List of files, one per line; - for standard input.")
@option("--inventory", type=NamedText(), metavar="FILE", help="manifest.json of an S3 Inventory, instead of a walk.")
@option("--max-pixels", type=POSITIVE, default=400_000_000, metavar="N", help="Skip images above N pixels.")
@option("--any-dicom", is_flag=True, help="Also take DICOM of CT, MR, X-ray, ultrasound.")
@option("--zip-encoding", metavar="NAME", help="Encoding of names in old zips: gbk, cp866, ...")
@option("--job", required=True, type=NamedText(), metavar="JOB", help="New shared folder, or s3://BUCKET/NAME.")
@option("--unit", type=POSITIVE, default=DEFAULT_UNIT, metavar="N", help="Images of a unit.")
@option(
    "--masks",
    type=click.Choice(["tar", "objects"]),
    default="tar",
    metavar="KIND",
    help="tar (one per unit), objects (a file each).",
)
@option("--name", default="{stem}.png", metavar="TEXT", help="Mask names; also {name}, {suffix}.")
@option("--mask-bits", type=click.Choice(["8", "1"]), default="8", metavar="8|1", help="Bits per pixel.")
@option("--postprocess", metavar="STEPS", help="Clean masks: largest, fill, or largest,fill.")
@option("--model", type=FILE, metavar="FILE", help="Model file.  [default: the package's own network]")
@option("--device", default="auto", metavar="NAME", help="What to try the model on, here.")
@option(
    "--compute",
    type=click.Choice(["fp32", "bf16", "int8"]),
    metavar="TYPE",
    help="fp32, bf16, int8.  [default: the fastest here]",
)
@option("--exact", is_flag=True, help="Decode and resize whole images: slower, the reference.")
@command_errors
def plan(unit: int, masks: str, inventory: str | None, **options: Any) -> None:
    """Find the images and divide them into units.

    Masks get the names that `seg-batch run` would give them, and the model file is copied into the job. All workers
    compute in one precision; for workers with GPUs, plan with `--compute fp32`.

    Exit code 3: planned, but a part of a source could not be read or opened.

    Example: seg-batch cluster plan s3://photos/2024 --job s3://work/lesions
    """
    from batch.cluster.inventory import inventory_source
    from batch.cluster.planning import PlanSettings, plan_job
    from batch.settings import RunSettings

    if not (options["sources"] or options["files_from"] or inventory):
        raise click.UsageError("No source was named; name at least one SOURCE, --files-from LIST or --inventory FILE.")
    if inventory and (options["sources"] or options["files_from"]):
        raise click.UsageError("--inventory takes the place of SOURCE and --files-from. Name one of them.")
    job, steps = options.pop("job"), options.pop("postprocess")
    postprocess = tuple(filter(None, (steps or "").split(",")))
    options |= {"mask_bits": int(options["mask_bits"]), "sources": options["sources"] or (inventory or ())}
    settings = RunSettings(out=job, postprocess=postprocess, **options)
    found = inventory_source(inventory) if inventory else None
    with progress(None, "plan", " images") as bar:
        planned = plan_job(PlanSettings(settings, unit, masks), found, lambda images: bar.update(images - bar.n))
    described = planned.job
    echo(
        f"{counted(described.images, 'image')} in {counted(described.units, 'unit')}, masks in "
        f"{described.model.precision}: {planned.place.where()}",
        err=True,
    )
    if planned.repeated:
        echo(f"  {counted(planned.repeated, 'file')} named twice", err=True)
    for line in described.left_out:
        echo(f"  {line}", err=True)
    echo(f"Next: seg-batch cluster run {job}", err=True, whole=True)
    if not planned.is_complete:
        sys.exit(SOME_FAILED)


@cluster.command()
@job_argument
@option("--shard", metavar="K/N", help="Do every N-th unit only.  [default: as the array job says, else all]")
@option("--retry", is_flag=True, help="Try images that failed again.")
@option("--engine", type=click.Choice(["ray"]), metavar="NAME", help="ray: hand out the units on a Ray cluster.")
@option(
    "--address",
    metavar="ADDRESS",
    help="Of the Ray cluster: auto, or HOST:PORT.  [default: $RAY_ADDRESS, else a Ray of this machine]",
)
@option("--workers", type=POSITIVE, metavar="N", help="Ray workers.  [default: what the cluster has room for]")
@option("--gpus-per-worker", type=click.FloatRange(min=0), default=0, metavar="G", help="GPUs of a Ray worker.")
@option("-v", "--verbose", is_flag=True, help="Show the messages of Ray and its workers.")
@option("--device", default="auto", metavar="NAME", help="auto, cpu, openvino, cuda:K, tensorrt.")
@option("--batch", type=POSITIVE, metavar="N", help="Images per model call.  [default: by the device]")
@option("--processes", type=POSITIVE, metavar="N", help="Processes per device.  [default: one per core or GPU]")
@option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    metavar="SECONDS",
    help="Time for an image.",
)
@option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@command_errors
def run(job: str, engine: str | None, as_json: bool, retry: bool, shard: str | None, **options: Any) -> None:
    """Do the units of a job that are not done yet.

    On one machine, or as one of many: name a share of the units with --shard, or start it in an array job of Slurm,
    Kubernetes or AWS Batch, which numbers the shares. Several may do the same unit; the first that finishes counts.

    Exit code 3: finished, but images failed. 1: units could not be done; run again. Those of other shards do not count.

    Example: seg-batch cluster run s3://work/lesions --shard 3/16
    """
    from batch.cluster.engines.base import until_hopeless
    from batch.cluster.job import open_job
    from batch.cluster.progress import Watched
    from batch.cluster.shards import Shard

    say_of_stops(STOPPED)
    _require_one_engine(engine, shard, options)
    opened = open_job(job)
    share = None if engine else (Shard.of_array() if shard is None else Shard.parse(shard))
    units, others = _units(opened, share, retry=retry)
    echo(_first_line(opened, units, share), err=True)
    errors: list[UnitResult] = []
    if units:
        results = _ray(job, units, options) if engine else _here(job, units, options)
        # Ray prints to standard output, where the result goes.
        with closing(results), redirect_stdout(sys.stderr), _bar(opened, others, units) as take:
            for result in until_hopeless(results):
                take(result)
                if result.error is not None:
                    errors.append(result)
    watched = Watched(opened)
    found = watched.look()
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        echo_lines(found.lines())
    for result in errors:
        echo(f"not done: {result.unit}: {result.error}", err=True)
    if errors:
        sys.exit(1)
    if (found if share is None else watched.look(share)).failed:
        sys.exit(SOME_FAILED)


def _require_one_engine(engine: str | None, shard: str | None, options: dict[str, Any]) -> None:
    """Raise a usage error for options that do not go together."""
    if engine and shard is not None:
        raise click.UsageError("--engine hands out all units, and --shard names a part of them. Leave out one.")
    if engine and options["processes"]:
        raise click.UsageError("--processes is for this machine; with --engine ray it is --workers.")
    for name in ("address", "workers", "gpus_per_worker"):
        if options[name] and not engine:
            raise click.UsageError(f"--{name.replace('_', '-')} is for Ray. Add --engine ray, or leave it out.")


def _units(opened: OpenJob, share: Any, *, retry: bool) -> tuple[list[UnitName], int]:
    """Return the units to do, and how many of this share are done."""
    from batch.cluster.units import plan_retries, units_of

    found = units_of(opened)
    mine = list(found.all) if share is None else share.pick(found.all)
    pending = [unit for unit in mine if unit not in found.done]
    if retry:
        numbers = {unit.number for unit in mine}
        lasts = [chain[-1] for number, chain in found.chains.items() if number in numbers and chain[-1] in found.done]
        pending += plan_retries(opened, lasts)
    return pending, len(mine) - len([unit for unit in mine if unit not in found.done])


def _first_line(opened: OpenJob, units: list[UnitName], share: Any) -> str:
    part = f"shard {share} of " if share is not None else ""
    return f"{counted(len(units), 'unit')} to do in {part}{opened.place.where()}"


@contextmanager
def _bar(opened: OpenJob, done_before: int, units: list[UnitName]) -> Iterator[Callable[[UnitResult], None]]:
    """Show a bar over units with images per second and failures."""
    begun, images, failed = time.monotonic(), 0, 0
    with progress(done_before + len(units), "units", " units") as bar:
        bar.n = bar.initial = bar.last_print_n = done_before

        def take(result: UnitResult) -> None:
            nonlocal images, failed
            images += 0 if result.was_done else result.images
            failed += result.failed
            rate = f"{images / max(time.monotonic() - begun, 1e-9):,.0f} images/s"
            bar.set_postfix_str(f"{rate}, {failed:,} failed" if failed else rate, refresh=False)
            bar.update(1)

        yield take


def _options(options: dict[str, Any]) -> WorkerOptions:
    from batch.cluster.engines.worker import WorkerOptions

    return WorkerOptions(options["device"], options["timeout"], batch=options["batch"])


def _here(job: str, units: list[UnitName], options: dict[str, Any]) -> Generator[UnitResult]:
    from batch.cluster.engines.local import LocalEngine
    from batch.executors.placement import share_out
    from batch.settings import RunSettings

    settings = RunSettings(
        job, job, device=options["device"], processes=options["processes"], timeout=options["timeout"]
    )
    engine = LocalEngine(job, _options(options), share_out(settings, few=False))
    return engine.run(units)


def _ray(job: str, units: list[UnitName], options: dict[str, Any]) -> Generator[UnitResult]:
    from batch.cluster.engines.ray import RayEngine

    size = (options["address"], options["workers"], options["gpus_per_worker"])
    engine = RayEngine(job, _options(options), *size, verbose=options["verbose"])
    yield from engine.run(units)
    for note in engine.notes:
        echo(f"a worker was not started: {note}", err=True)


@cluster.command()
@job_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Repeat every 5 seconds until all units are done.")
@command_errors
def status(job: str, as_json: bool, watch: bool) -> None:
    """Show how much of a job is done, how fast, and what failed.

    Example: seg-batch cluster status s3://work/lesions --watch
    """
    from batch.cluster.job import open_job
    from batch.cluster.progress import Watched

    watched = Watched(open_job(job))
    while True:
        found = watched.look()
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=None if watch else 2))
        else:
            echo_lines(found.lines())
        if not watch or found.is_finished:
            return
        time.sleep(WATCH_SECONDS)


@cluster.command()
@job_argument
@click.option(
    "--to", required=True, type=NamedText(), help="Folder, .zip, .tar, ledger.sqlite, .csv, .jsonl, .parquet."
)
@command_errors
def collect(job: str, to: str) -> None:
    """Bring the masks of a job to one place, or its ledger alone.

    A folder, .zip or .tar becomes an output like that of `seg-batch run`: `seg-batch status`, `score`, `verify` and
    `contours` read it, and a run continues it. What was collected before is not copied again.

    Exit code 3: collected, but images failed, or units are not done yet.

    Example: seg-batch cluster collect s3://work/lesions --to masks
    """
    from batch.cluster.collecting import collect as bring
    from batch.cluster.job import open_job

    with progress(None, "collect", " images") as bar:

        def advance(total: int, images: int = 1) -> None:
            bar.total = total
            bar.update(images)

        found = bring(open_job(job), to, advance)
    echo_lines(found.lines())
    if not found.is_complete:
        sys.exit(SOME_FAILED)


@cluster.command()
@job_argument
@click.option("--redo", is_flag=True, help="Let the next run do units with wrong masks again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def verify(job: str, redo: bool, as_json: bool) -> None:
    """Check that every mask of a job exists and is unchanged.

    Exit code 3: a mask is missing or wrong.

    Example: seg-batch cluster verify s3://work/lesions --redo
    """
    from batch.cluster.checking import verify as check
    from batch.cluster.job import open_job

    with progress(None, "verify", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        found = check(open_job(job), redo=redo, advance=advance)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        echo_lines(found.lines())
    if not found.is_whole:
        sys.exit(SOME_FAILED)


@cluster.command()
@job_argument
@command_errors
def clean(job: str) -> None:
    """Remove what no row of a job points to.

    These are tars of attempts that came second, marks of attempts on units that are done, and unfinished files that are
    older than a day. It may be used while workers run.

    Example: seg-batch cluster clean s3://work/lesions
    """
    from batch.cluster.checking import clean as remove
    from batch.cluster.job import open_job

    echo_lines(remove(open_job(job)).lines())
