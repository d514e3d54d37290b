"""``seg-batch cluster plan``: its options and the plan."""

from __future__ import annotations

import functools
import sys
from typing import Any

import click

from seglab.cli_support import (
    SOME_FAILED,
    GroupedCommand,
    NamedPath,
    NamedText,
    PlainOption,
    command_errors,
    echo,
    progress,
)
from seglab.words import counted

FILE = NamedPath()
POSITIVE = click.IntRange(min=1)
DEFAULT_UNIT = 5000
"""Follows from the simulation in ``benchmarks/studies/cluster_sim.py``."""
GROUPS = {
    "What is read": ("files_from", "inventory", "max_pixels", "any_dicom", "zip_encoding"),
    "What is written": ("job", "unit", "masks", "name", "mask_bits", "postprocess"),
    "The model": ("model", "device", "compute", "exact"),
}
option = functools.partial(click.option, cls=PlainOption)


@click.command(cls=GroupedCommand, groups=GROUPS)
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

    Example: seg-batch cluster plan s3://photos/2024 --job s3://jobs/lesions
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
