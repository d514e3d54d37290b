"""``seglab inspect``: look at a data set before training on it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click

from seglab.cli_support import command_errors, progress
from seglab.commands.common import FOLDER, find_all_pairs

NOT_SOUND = 1


@click.command("inspect")
@click.argument("data", type=FOLDER, nargs=-1, required=True, metavar="DATA...")
@click.option(
    "--split", "method", type=click.Choice(["auto", "official", "fifth", "seeded"]), default="auto",
    help="How to split: the official parts, the fixed fifth of the ids, or by lesion from the seed.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="Seed of a seeded split.")
@click.option("--json", "json_file", type=FOLDER, help="Write what was found as JSON.")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Threads that read images.")
@command_errors
def inspect_data(data: tuple[Path, ...], method: str, seed: int, json_file: Path | None, workers: int) -> None:
    """Look for pairs that cannot be used, odd truths, and lesions or pictures on two sides of the split.

    Example: seglab inspect isic2018 isic2017 --split fifth
    """
    from seglab.data.inspection import inspect
    from seglab.data.splits import make_split
    from seglab.files import write_text

    split = make_split(find_all_pairs(data), method, seed=seed)
    sizes = {part: len(pairs) for part, pairs in split.parts().items()}
    with progress(sum(sizes.values()), "inspect", "image") as bar:
        findings = inspect(split, workers=workers, advance=bar.update)
    lesions = len({pair.lesion for pairs in split.parts().values() for pair in pairs})
    click.echo(f"{sum(sizes.values())} pairs of {lesions} lesions, split {split.method}: " + _counted(sizes))
    for line in findings.lines():
        click.echo(line)
    kinds = Counter(line.partition(":")[0] for line in findings.lines())
    click.echo(_counted({f"{kind}s": kinds[kind] for kind in ("error", "leak", "note")}))
    if json_file:
        report = {
            "format_version": 1, "split": split.method, "pairs": sizes, "lesions": lesions, "errors": findings.errors,
            "leaks": [str(leak) for leak in findings.leaks], "notes": findings.notes,
        }  # fmt: skip
        write_text(json_file, json.dumps(report, indent=1) + "\n")
    if not findings.sound:
        sys.exit(NOT_SOUND)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
