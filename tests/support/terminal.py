"""Commands on a terminal of a known width, as people see them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_terminal(words: Sequence[str | Path | bytes], folder: Path, columns: int, **env: str) -> tuple[int, list[str]]:
    """Run a command; return its exit code and the lines on the terminal. Each state of a bar counts as a line."""
    main, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    told: dict[str, str] = {**clean, "TERM": "xterm", **env}
    process = subprocess.Popen(words, cwd=folder, stdout=end, stderr=end, stdin=end, env=told)
    os.close(end)
    read = b""
    try:
        while data := os.read(main, 65536):
            read += data
    except OSError:  # Linux's word for the end of a terminal
        pass
    code = process.wait()
    os.close(main)
    return code, re.split(r"[\r\n]+", read.decode())


def of_package(name: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command line of ``batch``, ``export`` or ``seglab`` in this interpreter."""
    return [sys.executable, "-c", f"from {name}.cli import main; main(prog_name={name!r})", *arguments]
