"""``seglab synth``: write synthetic images."""

from __future__ import annotations

from pathlib import Path

import click

from seglab.cli_support import command_errors, echo
from seglab.commands.common import FOLDER
from seglab.errors import ConfigError
from seglab.words import counted


@click.command()
@click.option("--out", type=FOLDER, required=True, help="Folder for images/ and masks/.")
@click.option("--count", type=click.IntRange(min=1), default=8, help="Number of images.")
@click.option(
    "--size", "sizes", multiple=True, default=("600x450",), metavar="WxH",
    help="Width x height in pixels. Several sizes are used in turn.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The same seed gives the same bytes.")
@command_errors
def synth(out: Path, count: int, sizes: tuple[str, ...], seed: int) -> None:
    """Write synthetic dermoscopy images with their masks.

    Example: seglab synth --out demo --count 100 --size 600x450 --size 1024x768
    """
    from seglab.synth import write_set

    written = write_set(out, count, [_parse_size(size) for size in sizes], seed)
    echo(f"{counted(len(written), 'image')} in {out / 'images'}, their masks in {out / 'masks'}.")


def _parse_size(text: str) -> tuple[int, int]:
    """Return ``(height, width)`` of the text ``WxH``. Raises :class:`ConfigError` for any other text."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f"--size is {text!r}; expected width x height in pixels, such as 600x450.")
    return int(height), int(width)
