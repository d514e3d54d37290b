"""Detect forked processes: the engines' threads and locks do not survive a fork, and waiting for them never ends."""

from __future__ import annotations

import os

from export.errors import DeviceError

_opened_in: int | None = None
"""ID of the first process that opened a model; a child forked later inherits its parent's ID."""


def require_own_process(device: str) -> None:
    """Raise :class:`DeviceError` in a process that was forked after its parent opened a model.

    There neither a new model nor the old one works reliably: OpenVINO hangs when it compiles, onnxruntime when it opens
    a session beside one with several threads.
    """
    global _opened_in
    if _opened_in is None:
        _opened_in = os.getpid()
    elif _opened_in != os.getpid():
        raise DeviceError(
            device,
            "this process was forked after its parent opened a model, whose threads did not survive the fork",
            "Start processes with multiprocessing's 'spawn' method, and open the model in each.",
        )
