"""Which executor a run uses: worker processes, or this process if it has a model open or the system is Windows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from batch.executors.base import Executor
from batch.executors.placement import share_out
from batch.outputs.base import Store
from batch.settings import RunSettings

if TYPE_CHECKING:
    from export.runtime.model import Model


def executor_for(
    settings: RunSettings,
    model: Model | None,
    store: Store | None,
    *,
    are_few: Callable[[], bool],
    state: Path | None = None,
) -> Executor:
    """Return the executor for a run. ``store``: None if masks are returned to the caller. ``are_few``: returns whether
    there are too few images for a second process to be worth its start. ``state``: see
    :class:`batch.executors.workers.Workers`.

    Raises ContractError and DeviceError for a model that is opened in this process.
    """
    if model is None and sys.platform != "win32":
        from batch.executors.workers import Workers

        return Workers(settings, share_out(settings, few=are_few()), store, state=state)
    from batch.executors.in_process import InProcess
    from batch.executors.opening import open_for

    return InProcess(settings, model or open_for(settings), store)
