"""Optimised graphs, kept from one run to the next: opening a model then takes a fraction of the time.

onnxruntime's CPU provider writes the graph as it optimised it, fused and laid out for one kind of processor; OpenVINO
keeps what it compiled under keys of its own. What other devices have to agree with is kept as well. A cache is never
needed: what is missing, damaged, or of another model, processor or version is made again, and a folder that cannot be
written is passed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import platform
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.runtime.session import Plan

    Proof = tuple[NDArray[np.uint8], NDArray[Any]]
    """Images ``(N, S, S, 3)``, and the CPU provider's probabilities of them as the graph gives them."""

Fixed = tuple[int, int, int] | None


@dataclass(frozen=True)
class GraphCache:
    """Where optimised graphs of one model are kept. ``model_sha256``: of the model's file."""

    folder: Path
    model_sha256: str

    def graph(self, plan: Plan, fixed: Fixed) -> Path:
        """Return the file for the optimised graph of a plan and its fixed batch, height and width."""
        return self.folder / f"{plan.device}-{self._key(plan.provider, plan.precision, fixed)}.onnx"

    def proof(self, make: Callable[[], Proof]) -> Proof:
        """Return what every device has to agree with on the model, as it is kept, or as ``make`` makes it."""
        import numpy as np

        path = self.folder / f"proof-{self._key('proof')}.npz"
        damaged = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
        with (
            contextlib.suppress(*damaged),
            path.open("rb") as kept_file,
            np.load(kept_file, allow_pickle=False) as kept,
        ):
            return kept["images"], kept["prob"]
        images, prob = make()
        with contextlib.suppress(OSError), replacing(path) as temporary, temporary.open("wb") as new_file:
            np.savez(new_file, images=images, prob=prob)
        return images, prob

    def compiled(self, plan: Plan, fixed: Fixed) -> Path:
        """Return the folder for what OpenVINO compiles for a plan; it is complete, or not there."""
        return self.folder / f"{plan.device}-{self._key(plan.provider, plan.options, fixed)}"

    def keeping_engines(self, plan: Plan, fixed: Fixed) -> Plan:
        """Return a TensorRT plan that keeps its engines, which take minutes to build.

        They are of one model, one GPU and one shape; TensorRT does not look.
        """
        folder = self.folder / f"tensorrt-{self._key(plan.provider, plan.precision, plan.detail, fixed)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return plan
        (name, options), *others = plan.providers
        kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
        return dataclasses.replace(plan, providers=((name, {**options, **kept}), *others))

    def _key(self, *parts: object) -> str:
        import onnxruntime

        whole = [self.model_sha256, *parts, onnxruntime.__version__, _processor()]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:24]


def keeping_compiled(plan: Plan, folder: Path) -> Plan:
    """Return an OpenVINO plan that keeps what it compiles in a folder."""
    config = json.loads(plan.options["load_config"])
    config["CPU"]["CACHE_DIR"] = str(folder)
    return dataclasses.replace(plan, options={**plan.options, "load_config": json.dumps(config)})


def _processor() -> str:
    """Describe the processor: an optimised graph is laid out for its vector units."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        wanted = ("model name", "flags", "Features", "CPU part")
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith(wanted)]
        return "|".join(dict.fromkeys(lines))
    return f"{platform.machine()} {platform.processor()}"
