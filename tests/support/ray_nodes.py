"""A Ray cluster of several nodes on this machine, whose workers have the faults of ``tests/support/faults.py``."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults import ROOT, SITE, happened
from tests.support.storage import s3_variables

QUICKLY = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
"""A lost node is noticed after seconds."""
NODES = 2


class RayNodes:
    """A head without cores, and nodes with one core each. ``state``: where their faults are counted."""

    def __init__(self, state: Path, endpoint: str) -> None:
        from ray.cluster_utils import Cluster

        self.state, self._endpoint = state, endpoint
        (state / "faults").mkdir()
        with self._environment():
            self._cluster = Cluster(
                initialize_head=True,
                head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": QUICKLY},
            )
        self._nodes = [self._add() for _ in range(NODES)]

    @property
    def address(self) -> str:
        """The address for ``--address``."""
        return str(self._cluster.address)

    def replace_lost(self) -> int:
        """Start a node for each that was killed; return how many there were."""
        lost = [node for node in self._nodes if node.dead_processes()]
        for node in lost:
            self._cluster.remove_node(node, allow_graceful=False)
            self._nodes[self._nodes.index(node)] = self._add()
        return len(lost)

    def _add(self) -> Any:
        with self._environment():
            return self._cluster.add_node(num_cpus=1)

    def happened(self, fault: str) -> int:
        """Return how often a fault happened."""
        return happened(self.state, fault)

    def kill_before_commit(self, unit: str, times: int) -> None:
        """Kill this number of workers that are about to commit a unit, when its masks are stored already."""
        (self.state / "faults" / "commit").write_text(f"kill:{unit}:{times}")

    def forget_faults(self) -> None:
        """Set all counts to 0."""
        for file in (self.state / "faults").iterdir():
            file.unlink()

    def end(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _environment(self) -> Iterator[None]:
        """Set what nodes and their workers inherit: on other machines, an administrator does."""
        variables = {
            **s3_variables(self._endpoint),
            "PYTHONPATH": os.pathsep.join((str(SITE), str(ROOT))),
            "FAULT_STATE": str(self.state / "faults"),
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield


@contextlib.contextmanager
def ray_folder() -> Iterator[None]:
    """Let Ray put its files into a folder of the test's own; its path is short, as that of a socket must be."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield
    shutil.rmtree(folder, ignore_errors=True)
