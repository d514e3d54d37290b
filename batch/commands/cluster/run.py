"""``seg-batch cluster run``: its options, the engine, and the bar."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import (
    SOME_FAILED,
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
    from batch.cluster.files.job import OpenJob
    from batch.cluster.files.names import UnitName
    from batch.cluster.shards import Shard
    from batch.cluster.unit import UnitResult

POSITIVE = click.IntRange(min=1)
STOPPED = "Interrupted; run the same command again to continue. Units that were being done are done again."
option = functools.partial(click.option, cls=PlainOption)


@click.command()
@click.argument("job", type=NamedText(), metavar="JOB")
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

    Exit code 3: finished, but images failed. 1: units could not be done; run again. Other shards do not count.

    Example: seg-batch cluster run s3://jobs/lesions --shard 3/16
    """
    from batch.cluster.engines.base import until_hopeless
    from batch.cluster.files.job import open_job
    from batch.cluster.progress import Watched
    from batch.cluster.shards import Shard

    say_of_stops(STOPPED)
    _require_one_engine(engine, shard, options)
    opened = open_job(job)
    share = None if engine else (Shard.of_array() if shard is None else Shard.parse(shard))
    units, done_before = _units(opened, share, retry=retry)
    echo(_first_line(opened, units, share), err=True)
    errors: list[UnitResult] = []
    if units:
        results = _ray(job, units, options) if engine else _here(job, units, options)
        # Ray prints to standard output, where the result goes.
        with closing(results), redirect_stdout(sys.stderr), _bar(done_before, len(units)) as take:
            for result in until_hopeless(results):
                take(result)
                if result.error is not None:
                    errors.append(result)
    found = Watched(opened).look(share)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    else:
        echo_lines(found.lines())
    for result in errors:
        echo(f"not done: {result.unit}: {result.error}", err=True)
    if errors:
        sys.exit(1)
    if found.failed:
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


def _units(opened: OpenJob, share: Shard | None, *, retry: bool) -> tuple[list[UnitName], int]:
    """Return the units to do, and how many are done already, of the share or of all."""
    from batch.cluster.units import plan_retries, units_of

    found = units_of(opened)
    mine = list(found.all) if share is None else share.pick(found.all)
    pending = [unit for unit in mine if unit not in found.done]
    if retry:
        numbers = {unit.number for unit in mine}
        lasts = [chain[-1] for number, chain in found.chains.items() if number in numbers and chain[-1] in found.done]
        pending += plan_retries(opened, lasts)
    return pending, len(mine) - len([unit for unit in mine if unit not in found.done])


def _first_line(opened: OpenJob, units: list[UnitName], share: Shard | None) -> str:
    part = f"shard {share} of " if share is not None else ""
    return f"{counted(len(units), 'unit')} to do in {part}{opened.place.where()}"


@contextmanager
def _bar(done_before: int, to_do: int) -> Iterator[Callable[[UnitResult], None]]:
    """Show a bar over units with images per second and failures."""
    begun, images, failed = time.monotonic(), 0, 0
    with progress(done_before + to_do, "units", " units") as bar:
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

    settings = RunSettings(job, job, **{name: options[name] for name in ("device", "processes", "timeout")})
    shares = share_out(settings, few=False)
    if len(shares) > len(units):  # then each process uses several cores
        shares = share_out(replace(settings, processes=len(units)), few=False)
    engine = LocalEngine(job, _options(options), shares)
    return engine.run(units)


def _ray(job: str, units: list[UnitName], options: dict[str, Any]) -> Generator[UnitResult]:
    from batch.cluster.engines.ray import RayEngine

    size = (options["address"], options["workers"], options["gpus_per_worker"])
    engine = RayEngine(job, _options(options), *size, verbose=options["verbose"])
    yield from engine.run(units)
    for note in engine.notes:
        echo(f"a worker was not started: {note}", err=True)
