"""Archives: images in, masks and a ledger out."""

from __future__ import annotations

from batch.records import Figures, Result, Status
from batch.report import RunReport
from batch.runner import Runner, run
from batch.settings import RunSettings

__all__ = ["Figures", "Result", "RunReport", "RunSettings", "Runner", "Status", "run"]
