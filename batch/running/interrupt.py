"""Ctrl-C during a run that another program started through the Python API."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batch.running.runner import Runner


@contextlib.contextmanager
def orderly_interrupt(runner: Runner) -> Iterator[None]:
    """End the run in good order on the first Ctrl-C, then raise :class:`KeyboardInterrupt`; a second one raises at
    once. A program's own SIGINT handler is kept, and other threads are not interrupted.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not runner.stop():  # no image was begun
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if runner.report.interrupted:
        raise KeyboardInterrupt
