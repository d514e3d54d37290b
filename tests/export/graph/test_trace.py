"""Tracing: the same network gives the same graph, and another one another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from onnx import ModelProto
from torch import nn

from export.graph.trace import trace
from seglab.networks.build import restore_network
from tests.support.artefact import TINY_SIZE, tiny_checkpoint
from tests.support.traces import remembering


@pytest.mark.slow
def test_the_same_network_gives_the_same_graph_and_a_changed_one_another(tmp_path: Path) -> None:
    """So tests may share what was traced (``tests/support/traces.py``)."""
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    shared = remembering(trace)
    first = shared(restore_network(checkpoint), TINY_SIZE)
    assert shared(restore_network(checkpoint), TINY_SIZE) == first == trace(restore_network(checkpoint), TINY_SIZE)
    changed = restore_network(checkpoint)
    with torch.no_grad():
        changed.get_parameter("head.weight").mul_(2)
    assert shared(changed, TINY_SIZE) != first


@pytest.mark.slow
def test_what_no_weight_shows_makes_a_network_another(tmp_path: Path) -> None:
    network = restore_network(tiny_checkpoint(tmp_path / "c.pt"))
    asked, graphs = [], []

    def counted(network: nn.Module, size: int) -> ModelProto:
        asked.append(network)
        return trace(network, size)

    for clipped in (1.0, 2.0, 1.0):
        layers = nn.Sequential(network, nn.Hardtanh(-clipped, clipped)).eval()
        graphs.append(remembering(counted)(layers, TINY_SIZE))
    assert graphs[0] == graphs[2] != graphs[1]
    assert len(asked) == 2
