"""Forked processes: the engines' threads and locks do not come along, and what waits for them waits for ever."""

from __future__ import annotations

import os

from export.errors import DeviceError

_opened_in: int | None = None
"""The process that was the first to go about opening a model; a child forked off later finds its parent's number."""


def require_own_process(device: str) -> None:
    """Raise :class:`DeviceError` in a process that was forked off after a model was opened in its parent.

    There neither a new model nor the old one can be relied on: OpenVINO hangs as it compiles, onnxruntime as it opens a
    session beside one with several threads.
    """
    global _opened_in
    if _opened_in is None:
        _opened_in = os.getpid()
    elif _opened_in != os.getpid():
        raise DeviceError(
            device,
            "this process was forked off one that had opened a model, whose threads did not come along",
            "Start processes with multiprocessing's 'spawn', and open the model in each.",
        )
