"""``seglab train``: train a recipe on data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import command_errors, progress, require_packages
from seglab.commands.common import FOLDER, find_all_pairs
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from seglab.data.splits import Split
    from seglab.recipes.recipe import Recipe
    from seglab.training.loop import Trainer
    from seglab.training.run_folder import Epoch


@click.command()
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set; several may be given.")
@click.option("--recipe", default="quick", help="Name of a recipe (see `seglab recipes`), or a .toml file.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run: checkpoints, logs, pictures.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option(
    "--exclude", type=FOLDER, multiple=True,
    help="Leave out these ids: a text file with one a line, or a folder of images.",
)  # fmt: skip
@click.option("--split-file", type=FOLDER, help="Split as an earlier run did: its split.json.")
@click.option(
    "--inspect", "mode", type=click.Choice(["refuse", "report", "off"]), default="refuse",
    help="Pairs that cannot be used, and pictures on two sides of the split: stop, leave them out, or do not look.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from last.pt in --out.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@click.option("--devices", type=click.IntRange(min=1), default=1, help="Processes on this machine; GPUs get one each.")
@click.option(
    "--nodes", type=click.IntRange(min=1), default=1,
    help="Machines; start the command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set.",
)  # fmt: skip
@command_errors
def train(
    data: tuple[Path, ...],
    recipe: str,
    out: Path,
    changes: tuple[str, ...],
    exclude: tuple[Path, ...],
    split_file: Path | None,
    mode: str,
    resume: bool,
    device: str,
    devices: int,
    nodes: int,
) -> None:
    """Train a network by a recipe, and keep what is needed to go on, to compare and to export.

    Example: seglab train --data isic2018 --recipe quick --out runs/quick --set epochs=8
    """
    from seglab.recipes.recipe import load_recipe

    require_packages(("torch", "torchvision", "lightning", "matplotlib"), "This command trains in PyTorch")
    settings = load_recipe(recipe, changes)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise ConfigError(f"{out} holds a run already (last.pt). Add --resume to go on, or name another --out.")
    if resume and not last.exists():
        raise ConfigError(f"--resume: {last} does not exist. Leave --resume out to begin, or check --out.")

    from seglab.training.allocator import keep_freed_memory
    from seglab.training.device import choose_device, choose_precision, make_fabric
    from seglab.training.processes import together

    chosen = choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    precision = choose_precision(settings.precision, chosen)
    fabric = make_fabric(chosen, precision, devices, nodes)
    split: Any = None  # a Split; process 0 makes it, and gives it to the others
    if fabric.is_global_zero:
        split = _inspected(_split(data, settings, exclude, split_file), mode)
    with together(fabric):
        split = fabric.broadcast(split)
        about = _about(data, split)
        _train(settings, fabric, precision, split, about, out, last if resume else None)


def _about(data: tuple[Path, ...], split: Split) -> dict[str, Any]:
    return {
        "sets": sorted(path.resolve().name for path in data),
        "split": split.method,
        "training_images": len(split.training),
        "validation_images": len(split.validation),
        "test_images": len(split.test),
    }


def _train(
    settings: Recipe, fabric: Fabric, precision: str, split: Split, about: dict[str, Any], out: Path, last: Path | None
) -> None:
    """Train, in every process; the first one writes and talks."""
    from seglab.training.loop import Trainer

    trainer = Trainer(settings, split.training, split.validation, fabric=fabric, precision=precision, about_data=about)
    if last:
        trainer.resume(last)
    if not fabric.is_global_zero:
        for _ in trainer.run(out, _just_iterate):
            pass
        return
    _keep_log(trainer, split, out)
    best = trainer.best()
    click.echo(f"{out / 'best.pt'}: epoch {best.epoch}, validation Dice {best.val_dice:.4f}, IoU {best.val_iou:.4f}")


def _keep_log(trainer: Trainer, split: Split, out: Path) -> None:
    from seglab.data.splits import write_split
    from seglab.networks.build import parameter_count
    from seglab.training import run_folder

    about = {
        "data": trainer.about_data,
        "precision": trainer.precision,
        "parameters": parameter_count(trainer.network),
    }
    write_split(out / run_folder.SPLIT, split)
    run_folder.write_settings(out, trainer.recipe, about)
    click.echo(
        f"{len(split.training)} images train, {len(split.validation)} validate, {len(split.test)} test "
        f"(split: {split.method}); {trainer.fabric.device}, {trainer.precision}.",
        err=True,
    )
    with run_folder.event_log(out, len(trainer.history)) as log_event:
        for epoch in trainer.run(out, _track):
            log_event(epoch, trainer.timing[-1])
            rate = trainer.timing[-1].images_per_second
            click.echo(_epoch_line(epoch, trainer.recipe.epochs, rate), err=True)
    _draw_examples(out, split)


def _split(data: tuple[Path, ...], settings: Recipe, exclude: Iterable[Path], split_file: Path | None) -> Split:
    from seglab.data.splits import limited, make_split, read_ids, split_by_file

    pairs = find_all_pairs(data)
    prepared = {pair.hair for pair in pairs} - {"none", settings.hair}
    if prepared:
        raise ConfigError(
            f"The data was prepared with hair={', '.join(prepared)}, the recipe says hair={settings.hair}; expected "
            f"the same, so that the network is used as it was trained. Add --set hair={prepared.pop()}."
        )
    excluded = {id for source in exclude for id in read_ids(source)}
    if split_file:
        found = split_by_file([pair for pair in pairs if pair.id not in excluded], split_file)
    else:
        found = make_split(
            pairs, settings.split, seed=settings.seed, val_share=settings.val_share, test_share=settings.test_share,
            exclude=excluded,
        )  # fmt: skip
    return limited(found, settings.limit, settings.seed)


def _inspected(split: Split, mode: str) -> Split:
    from seglab.data.inspection import inspect, require_sound

    if mode == "off":
        return split
    total = sum(len(pairs) for pairs in split.parts().values())
    with progress(total, "inspect", "image") as bar:
        findings = inspect(split, advance=bar.update)
    sound = require_sound(split, findings, mode)
    for line in findings.lines():
        click.echo(line, err=True)
    return sound


def _draw_examples(out: Path, split: Split) -> None:
    from seglab.evaluation.gallery import draw_examples
    from seglab.evaluation.original import Predictor
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.training import run_folder

    draw_examples(out / run_folder.EXAMPLES, Predictor(load_checkpoint(out / run_folder.BEST)), split.validation)


def _track(batches: Iterable[Any], description: str) -> Iterable[Any]:
    with progress(len(batches), description, "batch") as bar:  # type: ignore[arg-type]
        for batch in batches:
            yield batch
            bar.update()


def _just_iterate(batches: Iterable[Any], _description: str) -> Iterable[Any]:
    return batches


def _epoch_line(epoch: Epoch, epochs: int, rate: float) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: loss {epoch.train_loss:.4f}, validation loss {epoch.val_loss:.4f}, "
        f"Dice {epoch.val_dice:.4f}, IoU {epoch.val_iou:.4f}, {rate:.1f} images/s"
    )
