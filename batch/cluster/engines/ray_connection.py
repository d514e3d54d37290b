"""Import Ray, connect to a cluster or start a local one, and count the workers that there is room for."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from batch.cores import cores
from batch.errors import ProcessError, printable
from seglab.errors import ConfigError, MissingDependencyError

INSTALL = '--engine ray needs Ray, which is not installed. Install it on all nodes: pip install "seglab[cluster]".'
LOCAL, AUTO = "local", "auto"
"""Ray's words for a Ray of this machine that ends with the command, and for the cluster that this machine is in."""
HOST_AND_PORT = re.compile(r"\[?([^\[\]/]+?)\]?:(\d{1,5})")
CONNECT_SECONDS = 10.0
STORE_BYTES = 100 * 2**20
"""Of a local Ray's store for large objects, which holds nothing here."""
MOST_SHOWN = 300
"""Characters of a message of Ray."""


def import_ray(*, verbose: bool) -> ModuleType:
    """Import Ray. Raises :class:`MissingDependencyError`. It reads these variables when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not verbose:
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # messages of nodes that it prints to standard output
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    return ray


def connect(ray: ModuleType, address: str, *, verbose: bool) -> None:
    """Connect to a cluster, or start a local one. Raises :class:`ConfigError` if there is none."""
    size = {"num_cpus": cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
    talk = {"log_to_driver": verbose, "logging_level": "INFO" if verbose else "ERROR"}
    try:
        _require_listener(address)
        with _kept_handlers():
            ray.init(address, **talk, **(size if address == LOCAL else {}))
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        said = printable(one_line(error))
        if address == LOCAL:
            raise ProcessError(
                f"Ray does not start on this machine: {said}. Run without --engine ray, which uses all cores as well."
            ) from error
        if address == AUTO and isinstance(error, ConnectionError):
            raise ConfigError(
                "--address auto found no Ray cluster; expected this machine to be in one. Start it with `ray start "
                "--head`, name its address, or leave out --address to use this machine alone."
            ) from error
        raise ConfigError(
            f"The Ray cluster at {printable(address)} cannot be used: {said}. Expected HOST:PORT of one that answers. "
            "Start it with `ray start --head`, or correct --address."
        ) from error


def _require_listener(address: str) -> None:
    """Raise :class:`OSError` if nobody listens there: Ray would try for minutes."""
    if found := HOST_AND_PORT.fullmatch(address):
        socket.create_connection((found[1], int(found[2])), CONNECT_SECONDS).close()


@contextlib.contextmanager
def _kept_handlers() -> Iterator[None]:
    """Keep this process's handlers of signals: Ray replaces that of SIGTERM by one that ends it at once."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:  # None: another language has set it
                signal.signal(number, handler)


def one_line(error: Exception) -> str:
    """Return the beginning of a message of Ray, which may have many lines."""
    return (" ".join(str(error).split()) or type(error).__name__)[:MOST_SHOWN].rstrip(".")


def room_in(nodes: Sequence[Mapping[str, Any]], gpus: float) -> int:
    """Return how many workers all nodes together have room for; what others use of them is not subtracted."""
    found = 0
    for node in nodes:
        if node["Alive"]:
            has = node["Resources"]
            by_gpu = int(has.get("GPU", 0) / gpus + 1e-6) if gpus else int(has.get("CPU", 0))
            found += min(int(has.get("CPU", 0)), by_gpu)
    return found
