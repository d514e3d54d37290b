"""``seglab prepare``: store a data set at the network's size."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from seglab.cli_support import command_errors, progress
from seglab.commands.common import FOLDER, find_all_pairs

SOME_FAILED = 3
FIGURE_ROWS = 4


@click.command()
@click.argument("source", type=FOLDER, nargs=-1, required=True, metavar="SRC...")
@click.option("--out", type=FOLDER, required=True, help="Folder that gets images.npy, masks.npy and index.json.")
@click.option("--size", type=click.IntRange(min=1), default=256, help="Side length S in pixels.")
@click.option("--hair", type=click.Choice(["none", "dullrazor"]), default="none", help="How to remove hairs.")
@click.option(
    "--dtype", type=click.Choice(["uint8", "float16", "float32"]), default="uint8", help="Floats are scaled to 0-1."
)
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Threads that read and resize.")
@click.option("--figure", type=FOLDER, help="Picture of the hairiest images before and after (.jpg or .png).")
@command_errors
def prepare(
    source: tuple[Path, ...], out: Path, size: int, hair: str, dtype: str, workers: int, figure: Path | None
) -> None:
    """Store a data set as arrays that training opens memory-mapped; run again to go on after an interruption.

    Example: seglab prepare ham10000 --out prepared/ham10000 --size 256 --hair dullrazor
    """
    from seglab.data.store import PrepareSettings
    from seglab.data.store import prepare as store

    settings = PrepareSettings(size, hair, dtype)
    pairs = find_all_pairs(source)
    with progress(len(pairs), "prepare", "image") as bar:
        prepared = store(pairs, out, settings, workers=workers, advance=bar.update)
    if figure:
        from seglab.images.hair import hair_figure, hairiest
        from seglab.images.pixels.resize import fit

        images = (fit(pair.photo(at_least=2 * size).pixels, size) for pair in pairs)
        hair_figure(figure, hairiest(images, FIGURE_ROWS))
    click.echo(f"{prepared.stored} pairs in {out}, {prepared.earlier} of them from an earlier run.")
    for name, reason in prepared.failed.items():
        click.echo(f"failed: {name}: {reason}", err=True)
    if prepared.failed:
        sys.exit(SOME_FAILED)
