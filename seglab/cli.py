"""``seglab``: synthetic images, data sets, training, validation, comparisons and model cards."""

from __future__ import annotations

import click

from seglab import __version__
from seglab.cli_support import CONTEXT, CommandGroup, begin_command
from seglab.commands.card import card
from seglab.commands.compare import compare
from seglab.commands.inspect import inspect_data
from seglab.commands.prepare import prepare
from seglab.commands.recipes import recipes
from seglab.commands.suitable import suitable
from seglab.commands.synth import synth
from seglab.commands.train import train
from seglab.commands.validate import validate


@click.group(cls=CommandGroup, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seglab")
def main() -> None:
    """Train and validate networks that outline lesions on dermoscopy images."""
    begin_command()


for command in (inspect_data, prepare, recipes, train, validate, compare, card, suitable, synth):
    main.add_command(command)


if __name__ == "__main__":
    main()
