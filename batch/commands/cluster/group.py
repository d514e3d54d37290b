"""The group ``seg-batch cluster``, and its commands that look at a job: status, collect, verify, clean."""

from __future__ import annotations

import json
import sys
import time

import click

from batch.commands.cluster.plan import plan
from batch.commands.cluster.run import run
from seglab.cli_support import SOME_FAILED, CommandGroup, NamedText, command_errors, echo_lines, progress

WATCH_SECONDS = 5.0
job_argument = click.argument("job", type=NamedText(), metavar="JOB")


@click.group(cls=CommandGroup)
def cluster() -> None:
    """Do one job on many machines: Slurm, Kubernetes, Ray.

    JOB is a folder that all machines share, or s3://BUCKET/NAME. `plan` divides the images into units of some thousand.
    `run`, on as many machines as there are, does each unit once. `collect` brings the masks to one place.

    Example: seg-batch cluster plan photos --job job
    """


cluster.add_command(plan)
cluster.add_command(run)


@cluster.command()
@job_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Repeat every 5 seconds until all units are done.")
@command_errors
def status(job: str, as_json: bool, watch: bool) -> None:
    """Show how much of a job is done, how fast, and what failed.

    Example: seg-batch cluster status s3://jobs/lesions --watch
    """
    from batch.cluster.files.job import open_job
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

    Example: seg-batch cluster collect s3://jobs/lesions --to masks
    """
    from batch.cluster.collecting import collect as bring
    from batch.cluster.files.job import open_job

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
    """Check the masks of all units that are done.

    Each must exist and be unchanged.

    Exit code 3: a mask is missing or wrong.

    Example: seg-batch cluster verify s3://jobs/lesions --redo
    """
    from batch.cluster.checking import verify as check
    from batch.cluster.files.job import open_job

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
    """Remove what is left of attempts that do not count.

    These are tars of attempts that came second, marks of attempts on units that are done, and unfinished files that are
    older than a day. It may be used while workers run.

    Example: seg-batch cluster clean s3://jobs/lesions
    """
    from batch.cluster.checking import clean as remove
    from batch.cluster.files.job import open_job

    echo_lines(remove(open_job(job)).lines())
