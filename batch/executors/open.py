"""The engine of a run: one pipeline in this process, or several processes with one each; and which of them to take.

On a CPU, a process per core that is bound to it beats threads: nothing waits for Python's lock, and the model
needs no threads that wait for each other (``benchmarks/studies/engine.py`` times both). On GPUs there is one process
for each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from batch.executors.base import Bound, Engine, Opened, Pipe
from batch.executors.placement import share_out
from batch.executors.start import end_processes, start_processes
from batch.executors.trace import Trace
from batch.outputs.base import Store
from batch.outputs.probabilities import ProbFiles
from batch.settings import RunSettings

if TYPE_CHECKING:
    from export.runtime.model import Model


class HereEngine:
    """A pipeline in this process."""

    def __init__(self, settings: RunSettings, model: Model) -> None:
        self.opened = Opened.of(model)
        self._settings, self._model = settings, model

    def start(self, store: Store, probs: ProbFiles | None, trace: Trace | None) -> tuple[Pipe, Bound]:
        """Return the pipeline."""
        from batch.executors.factory import set_up

        return set_up(self._settings, self._model, store, probs, trace, self._settings.ledger)

    def close(self) -> None:
        """Do nothing: the model goes with the run."""


def open_engine(settings: RunSettings, *, few: bool) -> Engine:
    """Open the model that the settings name, in as many processes as serve the device; one for a ``few`` images.

    Raises ContractError, DeviceError, and :class:`batch.errors.ProcessError` for what they raise elsewhere.
    """
    shares = share_out(settings, few=few)
    if len(shares) == 1:
        from batch.executors.factory import open_for

        return HereEngine(settings, open_for(replace(settings, device=shares[0].device)))
    processes = start_processes(len(shares))
    try:
        from batch.executors.processes import CrewEngine  # while they load what they need

        return CrewEngine(settings, shares, processes)
    except BaseException:
        end_processes(processes)
        raise
