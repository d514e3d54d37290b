"""``seg-export info``: print a model's data sheet."""

from __future__ import annotations

from pathlib import Path

import click

from export.commands.common import FILE
from seglab.cli_support import command_errors


@click.command()
@click.argument("model", type=FILE)
@click.option("--verbose", is_flag=True, help="Show everything about training and parity.")
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON.")
@command_errors
def info(model: Path, verbose: bool, as_json: bool) -> None:
    """Print a model's data sheet.

    It shows the network, how to feed it, its training, parity and licence.

    \b
    Example:
      seg-export info lesion.onnx
    """
    from export.contract import read_contract
    from export.proof.sheet import data_sheet

    contract = read_contract(model)
    click.echo(contract.to_json() if as_json else data_sheet(model, contract, verbose=verbose))
