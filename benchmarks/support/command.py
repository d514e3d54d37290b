"""``seg-batch run`` as a command, watched: seconds, the first mask, peak memory; by this checkout or by another one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

POLL, MEMORY_POLL = 0.005, 0.05
PATIENCE = 600.0


@dataclass(frozen=True)
class Ended:
    """A command that ended well.

    ``first_mask``: seconds until a mask was there. ``megabytes``: peak memory of all its processes together.
    ``said``: on standard error.
    """

    seconds: float
    first_mask: float
    megabytes: float
    said: str


def run_arguments(source: Path, out: Path, model: Path | None, device: str, *options: str) -> list[str]:
    """Return the command line of a run, for :func:`start`."""
    models = ["--model", str(model)] if model else []
    return ["run", str(source), "--out", str(out), *models, "--device", device, *options]


def start(
    arguments: list[str], *, tree: Path | None = None, stderr: int | None = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start ``seg-batch``; ``tree``: the packages below this folder, not those that are installed."""
    environment = {**os.environ, "PYTHONPATH": str(tree)} if tree else None
    command = [sys.executable, "-P", "-c", "from batch.cli import main; main()", *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, env=environment
    )


def watched(arguments: list[str], is_begun: Callable[[], bool] = lambda: True, *, tree: Path | None = None) -> Ended:
    """Run a command to its end. Raises RuntimeError with its output if it fails.

    ``is_begun``: returns whether the first mask exists.
    """
    begin = time.perf_counter()
    first, peaks = 0.0, dict[int, float]()
    with tempfile.TemporaryFile() as said:
        process = start(arguments, tree=tree, stderr=said.fileno())
        try:
            while process.poll() is None:
                if not first and is_begun():
                    first = time.perf_counter() - begin
                for pid, peak in _peaks(process.pid).items():  # of one that has ended it is 0
                    peaks[pid] = max(peak, peaks.get(pid, 0.0))
                time.sleep(MEMORY_POLL if first else POLL)
            seconds = time.perf_counter() - begin
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(text)
    return Ended(seconds, first or seconds, sum(peaks.values()), text)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the process to end. Raises TimeoutError after ten minutes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing happened")
        time.sleep(POLL)


def _peaks(pid: int) -> dict[int, float]:
    """Return the peak memory in MB of a process and those that it started (``VmHWM``), as far as they are there.

    What ``wait4`` says would include this process, which the new one is for a moment.
    """
    found = {}
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for number in (pid, *map(int, children)):
            lines = Path(f"/proc/{number}/status").read_text().splitlines()
            found[number] = sum(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))
    return found
