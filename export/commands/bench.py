"""``seg-export bench``: measure how fast a model runs here."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.commands.common import FILE, write_json_text
from export.commands.places import require_places
from seglab.cli_support import command_errors, echo, echo_lines
from seglab.terminal import aligned

if TYPE_CHECKING:
    from export.runtime.benchmark import Benchmark, Settings

FORMAT_VERSION = 1
BATCHES, QUICK_BATCHES = "1,2,4,8", "1,4"
LONGEST = 1024
FAILED = "failed"


@click.command()
@click.argument("models", metavar="MODEL...", type=FILE, nargs=-1, required=True)
@click.option(
    "--device",
    "devices",
    help="cpu, openvino, cuda, cuda:K, tensorrt; comma-separated.  [default: cpu, openvino and cuda, if they are here]",
)
@click.option("--batch", "batches", help=f"Batch lengths, comma-separated.  [default: {BATCHES}]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads on the CPU.  [default: the engine's own choice]")
@click.option("--compute", type=click.Choice(["fp32", "bf16", "int8"]), help="Time only this arithmetic.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=2.0, help="Time per batch length, for all models and devices."
)
@click.option(
    "--quick", is_flag=True, help=f"Only two calls each, batches {QUICK_BATCHES}: shows what works, not how fast."
)
@click.option("--json", "json_file", type=FILE, help="Write the figures to this file ('-': stdout).")
@command_errors
def bench(
    models: tuple[Path, ...],
    devices: str | None,
    batches: str | None,
    threads: int | None,
    compute: str | None,
    seconds: float,
    quick: bool,
    json_file: Path | None,
) -> None:
    """Measure how fast models run on this machine.

    Prints a table of images per second by device, precision and batch length. Images are at the network's size; timed
    from bytes to probabilities. All models and devices take turns, the median call counts, and each is checked against
    the CPU provider first. A device that cannot be used is listed with the reason.

    \b
    Example:
      seg-export bench lesion.onnx lesion-int8.onnx --batch 1,8 --threads 2
    """
    from export.runtime.benchmark import Settings, benchmark

    require_places({"--json": json_file}, models, what="a model that is to be timed")
    lengths = _lengths(batches or (QUICK_BATCHES if quick else BATCHES))
    names = tuple(name.strip() for name in devices.split(",")) if devices else ()
    settings = Settings(names, lengths, 0.0 if quick else seconds, threads, compute)
    echo(f"Opening {', '.join(map(str, models))} on every device, then timing ...", err=True)
    found = benchmark(models, settings)
    if json_file:
        write_json_text(json_file, _as_json(found, settings))
    if str(json_file) != "-":
        echo_lines(_lines(found, settings))


def _lengths(text: str) -> tuple[int, ...]:
    try:
        lengths = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1 or max(lengths) > LONGEST:
        raise click.BadParameter(
            f"{text!r} is not a list of batch lengths; expected whole numbers from 1 to {LONGEST}, such as 1,2,4,8.",
            param_hint="--batch",
        )
    return lengths


def _lines(found: Benchmark, settings: Settings) -> list[str]:
    """Return the table, followed by what failed or is not here."""
    head = ["images/s", "device", "precision", *(f"batch {length}" for length in settings.batches)]
    rows = [
        [
            entry.model,
            entry.device,
            entry.precision,
            *(f"{entry.rates[length]:.1f}" if length in entry.rates else FAILED for length in settings.batches),
        ]
        for entry in found.timed
    ]
    lines = aligned([head, *rows], right=range(3, len(head)))
    for entry in found.timed:
        lines += [f"failed: {entry.device} in batches of {length}: {reason}" for length, reason in entry.failed.items()]
    for absent in found.absent:
        name = f"{absent.model} on {absent.device} {absent.precision}".rstrip()
        lines.append(f"not timed: {name}: {absent.reason}. {absent.hint}".rstrip())
    return lines


def _as_json(found: Benchmark, settings: Settings) -> str:
    values = {
        "kind": "seglab bench",
        "format_version": FORMAT_VERSION,
        "settings": dataclasses.asdict(settings),
        "images_per_second": [dataclasses.asdict(entry) for entry in found.timed],
        "not_timed": [dataclasses.asdict(entry) for entry in found.absent],
    }
    return json.dumps(values, indent=2)
