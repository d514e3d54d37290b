"""Optimised graphs, kept from one run to the next: opening a model then takes a fraction of the time.

onnxruntime's CPU provider writes the graph as it optimised it, fused and laid out for one kind of processor; OpenVINO
keeps what it compiled under keys of its own. A cache is never needed: what is missing, damaged, or of another model,
processor or version is made again, and a folder that cannot be written is passed over.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.providers import Plan

Fixed = tuple[int, int, int] | None


@dataclass(frozen=True)
class GraphCache:
    """Where optimised graphs of one model are kept. ``model_sha256``: of the model's file."""

    folder: Path
    model_sha256: str

    def graph(self, plan: Plan, fixed: Fixed) -> Path:
        """Return the file for the optimised graph of a plan and its fixed batch, height and width."""
        import onnxruntime

        parts = [self.model_sha256, plan.provider, plan.precision, fixed, onnxruntime.__version__, _processor()]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        return self.folder / f"{plan.device}-{key[:24]}.onnx"

    def told(self, plan: Plan) -> Plan:
        """Return an OpenVINO plan with the folder in its configuration."""
        config = json.loads(plan.options["load_config"])
        config["CPU"]["CACHE_DIR"] = str(self.folder / "openvino")
        return dataclasses.replace(plan, options={**plan.options, "load_config": json.dumps(config)})


def _processor() -> str:
    """Describe the processor: an optimised graph is laid out for its vector units."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith(wanted)]
        return "|".join(dict.fromkeys(lines))
    return f"{platform.machine()} {platform.processor()}"
