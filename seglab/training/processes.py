"""Processes that train together: if one fails, all end, with one message and its exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from seglab.errors import INTERRUPTED, ConfigError, SeglabError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

FAILURES, EXIT_CODE = "seglab failures", "seglab exit code"
"""Keys of counters in the store of the process group."""
STARTER = "SEGLAB_STARTED_BY"
"""Environment variable with the id of the process that started this one."""
PATIENCE = 5.0
"""Seconds that a process gets to end after SIGTERM."""
MOMENT = 0.5
"""Seconds within which the end of a killed process shows."""
GRACE = 30.0
"""Seconds that this process gets to notice that another one failed."""


@contextlib.contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """Start the other processes; this one runs the body. If any fails, only the first to fail prints the reason.

    Raises :class:`ConfigError` where the processes do not find each other, :class:`SeglabError` where one was killed,
    and ``SystemExit`` with the first one's code in a process that fails because another did.
    """
    if fabric.world_size == 1:
        yield
        return
    children: list[subprocess.Popen[bytes]] = []
    noticed = threading.Event()
    try:
        _launch(fabric)
        children += _taken_over(fabric)
        threading.Thread(target=_watch, args=(children, noticed), daemon=True).start()
        yield
    except (Exception, KeyboardInterrupt) as error:
        noticed.set()
        children += _taken_over(fabric)  # those that were started before an error
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # this process is ending already
        first = _is_first_to_fail(fabric, error)
        killed = _end_others(children, MOMENT if first else PATIENCE)
        if not first:
            raise SystemExit(_exit_code()) from error
        if killed and isinstance(error, RuntimeError):
            raise SeglabError(
                f"One of the {fabric.world_size} processes of this training ended with code {killed[0]}. It may have "
                "run out of memory: lower batch or workers, then continue with --resume."
            ) from error
        raise
    finally:
        noticed.set()


def require_meeting_place(fabric: Fabric) -> None:
    """Raise :class:`ConfigError` where several machines train and the variables for their meeting point are not set."""
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment

    environment = getattr(fabric.strategy, "cluster_environment", None)
    missing = {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} - os.environ.keys()
    if isinstance(environment, LightningEnvironment) and missing:
        raise ConfigError(
            f"--nodes: {', '.join(sorted(missing))} not set; expected on each machine: MASTER_ADDR and MASTER_PORT "
            "(the address of the first machine and a free port there), and NODE_RANK (0 on the first). Set them, or "
            "start the command with torchrun or Slurm's srun."
        )


def _launch(fabric: Fabric) -> None:
    if fabric.local_rank == 0:
        os.environ[STARTER] = str(os.getpid())
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise ConfigError(
            f"The {fabric.world_size} processes did not find each other at {place} ({error}). "
            "Check that all were started, and that the first machine can be reached from the others."
        ) from error


def _taken_over(fabric: Fabric) -> list[subprocess.Popen[bytes]]:
    """Return the processes that this one started, and end Fabric's watch over them; empty at a second call.

    Fabric would kill this process within five seconds of the end of one, often before it can print the reason.
    """
    launcher: Any = getattr(fabric.strategy, "launcher", None)
    procs: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
    children = list(procs)
    procs.clear()  # an empty list ends Fabric's watch
    return children


def _watch(children: list[subprocess.Popen[bytes]], noticed: threading.Event) -> None:
    """Kill this process and the others where one ended and this one does not notice, because it waits for data."""
    while not any(child.poll() for child in children):
        if noticed.wait(MOMENT):
            return
    if not noticed.wait(GRACE):
        for child in children:
            child.kill()
        os.kill(os.getpid(), signal.SIGKILL)


def _is_first_to_fail(fabric: Fabric, error: BaseException) -> bool:
    if not dist.is_initialized():
        return fabric.local_rank == 0 or not isinstance(error, KeyboardInterrupt)
    try:
        store: Any = dist.distributed_c10d._get_default_store()
        first = store.add(FAILURES, 1) == 1
        if first:
            store.add(EXIT_CODE, _code_of(error))
    except RuntimeError:  # the store lived in process 0, which has ended
        return False
    return bool(first)


def _exit_code() -> int:
    try:
        return int(dist.distributed_c10d._get_default_store().add(EXIT_CODE, 0)) or 1
    except (RuntimeError, ValueError):
        return 1


def _code_of(error: BaseException) -> int:
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)


def _end_others(children: list[subprocess.Popen[bytes]], seconds: float) -> list[int]:
    """End the processes that this one started, or the one that started it. Return codes of those that failed before.

    ``seconds``: how long to wait for a process that is failing.
    """
    starter = os.getppid()
    if os.environ.get(STARTER) == str(starter):
        time.sleep(MOMENT)  # it may be ending for the same reason
        if os.getppid() == starter:
            os.kill(starter, signal.SIGTERM)
        return []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(child.poll() is None for child in children):
        time.sleep(0.02)
    codes = [child.returncode for child in children if child.returncode]
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
    return codes
