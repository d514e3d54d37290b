"""``seglab validate``: score a checkpoint against truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import command_errors, progress
from seglab.commands.common import FOLDER, find_all_pairs

if TYPE_CHECKING:
    from seglab.metrics import Scores


@click.command()
@click.argument("checkpoint", type=FOLDER, metavar="CKPT")
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set folder; several may be given.")
@click.option(
    "--part", type=click.Choice(["validation", "all"]), default="validation",
    help="The fixed validation fifth of the ids, or every pair.",
)  # fmt: skip
@click.option("--json", "json_file", type=FOLDER, help="Write the figures as JSON; - for stdout.")
@click.option("--csv", "csv_file", type=FOLDER, help="Write a row per image.")
@click.option("--figures", type=FOLDER, help="Folder for overlays: the mask in cyan, the truth in amber.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def validate(
    checkpoint: Path,
    data: tuple[Path, ...],
    part: str,
    json_file: Path | None,
    csv_file: Path | None,
    figures: Path | None,
    device: str,
) -> None:
    """Score a checkpoint against the annotators' masks, at the images' original sizes.

    Example: seglab validate runs/quick/best.pt --data isic2018 --csv scores.csv --figures pictures
    """
    from seglab.checkpoints import load_checkpoint
    from seglab.figures import overlay, write_image
    from seglab.files import write_text
    from seglab.metrics import Scores
    from seglab.precision import choose_device
    from seglab.predict import Predictor
    from seglab.runs import write_csv
    from seglab.splits import validates
    from seglab.validation import judge

    predictor = Predictor(load_checkpoint(checkpoint), str(choose_device(device)))
    pairs = [pair for pair in find_all_pairs(data) if part == "all" or validates(pair.id)]
    scores = Scores()
    with progress(len(pairs), "validation", "image") as bar:
        for judged in judge(predictor, pairs):
            scores.add(judged.pair.id, judged.counts)
            if figures:
                name = f"dice{judged.counts.dice:.3f}_{judged.pair.id}.jpg"  # sorts from worst to best
                write_image(figures / name, overlay(judged.image, judged.mask, judged.truth))
            bar.update()
    report = {
        "format_version": 1,
        "checkpoint": {"file": checkpoint.name, "sha256": predictor.checkpoint.sha256},
        "data": [path.resolve().name for path in data],
        "part": part,
        "scores": scores.summary(),
    }
    if csv_file:
        write_csv(csv_file, scores.rows())
    if json_file and str(json_file) != "-":
        write_text(json_file, json.dumps(report, indent=2) + "\n")
    click.echo(json.dumps(report, indent=2) if str(json_file) == "-" else _score_table(scores))


def _score_table(scores: Scores) -> str:
    summary = scores.summary()
    tp, fp, fn, tn = (int(summary.pop(key)) for key in ("tp", "fp", "fn", "tn"))
    lines = [f"{key.replace('_', ' '):<20} {value:.4f}" for key, value in summary.items() if key != "count"]
    return "\n".join(
        [
            f"{'images':<20} {summary['count']:.0f}",
            *lines,
            "",
            f"{'pixels':<20} {'mask: lesion':>16} {'mask: skin':>16}",
            f"{'truth: lesion':<20} {tp:>16} {fn:>16}",
            f"{'truth: skin':<20} {fp:>16} {tn:>16}",
        ]
    )
