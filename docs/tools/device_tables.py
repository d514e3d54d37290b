"""Put the figures of ``benchmarks.studies.bound`` into ``docs/explanation/speed.md``.

``python -m docs.tools.device_tables`` reads all ``benchmarks/results/*-bound.json``, one for each family of CPUs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from benchmarks.support.places import RESULTS
from docs.tools.sections import SPEED_PAGE, put

USED = "2"
"""The batch of a process with a core to itself: ``batch.executors.batches.ONE_CORE_BATCH``."""


@click.command()
def main() -> None:
    """Write the section."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*-bound.json"))]
    put(SPEED_PAGE, "bound", "\n\n".join("\n".join(_table(figures)) for figures in found))


def _table(figures: dict[str, Any]) -> Iterator[str]:
    batches = list(figures["rows"][0]["images_per_second"])
    version = figures["openvino"].partition("-")[0]
    yield f"{figures['machine']}; OpenVINO {version}; {figures['rounds']} rounds; images/s.\n"
    heads = " | ".join(f"batch {batch}" for batch in batches)
    yield f"| model | device | computed in | {heads} | benchmark_app | batch {USED}, share of it |"
    yield "|" + " --- |" * (len(batches) + 5)
    for row in figures["rows"]:
        rates = " | ".join(str(row["images_per_second"][batch]) for batch in batches)
        computed = row["compute"] if row["precision"] == "fp32" else f"{row['precision']}, rest {row['compute']}"
        share = row.get("share_of_benchmark_app", {}).get(USED, "")
        yield f"| {row['model']} | {row['device']} | {computed} | {rates} | {row.get('benchmark_app', '')} | {share} |"


if __name__ == "__main__":
    main()
