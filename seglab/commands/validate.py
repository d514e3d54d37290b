"""``seglab validate``: score a checkpoint against truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import command_errors, progress, require_packages
from seglab.commands.common import FOLDER, find_all_pairs

if TYPE_CHECKING:
    from seglab.evaluation.validate import Verdict


@click.command()
@click.argument("checkpoint", type=FOLDER, metavar="CKPT")
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set; several may be given.")
@click.option(
    "--part", type=click.Choice(["training", "validation", "test", "all"]), default="validation",
    help="The part of the split to score, or every pair.",
)  # fmt: skip
@click.option(
    "--split", "split_file", type=FOLDER,
    help="A run's split.json; without it the one beside CKPT, else the fixed fifth of the ids.",
)  # fmt: skip
@click.option("--tta", type=click.Choice(["none", "flips"]), help="Test-time flips; without it as the checkpoint says.")
@click.option("--boundary/--no-boundary", default=True, help="Measure outlines too (95 % Hausdorff, boundary IoU).")
@click.option("--json", "json_file", type=FOLDER, help="Write the figures as JSON; - for stdout.")
@click.option("--csv", "csv_file", type=FOLDER, help="Write a row per image.")
@click.option(
    "--figures", type=FOLDER, help="Folder for overlays (mask cyan, truth amber) and a sheet of best, median and worst."
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def validate(
    checkpoint: Path,
    data: tuple[Path, ...],
    part: str,
    split_file: Path | None,
    tta: str | None,
    boundary: bool,
    json_file: Path | None,
    csv_file: Path | None,
    figures: Path | None,
    device: str,
) -> None:
    """Score a checkpoint against the annotators' masks, at the images' original sizes.

    Example: seglab validate runs/quick/best.pt --data isic2018 --csv scores.csv --figures pictures
    """
    require_packages(("torch",), "This command runs the network in PyTorch")
    from seglab.evaluation.gallery import draw_examples
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.validate import Verdict, choose_part, judge
    from seglab.images.outlines import overlay, write_image
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.training.device import choose_device
    from seglab.training.run_folder import SPLIT, write_csv

    predictor = Predictor(load_checkpoint(checkpoint), device=str(choose_device(device)), tta=tta)
    beside = checkpoint.with_name(SPLIT)
    if split_file is None and beside.exists():
        split_file = beside
    pairs = choose_part(find_all_pairs(data), part, split_file)
    divided_by = "none" if part == "all" else str(split_file or "the fixed fifth of the ids")
    click.echo(f"{len(pairs)} pairs: {part}, split: {divided_by}", err=True)
    verdict = Verdict(outlines=boundary)
    with progress(len(pairs), "validation", "image") as bar:
        for judged in judge(predictor, pairs):
            verdict.add(judged)
            if figures:
                name = f"dice{judged.counts.dice:.3f}_{Path(judged.pair.id).name}.jpg"  # sorts from worst to best
                write_image(figures / name, overlay(judged.image, judged.mask, judged.truth))
            bar.update()
    if figures:
        dice = [counts.dice for counts in verdict.scores.counts]
        draw_examples(figures / "best_median_worst.jpg", predictor, pairs, dice)
    if csv_file:
        write_csv(csv_file, verdict.rows())
    report = {
        "format_version": 1,
        "checkpoint": {"file": checkpoint.name, "sha256": predictor.checkpoint.sha256},
        "data": [path.resolve().name for path in data],
        "part": part,
        "split": "none" if part == "all" else split_file.name if split_file else "fifth",
        "tta": predictor.tta,
        "scores": verdict.summary(),
        "intervals": verdict.intervals(),
    }
    _say(json.dumps(report, indent=2), verdict, json_file)


def _say(report: str, verdict: Verdict, json_file: Path | None) -> None:
    """Print the scores: a table, or with ``--json -`` the report, which otherwise goes to the file."""
    from seglab.files import write_text

    if json_file and str(json_file) != "-":
        write_text(json_file, report + "\n")
    click.echo(report if str(json_file) == "-" else _score_table(verdict))


def _score_table(verdict: Verdict) -> str:
    summary, intervals = verdict.summary(), verdict.intervals()
    tp, fp, fn, tn = (int(summary.pop(key)) for key in ("tp", "fp", "fn", "tn"))
    lines = []
    for key, value in summary.items():
        if key == "count":
            continue
        low, high = intervals.get(key, (None, None))
        bounds = f"   95 % interval {low:.4f} to {high:.4f}" if low is not None else ""
        lines.append(f"{key.replace('_', ' '):<20} {value:.4f}{bounds}")
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
