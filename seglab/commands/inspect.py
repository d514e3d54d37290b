"""``seglab inspect``: check a data set before training on it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import command_errors, echo_lines, progress
from seglab.commands.checks import EACH_IMAGE
from seglab.commands.common import FOLDER, DataNamed, data_options
from seglab.commands.places import json_with, require_outputs
from seglab.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seglab.data.checking.inspection import Findings
    from seglab.data.splits import Split

NOT_SOUND = 1
FORMAT_VERSION = 2
"""Version of the JSON report; 2 added ``faults``, ``remarks``, ``used`` and ``unused``."""
REPORT = json_with("sound", "leaks", words="a report of seglab inspect")
KINDS = ("fault", "error", "leak", "note", "remark")


@click.command("inspect")
@data_options(argument="DATA")
@click.option(
    "--split", "method", type=click.Choice(["auto", "official", "fifth", "seeded"]), default="auto",
    help="How to split: by official parts, by a fixed fifth of the ids, or by lesion from the seed.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="Seed of a seeded split.")
@click.option(
    "--lesions", type=click.Choice(["known", "ids"]), default="known",
    help="Where nothing says which images show the same lesion: report a fault, or treat each image as one lesion.",
)  # fmt: skip
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=256,
    help="Network's input side S; lesions below a pixel at this size are reported.",
)
@click.option("--json", "json_file", type=FOLDER, help="Write the findings as JSON.")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Threads that read images.")
@command_errors
def inspect_data(
    named: DataNamed, method: str, seed: int, lesions: str, size: int, json_file: Path | None, workers: int
) -> None:
    """Check a data set before training on it.

    It finds pairs that cannot be used, odd truth masks, and lesions or pictures on both sides of the split.

    Example: seglab inspect isic2018 isic2017 --split fifth
    """
    from seglab.data.checking.inspection import inspect
    from seglab.data.collection import used_lines
    from seglab.data.splits import make_split
    from seglab.files import write_text

    require_outputs({"--json": (json_file, REPORT)})
    collection = named.collect()
    split = make_split(collection.by_set, method, seed=seed)
    total = sum(len(pairs) for pairs in split.parts().values())
    with progress(total, "inspect", "image") as bar:
        findings = inspect(
            split, collection, size=size, each_image_a_lesion=lesions == EACH_IMAGE, workers=workers, advance=bar.update
        )
    used = list(used_lines(collection, split.parts(), split.unused))
    echo_lines([_split_line(split), *used, *findings.lines(), _summary(findings)])
    if json_file:
        write_text(json_file, json.dumps(_report(split, findings, used), indent=1) + "\n")
    if not findings.sound:
        sys.exit(NOT_SOUND)


def _split_line(split: Split) -> str:
    sizes = {part: len(pairs) for part, pairs in split.parts().items()}
    pairs, lesions = counted(sum(sizes.values()), "pair"), counted(_lesions(split), "lesion")
    return f"{pairs} of {lesions}, split {split.method}: {_counted(sizes)}"


def _summary(findings: Findings) -> str:
    kinds = Counter(line.partition(":")[0] for line in findings.lines())
    always = ("error", "leak", "note")
    return ", ".join(counted(kinds[kind], kind) for kind in KINDS if kinds[kind] or kind in always)


def _report(split: Split, findings: Findings, used: Sequence[str]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "sound": findings.sound,
        "split": split.method,
        "pairs": {part: len(pairs) for part, pairs in split.parts().items()},
        "unused": {reason: len(pairs) for reason, pairs in split.unused.items()},
        "used": list(used),
        "lesions": _lesions(split),
        "faults": findings.faults,
        "errors": findings.errors,
        "leaks": [str(leak) for leak in findings.leaks],
        "notes": findings.notes,
        "remarks": findings.remarks,
    }


def _lesions(split: Split) -> int:
    from seglab.data.groups import groups_of

    return len(set(groups_of([pair for pairs in split.parts().values() for pair in pairs])))


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
