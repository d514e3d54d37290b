"""pytest-benchmark's JSON as a page: ``python -m docs.tools.benchmark_page bench.json benchmarks/RESULTS.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from seglab.files import write_text

HEAD = """# Benchmark results

From image files to mask files with the network loaded, medians of {rounds} rounds in one run; the same network (the one
that comes with the package) throughout. Ratio: images/s over those of the PyTorch loop. "Dice to original": masks
against the PyTorch original's (fp32, whole decode, antialiased resize), mean and worst image. Made by `make bench`.

{machine}
"""
TABLE = """
## {name}: {images} images

| | precision | images/s | ratio | Dice to original | worst | Dice | IoU |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
ROW = (
    "| {label} | {precision} | {rate:.1f} | {ratio:.1f} | {dice_to_original:.4f} | "
    "{worst_dice_to_original:.4f} | {dice:.4f} | {iou:.4f} |\n"
)


def render(report: dict[str, Any]) -> str:
    """Return the tables as Markdown. ``report``: pytest-benchmark's JSON with the extra figures of our benchmarks."""
    rows = [_row(entry) for entry in report["benchmarks"] if "archive" in entry["extra_info"]]
    text = HEAD.format(rounds=max(row["rounds"] for row in rows), machine=_machine(report["machine_info"]))
    for name in dict.fromkeys(row["archive"] for row in rows):
        text += _table(name, [row for row in rows if row["archive"] == name])
    return text


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    row = dict(entry["extra_info"])
    return {**row, "rate": row["images"] / entry["stats"]["median"]}


def _table(name: str, rows: Iterable[dict[str, Any]]) -> str:
    rows = list(rows)
    rival = next(row for row in rows if row.get("rival"))
    text = TABLE.format(name=name, images=rival["images"])
    return text + "".join(ROW.format(**row, ratio=row["rate"] / rival["rate"]) for row in rows)


def _machine(info: dict[str, Any]) -> str:
    cpu = info["cpu"]
    features = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in cpu["flags"]]
    return (
        f"Machine: {cpu.get('brand_raw', 'unknown CPU')}, {cpu['count']} cores ({', '.join(features)}), "
        f"{info['system']}, Python {info['python_version']}."
    )


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
def main(source: Path, target: Path) -> None:
    """Write the page TARGET from pytest-benchmark's JSON, SOURCE."""
    write_text(target, render(json.loads(source.read_text())))


if __name__ == "__main__":
    main()
