"""``seglab train``: train a network on data sets with a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import click

from seglab.cli_support import command_errors
from seglab.commands.common import FOLDER, DataNamed, data_options
from seglab.commands.runs.request import DEFAULT_RECIPE, Told
from seglab.commands.runs.training import train_run


@click.command()
@data_options(argument="DATA", option=True, required=False)
@click.option(
    "--recipe",
    help="Name of a recipe (see `seglab recipes`), or a .toml file.  "
    f"[default: {DEFAULT_RECIPE}; with --resume, the run's own]",
)  # fmt: skip
@click.option("--out", type=FOLDER, help="Folder for the run: checkpoints, logs, pictures.")
@click.option("--epochs", type=click.IntRange(min=1), help="Number of epochs, instead of the recipe's.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option(
    "--exclude", type=FOLDER, multiple=True,
    help="Leave out these image ids: a text file with one per line, or a folder of images.",
)  # fmt: skip
@click.option(
    "--soft-masks", type=FOLDER,
    help="Folder of soft masks by image id (grey images or .npy), mixed with the truth by soft_weight.",
)  # fmt: skip
@click.option("--split-file", type=FOLDER, help="Use the split of an earlier run: its split.json.")
@click.option(
    "--folds", type=click.IntRange(min=2),
    help="Cross-validate: train this many runs below --out, and score each image with the run that did not see it.",
)  # fmt: skip
@click.option(
    "--inspect", "mode", type=click.Choice(["refuse", "report", "off"]),
    help="For unusable pairs, and pictures on both sides of the split: stop, leave them out, or do not check.  "
    "[default: refuse; with --resume, off]",
)  # fmt: skip
@click.option(
    "--resume", is_flag=False, flag_value="", metavar="[RUN]",
    help="Continue the run in this folder (or in --out) with its recipe, data and split. --data says where the data "
    "are now. --set changes epochs, lr, batch and some others for the remaining epochs.",
)  # fmt: skip
@click.option(
    "--hours", type=click.FloatRange(min=0, min_open=True),
    help="Start an epoch only if it will probably end within this time; the first one always starts. Continue with "
    "--resume.",
)  # fmt: skip
@click.option(
    "--logger", "loggers", type=click.Choice(["wandb", "mlflow"]), multiple=True,
    help="Log each epoch to an experiment tracker, too. It needs seglab[wandb] or seglab[mlflow].",
)  # fmt: skip
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@click.option("--devices", type=click.IntRange(min=1), default=1, help="Processes on this machine, one per GPU.")
@click.option(
    "--nodes", type=click.IntRange(min=1), default=1,
    help="Number of machines. Start the command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set.",
)  # fmt: skip
@command_errors
def train(
    named: DataNamed,
    recipe: str | None,
    out: Path | None,
    epochs: int | None,
    changes: tuple[str, ...],
    exclude: tuple[Path, ...],
    soft_masks: Path | None,
    split_file: Path | None,
    folds: int | None,
    mode: str | None,
    resume: str | None,
    hours: float | None,
    loggers: tuple[str, ...],
    device: str,
    devices: int,
    nodes: int,
) -> None:
    """Train a network on data sets with a recipe.

    Checkpoints, logs and pictures are written to --out: all that is needed to resume, compare and export the run.

    \b
    Example:
      seglab train isic2018 --out runs/quick
      seglab train isic2018 isic2017 --recipe package --epochs 8 --out runs/net
      seglab train --resume runs/quick --epochs 20 --hours 2.5
      seglab train isic2018 --out runs/folds --folds 5
    """
    changes = _with_epochs(changes, epochs)
    if soft_masks:
        changes = (*changes, f"soft_masks={json.dumps(str(soft_masks.absolute()))}")
    train_run(
        Told(named, exclude, split_file, mode),
        recipe=recipe, changes=changes, out=out, folds=folds, resume=resume, hours=hours, loggers=loggers,
        device=device, devices=devices, nodes=nodes,
    )  # fmt: skip


def _with_epochs(changes: tuple[str, ...], epochs: int | None) -> tuple[str, ...]:
    """Return ``changes`` with ``--epochs`` among them. Raises :class:`click.UsageError` where the two disagree."""
    from seglab.recipes.recipe import parse_changes

    if epochs is None:
        return changes
    told = parse_changes(changes).get("epochs", epochs)
    if told != epochs:
        raise click.UsageError(
            f"--epochs says {epochs}, but --set says epochs={told}; expected one number. Leave one of them out."
        )
    return (*changes, f"epochs={epochs}")
