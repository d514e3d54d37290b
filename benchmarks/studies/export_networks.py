"""Export every network with one encoder after another: ``python -m benchmarks.studies.export_networks [--only TEXT]``.

Weights are random: whether a graph can be written, what is in it, and whether it computes what PyTorch computes does
not depend on them. Figures go to ``benchmarks/results/export-networks.json`` after each network (what is there is not
done again), and from there into the table of ``docs/reference/networks.md``.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.support.places import RESULTS, machine
from docs.tools.sections import NETWORKS_PAGE, put
from export.conversion.build import contract_for, segmenter
from export.errors import ContractError
from export.graph.writing import write_model
from export.runtime.opening import open_model
from seglab.errors import ConfigError
from seglab.evaluation.original import Predictor
from seglab.files import write_text
from seglab.networks.build import build_network, parameter_count, require_size_fits
from seglab.networks.checkpoints import Checkpoint, NetworkSpec
from seglab.recipes.recipe import SMP_ARCHITECTURES
from seglab.synth import synthesise

ENCODERS = (
    "resnet34", "efficientnet-b0", "mobilenet_v2", "mit_b0", "tu-mobilenetv3_small_100", "tu-convnext_atto",
)  # fmt: skip
VIT = "tu-vit_tiny_patch16_224"
"""DPT takes vision transformers only."""
SIZES = {"dpt": 224}
SIZE = 192
"""Not 256: the side is free."""
OPENINGS = 3
FILE = RESULTS / "export-networks.json"


@click.command()
@click.option("--only", default="", help="Only networks with this text in their names.")
def main(only: str) -> None:
    """Export the networks that are not done yet, and write their table."""
    found = json.loads(FILE.read_text())["networks"] if FILE.exists() else {}
    for arch, encoder in combinations():
        name = f"{arch}, {encoder}"
        if only in name and name not in found:
            found[name] = measure(arch, encoder)
            click.echo(f"{name}: {found[name]}", err=True)
            write_text(
                FILE, json.dumps({"format_version": 1, "machine": machine(), "networks": found}, indent=1) + "\n"
            )
    put(NETWORKS_PAGE, "networks", table())


def combinations() -> list[tuple[str, str]]:
    """Return every architecture with every encoder, and our own U-Net."""
    pairs = [(arch, encoder) for arch in SMP_ARCHITECTURES if arch != "dpt" for encoder in ENCODERS]
    return [*pairs, ("dpt", VIT), ("unet-scratch", "")]


def measure(arch: str, encoder: str) -> dict[str, Any]:
    """Export one network; return its figures, or the reason why it cannot be exported."""
    torch.manual_seed(0)
    size = SIZES.get(arch, SIZE)
    spec = NetworkSpec(arch, encoder or None)
    try:
        network = build_network(spec)
        require_size_fits(network, spec, size)
        checkpoint = Checkpoint(spec, size, network.state_dict())
        start = time.perf_counter()
        model = segmenter([checkpoint])
        seconds = time.perf_counter() - start
    except (ConfigError, ContractError) as error:
        return {"size": size, "reason": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        write_model(model, contract_for([checkpoint]), path)
        opened, opening = _open(path)
        images = np.stack([synthesise(size, size, seed).image for seed in range(2)])
        original = Predictor(checkpoint)
        expected = np.stack([original.prob(image) for image in images])
        operators = Counter(node.op_type for node in model.graph.node)
        return {
            "size": size,
            "weights": parameter_count(network),
            "nodes": len(model.graph.node),
            "operators": dict(operators.most_common()),
            "bytes": path.stat().st_size,
            "seconds_to_export": round(seconds, 1),
            "seconds_to_open": round(opening, 3),
            "max_prob": float(np.abs(opened.prob(images) - expected).max()),
        }


def _open(path: Path) -> tuple[Any, float]:
    seconds = []
    for _ in range(OPENINGS):
        start = time.perf_counter()
        model = open_model(path, "cpu")
        seconds.append(time.perf_counter() - start)
    return model, statistics.median(seconds)


def table() -> str:
    """Return the table as Markdown: what exports, how large it is, and how far from PyTorch; what does not, and why."""
    found = json.loads(FILE.read_text())["networks"] if FILE.exists() else {}
    lines = [
        "| network | S | weights | nodes | MiB | opens in | largest difference of probabilities |",
        "|" + " --- |" * 7,
    ]
    refused = []
    for name, row in found.items():
        if "reason" in row:
            refused.append(f"- {name}, {row['size']} x {row['size']}: {row['reason']}")
            continue
        lines.append(
            f"| {name.rstrip(', ')} | {row['size']} | {row['weights'] / 1e6:.1f} M | {row['nodes']} | "
            f"{row['bytes'] / 2**20:.1f} | {row['seconds_to_open']:.2f} s | {row['max_prob']:.1e} |"
        )
    not_made = ["", "Not exported, and why:", "", *refused] if refused else ["", "All of them export."]
    return "\n".join([*lines, *not_made]) + "\n"


if __name__ == "__main__":
    main()
