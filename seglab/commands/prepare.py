"""``seglab prepare``: store a data set at the network's input size."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import SOME_FAILED, command_errors, echo, echo_lines, progress
from seglab.commands.common import FOLDER, DataNamed, data_options
from seglab.commands.places import PICTURE, require_beside, require_outputs
from seglab.errors import DataError, printable
from seglab.words import counted

if TYPE_CHECKING:
    from seglab.data.collection import Collection
    from seglab.data.pairs import Pair

FIGURE_ROWS = 4
NO_PART = "of no part"
NOT_STORED = "cannot be stored (the failed lines say why)"


@click.command()
@data_options(argument="SRC")
@click.option("--out", type=FOLDER, required=True, help="Folder that gets images.npy, masks.npy and index.json.")
@click.option("--size", type=click.IntRange(min=1), default=256, help="Side length S in pixels.")
@click.option("--hair", type=click.Choice(["none", "dullrazor"]), default="none", help="How hairs are removed.")
@click.option(
    "--dtype",
    type=click.Choice(["uint8", "float16", "float32"]),
    default="uint8",
    help="Data type of the images; floats are scaled to 0-1.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Threads that read and resize images.")
@click.option("--figure", type=FOLDER, help="Write a picture of the hairiest images before and after (.jpg or .png).")
@command_errors
def prepare(named: DataNamed, out: Path, size: int, hair: str, dtype: str, workers: int, figure: Path | None) -> None:
    """Store a data set at the network's size, to train faster.

    Training opens the arrays memory-mapped. After an interruption, run the command again to continue.

    Example: seglab prepare ham10000 --out prepared/ham10000 --size 256 --hair dullrazor
    """
    from seglab.data.checking.inspection import require_lesions
    from seglab.data.store import PrepareSettings
    from seglab.data.store import prepare as store

    require_beside("--figure", figure, named)
    require_outputs({"--figure": (figure, PICTURE)})
    settings = PrepareSettings(size, hair, dtype)
    collection = named.collect()
    pairs = collection.pairs
    require_lesions({"whole": pairs})
    with progress(len(pairs), "prepare", "image") as bar:
        prepared = store(
            pairs, out, settings, workers=workers, advance=bar.update,
            judge=lambda failed: _require_most(collection, failed),
        )  # fmt: skip
    if figure:
        from seglab.images.hair import hair_figure, hairiest
        from seglab.images.pixels.resize import fit

        images = (fit(pair.photo(at_least=2 * size).pixels, size) for pair in pairs)
        hair_figure(figure, hairiest(images, FIGURE_ROWS))
    echo_lines(_stored_lines(collection, prepared.failed))
    echo(f"{counted(prepared.stored, 'pair')} in {out}, {prepared.earlier} of them from an earlier run.")
    for name, reason in prepared.failed.items():
        echo(printable(f"failed: {name}: {reason}"), err=True)
    if prepared.failed:
        sys.exit(SOME_FAILED)


def _require_most(collection: Collection, failed: Mapping[str, str]) -> None:
    """Raise :class:`DataError` where a tenth or more of a set cannot be stored."""
    from seglab.data.checking.truths import unusable

    for found in collection.sets:
        errors = [failed[pair.source] for pair in found.pairs if pair.source in failed]
        for fault in unusable(found.name, errors, len(found.pairs)):
            raise DataError(f"{fault} Run again to continue.")


def _stored_lines(collection: Collection, failed: Mapping[str, str]) -> Iterator[str]:
    """Yield lines for each set: the stored pairs by part, and what was left out."""
    from seglab.data.collection import used_lines

    parts: dict[str, list[Pair]] = {}
    for pair in collection.pairs:
        if pair.source not in failed:
            parts.setdefault(pair.part or NO_PART, []).append(pair)
    yield from used_lines(collection, parts, {NOT_STORED: [pair for pair in collection.pairs if pair.source in failed]})
