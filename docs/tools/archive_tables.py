"""Put the figures of the studies ``speed``, ``engine`` and ``scale`` into ``docs/explanation/speed.md``.

``python -m docs.tools.archive_tables`` reads all their files in ``benchmarks/results``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from benchmarks.support.places import RESULTS
from docs.tools.sections import SPEED_PAGE as PAGE
from docs.tools.sections import put

LINES = {
    "images_per_second": "images per second, from the start of the command to its end",
    "peak_megabytes_of_few": "peak memory of all processes with a hundredth of the images, MB",
    "peak_megabytes_of_many": "peak memory of all processes with all, MB",
    "ledger_bytes_per_image": "ledger, bytes per image",
    "microseconds_an_image_that_is_done": "run again with nothing to do, microseconds per image",
    "killed_after_images": "images done when it was killed (-9)",
    "seconds_to_first_new_mask_after_kill": "then, from the next command to the first new mask, s",
    "ledger_rows": "rows of a long ledger",
    "seconds_to_first_mask_with_no_rows": "from the command to the first mask, without it, s",
    "seconds_to_first_mask_with_these_rows": "with it, s",
    "megapixels_of_large_image": "one large PNG, megapixels",
    "seconds_of_large_image": "time for its mask, s",
    "megabytes_of_large_image": "memory for its mask, MB",
}


@click.command()
def main() -> None:
    """Write the section."""
    put(PAGE, "archives", "\n".join(_text()))


def _text() -> Iterator[str]:
    for path in sorted(RESULTS.glob("*-speed-*.json")):
        yield from _speed(json.loads(path.read_text()))
    for path in sorted(RESULTS.glob("*-engine.json")):
        yield from _engine(json.loads(path.read_text()))
    for path in sorted(RESULTS.glob("*-scale.json")):
        yield from _scale(json.loads(path.read_text()))


def _speed(figures: dict[str, Any]) -> Iterator[str]:
    yield f"### From files to files: {figures['network']}\n"
    yield f"{figures['machine']}; medians of {figures['rounds']} rounds"
    yield "of one run (`python -m benchmarks.studies.speed`), from the open model to the last mask. Times: images/s"
    yield "over the loop's. Share: of `1 / (t_infer + t_host / cores)`, the parts measured alone, the model with all"
    yield "cores (a session of one thread on each core can be faster than that). Dice: of masks to the PyTorch"
    yield "original's, and what is gained against the truth beyond those."
    for archive in dict.fromkeys(row["archive"] for row in figures["rows"]):
        rows = [row for row in figures["rows"] if row["archive"] == archive]
        title = f"{archive} ({rows[0]['images']} images)"
        yield f"\n| {title} | precision | images/s | times | share | Dice, mean | worst | gained |"
        yield "|" + " --- |" * 8
        yield from map(_speed_row, rows)
    yield ""


def _speed_row(row: dict[str, Any]) -> str:
    cells = (
        row["label"],
        row["precision"],
        f"{row['images_per_second']:.1f}",
        f"{row['ratio']:.2f}",
        f"{row['share_of_possible']:.0%}" if "share_of_possible" in row else "",
        f"{row['dice_to_original']:.4f}",
        f"{row['worst_dice_to_original']:.4f}",
        f"{row['dice_gained']:+.4f}",
    )
    return f"| {' | '.join(cells)} |"


def _engine(figures: dict[str, Any]) -> Iterator[str]:
    yield "### What the engine reaches\n"
    yield f"{figures['machine']}; {figures['model']}; 600x450 photographs, medians of one"
    yield "run (`python -m benchmarks.studies.engine`). Possible: `1 / (t_infer + t_host / cores)`, parts measured"
    yield "alone.\n"
    yield "| device | processes | model alone, ms | host alone, ms | possible, images/s | reached | share |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in figures["rates"]:
        yield (
            f"| {row['device']} {row['precision']} | {row['processes']} | {row['infer_ms']} | {row['host_ms']} | "
            f"{row['possible_images_per_second']} | {row['images_per_second']} | {row['share_of_possible']:.0%} |"
        )
    parts = (
        f"{row['own_ms']} ms with {row['processes']} process{'es' if row['processes'] > 1 else ''} "
        f"(as many plain loops at once: {row['plain_loop_ms']} ms{_of_own_process(row)})"
        for row in figures["own_cost"]
    )
    yield f"\nThe engine's own CPU time per image, with a network that computes nothing: {'; '.join(parts)}."
    starts = (f"{row['device']} {row['fresh']} s, later {row['again']} s" for row in figures["first_mask"])
    yield f"From the command to the first mask: {'; '.join(starts)}.\n"
    yield from _lengths(figures.get("lengths", []))


def _of_own_process(row: dict[str, Any]) -> str:
    return f"; the run's own process, ledger included: {row['own_process_ms']} ms" if "own_process_ms" in row else ""


def _lengths(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of whole commands."""
    if not rows:
        return
    yield "Whole commands, from their start to their end:\n"
    yield "| images | network | device | s | images/s | first mask, s | MB, all processes |"
    yield "|" + " --- |" * 7
    for row in rows:
        yield (
            f"| {row['images']:,} | {row['model']} | {row['device']} | {row['seconds']} | {row['images_per_second']} | "
            f"{row['first_mask_seconds']} | {row['peak_megabytes']} |"
        )
    yield ""


def _scale(figures: dict[str, Any]) -> Iterator[str]:
    yield f"### {figures['images']:,} tiny images in a tar\n\n{figures['machine']}; a network that computes next to"
    yield "nothing (`python -m benchmarks.studies.scale`).\n\n| | |\n| --- | --- |"
    for key, title in LINES.items():
        if key in figures:
            yield f"| {title} | {figures[key]:,} |"
    yield ""


if __name__ == "__main__":
    main()
