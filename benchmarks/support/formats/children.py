"""Processes that a file may kill. Each task has a time limit and a memory limit, and always an outcome."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.support.formats.decoders import Attempt, Decode, Task, attempted

Tag = TypeVar("Tag")
ADDRESS_SPACE = 8 << 30
"""Bytes a process may map beyond what it has: only to protect the machine. What counts is the memory it touches."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """``seconds`` for one file, ``megabytes`` that a process may grow by while it reads one."""

    seconds: float = 20.0
    megabytes: int = 400


@dataclass
class _Child(Generic[Tag]):
    process: Any
    pipe: Connection
    tag: Tag | None = None
    deadline: float = 0.0
    is_ready: bool = False
    is_busy: bool = field(default=True)


def run_all(
    tasks: Iterable[tuple[Tag, Task]], read: Decode, limits: Limits, processes: int | None = None
) -> Iterator[tuple[Tag, Attempt]]:
    """Yield the tag and attempt of every task, in any order. ``read``: the reader that is studied; picklable."""
    context = multiprocessing.get_context("spawn")
    count = processes or len(os.sched_getaffinity(0))
    waiting = iter(tasks)
    children: list[_Child[Tag]] = []
    try:
        children = [_started(context, read, limits) for _ in range(count)]
        while children:
            for index in range(len(children) - 1, -1, -1):
                child = children[index]
                attempt, tag = _step(child, limits), child.tag
                if attempt is not None and tag is not None:
                    yield tag, attempt
                if attempt is not None and attempt.state in ("crash", "hang", "memory"):
                    _stop(child)
                    child = children[index] = _started(context, read, limits)
                if child.is_ready and not child.is_busy and not _hand_out(child, waiting, limits):
                    _stop(child)
                    children.pop(index)
            wait([child.pipe for child in children], timeout=0.25) if children else None
    finally:
        for child in children:
            _stop(child)


def _hand_out(child: _Child[Tag], waiting: Iterator[tuple[Tag, Task]], limits: Limits) -> bool:
    found = next(waiting, None)
    if found is None:
        return False
    child.tag, child.is_busy, child.deadline = found[0], True, time.monotonic() + limits.seconds
    with contextlib.suppress(OSError):  # it has just died: the next step sees that
        child.pipe.send(found[1])
    return True


def _step(child: _Child[Any], limits: Limits) -> Attempt | None:
    """Return the attempt of a process's file, or None while it is not known."""
    if not child.is_busy:
        return None
    if not child.pipe.poll():
        if time.monotonic() <= child.deadline:
            return None
        if not child.is_ready:
            raise RuntimeError("A process that reads files did not start.")
        return Attempt("hang", f"no end after {limits.seconds:g} s")
    try:
        said: Attempt | None = child.pipe.recv()
    except (EOFError, OSError):
        return _death(child)
    child.is_busy, child.is_ready = False, True
    return said


def _death(child: _Child[Tag]) -> Attempt:
    child.process.join(5)
    code = child.process.exitcode
    if not child.is_ready:
        raise RuntimeError(f"A process that reads files ended at its start (exit code {code}).")
    name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return Attempt("crash", name)


def _started(context: Any, read: Decode, limits: Limits) -> _Child[Tag]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, read, limits), daemon=True)
    process.start()
    theirs.close()
    return _Child(process, ours, deadline=time.monotonic() + START_SECONDS)


def _stop(child: _Child[Any]) -> None:
    child.pipe.close()
    child.process.kill()
    child.process.join()


def _serve(pipe: Connection, read: Callable[..., Any], limits: Limits) -> None:
    """Work for the process above until it closes the pipe."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (what decoders print is no result)
    os.dup2(sys.stdout.fileno(), 2)
    os.environ["OMP_NUM_THREADS"] = "1"
    attempted(Task(b"\x89PNG\r\n\x1a\n", ".png"), read)  # what is imported for the first file
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_SPACE, mapped + ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send(None)
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            before = _peak()
            found = attempted(task, read)
            grown = _peak() - before
            if task.decoder == "seglab" and grown > limits.megabytes:
                found = Attempt("memory", f"{grown} MB more, {found.state}: {found.message}")
            pipe.send(found)


def _peak() -> int:
    """Return the most memory this process has had, in MB.

    From its own status: what ``getrusage`` says begins with that of the process above.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))
