"""Faults that really happen: Python imports this at its start where this folder is on ``PYTHONPATH``.

It wraps what reads images: bytes that contain ``FAULT:crash;`` (or another kind of ``KINDS``) crash the process that
reads them. ``FAULT:crash:1;`` does it the first time only; ``FAULT:after-crash;`` once the image is read;
``FAULT:again-crash;`` when it is read again (for an overlay). It wraps the model as well: a batch with an image whose
upper left pixel is one of ``COLOURS`` has its fault. A file ``commit`` in ``FAULT_STATE`` with ``kill:u-00001:1`` kills
who is about to commit that unit of a cluster job, once. Set from outside: ``FAULT_STATE``, a folder in which faults are
counted, and ``FAULT_START_SECONDS``, by which workers start later. See ``tests/support/faults.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

MARKER = re.compile(rb"FAULT:(after-|again-)?([a-z]+)(?::(\d+))?;")
FOR_EVER = 100_000
SPARE_BYTES = 64 * 2**20
COLOURS = {(255, 0, 255): "crash", (0, 255, 255): "hang", (255, 255, 0): "raise"}
IS_WORKER = "FAULT_COMMAND" in os.environ
os.environ.setdefault("FAULT_COMMAND", str(os.getpid()))


def _kill(number: int) -> Callable[[], None]:
    """Return a function that sends its own thread a signal. One for the process may go to another thread, and this one
    would go on until that has died.
    """
    return lambda: signal.pthread_kill(threading.get_ident(), number)


def _hang_with_the_gil() -> None:
    ctypes.PyDLL(None).sleep(FOR_EVER)


def _kill_the_command() -> None:
    os.killpg(0, signal.SIGKILL)


def _kill_the_node() -> None:
    """Kill the Ray node that this process belongs to, and this process."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _eat() -> None:
    """Allocate memory until the process reaches its own limit."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    size = 1024 * int(re.findall(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[0])
    resource.setrlimit(resource.RLIMIT_AS, (size + SPARE_BYTES, before[1]))
    eaten = []
    try:
        while True:
            eaten.append(bytearray(2**20))
    finally:
        eaten.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)


def _raise() -> None:
    raise RuntimeError("a decoder fails")


def _panic() -> None:
    raise _Panic("a decoder in another language panics")


def _die_late() -> None:
    """Die soon, when this image may be done and another one is read."""
    threading.Timer(0.03, _kill(signal.SIGKILL)).start()


def _hold() -> None:
    """Wait until the test lets go; see ``tests.support.faults.let_go``."""
    while not Path(os.environ["FAULT_STATE"], "go").exists():
        time.sleep(0.01)


class _Panic(BaseException):
    """An exception like the panics of Rust libraries."""


class _Bomb:
    """Crashes the process when it is freed, like memory that a decoder has overwritten."""

    def __del__(self) -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGSEGV)


KINDS: dict[str, Callable[[], None]] = {
    "crash": _kill(signal.SIGSEGV),
    "kill": _kill(signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(FOR_EVER),
    "clutch": _hang_with_the_gil,
    "all": _kill_the_command,
    "node": _kill_the_node,
    "memory": _eat,
    "raise": _raise,
    "panic": _panic,
    "late": _die_late,
    "free": lambda: None,
    "slow": lambda: time.sleep(0.2),
    "nap": lambda: time.sleep(0.01),
    "hold": _hold,
}


def _happen(kind: str, data: bytes, times: bytes | None) -> bool:
    """Cause a fault, unless it has happened ``times`` times. Count it first. Return whether it happened."""
    counter = Path(os.environ["FAULT_STATE"], f"{kind}-{hashlib.sha1(data).hexdigest()[:12]}")
    if times is not None and counter.exists() and counter.stat().st_size >= int(times):
        return False
    _count(counter)
    KINDS[kind]()
    return True


def _is_first_read(data: bytes) -> bool:
    return _count(Path(os.environ["FAULT_STATE"], f"read-{hashlib.sha1(data).hexdigest()[:12]}")) == 1


def _count(counter: Path) -> int:
    """Add one to the count in a file, and return it."""
    with counter.open("ab") as file:
        file.write(b".")
        return file.tell()


def _faulty_reader(read: Callable[..., Any]) -> Callable[..., Any]:
    def reading(source: Path | bytes, *arguments: Any, **options: Any) -> Any:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        found = MARKER.search(data)
        if found is None:
            return read(source, *arguments, **options)
        when, kind, times = found.groups()
        if when == b"again-" and _is_first_read(data):
            return read(source, *arguments, **options)
        photo = read(source, *arguments, **options) if when == b"after-" else None
        happens = _happen(kind.decode(), data, times)
        photo = photo or read(source, *arguments, **options)
        if kind == b"free" and happens:
            object.__setattr__(photo, "bomb", _Bomb())
        return photo

    return reading


def _faulty_model(predict: Callable[..., Any]) -> Callable[..., Any]:
    def predicting(self: Any, images: Any) -> Any:
        for image in images:
            colour = tuple(image[0, 0].tolist())
            if colour in COLOURS:
                _happen(COLOURS[colour], bytes(colour), None)
        return predict(self, images)

    return predicting


def _spoil_reader(module: Any) -> None:
    for name in ("read_photo", "read_fitted"):
        setattr(module, name, _faulty_reader(getattr(module, name)))
    if IS_WORKER and (seconds := float(os.environ.get("FAULT_START_SECONDS", "0"))):
        _count(Path(os.environ["FAULT_STATE"], f"start-{os.getpid()}"))
        time.sleep(seconds)


def _spoil_model(module: Any) -> None:
    for name in ("seen", "seen_whole"):
        setattr(module.Model, name, _faulty_model(getattr(module.Model, name)))


def _spoil_commit(module: Any) -> None:
    commit = module._Attempted._commit

    def committing(self: Any, rows: Any, summary: Any) -> Any:
        file = Path(os.environ["FAULT_STATE"], "commit")
        kind, unit, times = file.read_text().split(":") if file.exists() else ("", "", "0")
        if summary.unit == unit:
            _happen(kind, unit.encode(), times.encode())
        return commit(self, rows, summary)

    module._Attempted._commit = committing


SPOILED = {
    "seglab.images.reader": _spoil_reader,
    "export.runtime.model": _spoil_model,
    "batch.cluster.unit": _spoil_commit,
}


class _Finder:
    """Finds the modules that get faults, by the other finders, and adds the faults when they are loaded."""

    @classmethod
    def find_spec(cls, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in SPOILED:
            return None
        sys.meta_path.remove(cls)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, cls)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_spoil(module: Any) -> None:
                load(module)
                SPOILED[name](module)

            spec.loader.exec_module = load_and_spoil  # type: ignore[method-assign]  # of this one loader
        return spec


if "FAULT_STATE" in os.environ:
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.meta_path.insert(0, _Finder)
