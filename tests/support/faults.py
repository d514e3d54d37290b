"""Images that crash, hang or kill the process that reads them, and commands that read them, with real signals.

What the faults do is in ``fault_site/sitecustomize.py``, which the processes of a command import at their start.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.archive import command, seg_batch
from tests.support.artefact import blobs

SITE = Path(__file__).parent / "fault_site"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
POLL = 0.01
SOON = 20.0
"""Seconds within which a run must end after a second signal; after the first one, workers have as long to finish."""
GONE_SOON = 120.0
"""Seconds after the end of a command within which all its processes must be gone."""
PNG_HEAD = 33
"""Bytes of a PNG's signature and header."""
TOKEN = "FAULT_TOKEN"


def png(image: NDArray[np.uint8], fault: str = "", **options: Any) -> bytes:
    """Return the bytes of a readable PNG file with a fault (see ``KINDS``) in a text chunk."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", **options)
    return with_fault(file.getvalue(), fault)


def with_fault(data: bytes, fault: str) -> bytes:
    """Return the bytes of a PNG with a fault in a text chunk."""
    if not fault:
        return data
    chunk = b"tEXt" + b"Comment\0" + f"FAULT:{fault};".encode()
    return (
        data[:PNG_HEAD] + (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    ) + data[PNG_HEAD:]


def healthy(count: int, seed: int = 0, fault: str = "") -> dict[str, bytes]:
    """Return small images that all differ, by name; all of them with this fault."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(40, 90, (count, 2)).tolist()
    return {f"{n:03}.png": png(blobs(rng, *size)[0], fault) for n, size in enumerate(sizes)}


def faulty(*faults: str, count: int = 16) -> dict[str, bytes]:
    """Return healthy images and, among them, one of each fault, called by it."""
    images = healthy(count)
    for number, fault in enumerate(faults):
        pixels = blobs(np.random.default_rng(100 + number), 50, 60)[0]
        images[f"{3 * number:03}-{fault.replace(':', '_')}.png"] = png(pixels, fault)
    return dict(sorted(images.items()))


def run_words(source: str | Path, out: str | Path, model: Path, *options: str | Path) -> tuple[str | Path, ...]:
    """Return the words of a run on the CPU."""
    return ("run", source, "--out", out, "--model", model, "--device", "cpu", *options)


def write_images(folder: Path, images: dict[str, bytes]) -> Path:
    """Write images below a folder, and return it."""
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tar_of(images: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> bytes:
    """Return a tar of images."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:
        for name, data in images.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


class Started:
    """``seg-batch`` in a session of its own, with faults. ``state``: a folder for this and later commands.

    ``options``: of :class:`subprocess.Popen`. ``start_seconds``: by which workers start later.
    """

    def __init__(self, state: Path, *arguments: str | Path, start_seconds: float = 0.0, **options: Any) -> None:
        self._token = uuid.uuid4().hex
        self.temporary = state / "tmp"
        (state / "faults").mkdir(parents=True, exist_ok=True)
        self.temporary.mkdir(exist_ok=True)
        self._said = state / f"said-{self._token}"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(SITE), str(ROOT))),
            "PYTHONFAULTHANDLER": "1",
            "FAULT_STATE": str(state / "faults"),
            "FAULT_START_SECONDS": str(start_seconds),
            "TMPDIR": str(self.temporary),
            TOKEN: self._token,
        }
        options = {"stdin": subprocess.DEVNULL, **options}
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                command(*arguments), env=environment, stdout=said, stderr=said, start_new_session=True, **options
            )

    @property
    def said(self) -> str:
        """The output so far."""
        return self._said.read_text(errors="replace")

    @property
    def stdin(self) -> IO[bytes]:
        """Standard input, if it was opened as a pipe."""
        return cast(IO[bytes], self.process.stdin)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the command to end and return its exit code; all its processes must be gone then."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # Python prints the stacks of its threads
            self.process.wait(PATIENCE)
            raise AssertionError(f"no end within {seconds} s; it said: {self.said}") from None
        finally:
            if self.process.poll() is None:
                self.kill()
        wait_for(lambda: not self.processes(), GONE_SOON, f"processes outlive the command ({self.said})")
        return code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to all its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def processes(self) -> list[int]:
        """Return the command's running processes, without zombies."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_mine(pid)]

    def _is_mine(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return f"{TOKEN}={self._token}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False

    def says(self, words: str, seconds: float = PATIENCE) -> None:
        """Wait until the output contains this text."""
        wait_for(lambda: words in self.said, seconds, lambda: f"expected {words!r}, it said: {self.said}")

    def in_time(self, fault: str, state: Path) -> None:
        """Wait until a fault happens."""
        wait_for(lambda: happened(state, fault) > 0, PATIENCE, lambda: f"no {fault}; it said: {self.said}")


@contextlib.contextmanager
def started(state: Path, *arguments: str | Path, **options: Any) -> Iterator[Started]:
    """Start ``seg-batch``; all its processes are ended after the test."""
    run = Started(state, *arguments, **options)
    try:
        yield run
    finally:
        for pid in run.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.wait()
        if run.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                run.process.stdin.close()


def ended(state: Path, *arguments: str | Path, **options: Any) -> tuple[int, str]:
    """Run ``seg-batch`` to its end; return its exit code and output."""
    with started(state, *arguments, **options) as run:
        code = run.wait()
        return code, run.said


def happened(state: Path, fault: str) -> int:
    """Return how often a fault happened; of ``start``, how many workers have begun to start late."""
    return sum(path.stat().st_size for path in (state / "faults").glob(f"{fault}-*"))


def let_go(state: Path) -> None:
    """Let images with the fault ``hold`` be read."""
    (state / "faults" / "go").touch()


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: str | Callable[[], str]) -> None:
    """Wait until a condition holds. Raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
        time.sleep(POLL)


def counts(out: Path) -> dict[str, int]:
    """Return how many images are done, failed and pending, as ``seg-batch status`` says it; none without a ledger."""
    found = seg_batch("status", out, "--json")
    return dict(json.loads(found.stdout)["counts"]) if found.returncode == 0 else {}


def reasons(out: Path) -> dict[str, str]:
    """Return the reasons of the images that failed, by the names of their files."""
    found = seg_batch("status", out, "--json", "--all")
    assert found.returncode == 0, found.stderr
    return {Path(row["path"]).name: row["error"] for row in json.loads(found.stdout)["failures"]}


def everything_below(*folders: Path) -> set[str]:
    """Return all files below folders, including hidden ones, to check that nothing is left over."""
    return {path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}
