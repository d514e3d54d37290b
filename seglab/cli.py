"""``seglab``: make synthetic images, prepare data sets, train, validate, compare."""

from __future__ import annotations

import click

from seglab import __version__
from seglab.cli_support import CONTEXT, begin_command
from seglab.commands.compare import compare
from seglab.commands.inspect import inspect_data
from seglab.commands.prepare import prepare
from seglab.commands.recipes import recipes
from seglab.commands.synth import synth
from seglab.commands.train import train
from seglab.commands.validate import validate


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seglab")
def main() -> None:
    """Train and validate networks that outline lesions on dermoscopy images."""
    begin_command()


for command in (synth, inspect_data, prepare, train, validate, compare, recipes):
    main.add_command(command)


if __name__ == "__main__":
    main()
