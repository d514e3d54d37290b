"""``seglab card``: write the model card of a run."""

from __future__ import annotations

from pathlib import Path

import click

from seglab.cli_support import command_errors
from seglab.commands.common import FOLDER
from seglab.commands.places import require_outputs, text_with

CARD = "MODEL_CARD.md"


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--out", type=FOLDER, help=f"Markdown file to write.  [default: RUN/{CARD}]")
@command_errors
def card(run: Path, out: Path | None) -> None:
    """Write the model card of a run.

    The card shows network, data, recipe, scores with intervals, pictures, limits, and the export command. RUN is the
    folder of a run or of a cross-validation. Everything is read from that folder.

    Example: seglab card runs/quick
    """
    from seglab.evaluation.card import NOT_MEDICAL, model_card
    from seglab.files import write_text

    target = out or run / CARD
    text = model_card(run, target)
    require_outputs({"--out": (target, text_with(NOT_MEDICAL, "a model card that seglab wrote"))})
    write_text(target, text)
    click.echo(str(target))
