"""Segment archives: images in, masks and a ledger out.

``for result in batch.run(RunSettings(("images",), Path("masks")))`` is ``seg-batch run images --out masks``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batch.api.outcome import Failure, SegmentRun
    from batch.figures import Figures
    from batch.ledger.findings import SegmentedImage
    from batch.ledger.records import Result, Status
    from batch.running.report import RunReport
    from batch.running.runner import Runner, run
    from batch.settings import RunSettings

__all__ = [
    "Failure", "Figures", "Result", "RunReport", "RunSettings", "Runner", "SegmentRun", "SegmentedImage", "Status",
    "run",
]  # fmt: skip

_HOMES = {
    "Failure": "api.outcome",
    "SegmentRun": "api.outcome",
    "SegmentedImage": "ledger.findings",
    "Figures": "figures",
    "Result": "ledger.records",
    "RunReport": "running.report",
    "RunSettings": "settings",
    "Runner": "running.runner",
    "Status": "ledger.records",
    "run": "running.runner",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # imported on first use: every process of a run imports this package
        return getattr(importlib.import_module(f"batch.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
