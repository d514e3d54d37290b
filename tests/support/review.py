"""An output to review, and the command that serves its page, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np

from tests.support.archive import SKIN, command, run_all, save, spot

COUNT = 8
"""Images with masks; one more failed."""
CUT = (0, 0, 64, 40)


def make_output(root: Path) -> Path:
    """Write photographs of several kinds into ``in``, run over them, and return the output."""
    for number in range(5):
        left = 8 + 4 * number
        save(root / "in" / ("a" if number % 2 else "b") / f"{number}.png", spot(48, 64, (left, 12, left + 20, 36)))
    save(root / "in" / "cut.png", spot(48, 64, CUT))
    save(root / "in" / "empty.png", np.full((40, 40, 3), SKIN, np.uint8))
    save(root / "in" / "grey.png", np.full((40, 60, 3), 120, np.uint8))
    (root / "in" / "broken.png").write_bytes(b"no image")
    run_all(root / "in", root / "out", probs=root / "maps")
    return root / "out"


def copied(output: Path, root: Path) -> Path:
    """Copy an output with its photographs and maps to ``root``, as if the run had been there."""
    for name in ("in", "out", "maps"):
        shutil.copytree(output.parent / name, root / name)
    execute(
        root / "out" / "ledger.sqlite",
        "UPDATE items SET path = replace(path, ?1, ?2)",
        *(str(output.parent), str(root)),
    )
    execute(
        root / "out" / "ledger.sqlite",
        "UPDATE runs SET settings = replace(settings, ?, ?)",
        *(str(output.parent), str(root)),
    )
    return root / "out"


def execute(database: Path, text: str, *values: object) -> list[Any]:
    """Run a statement on a database of a test."""
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(text, values).fetchall()


@dataclass
class Served:
    """A review page that is served. ``process``: of its server."""

    address: str
    process: subprocess.Popen[str]

    def get(self, path: str) -> dict[str, Any]:
        """Return an answer of the page's server."""
        with urllib.request.urlopen(self.address + path) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def decide(self, row: int, action: str, note: str = "", **headers: str) -> int:
        """Send a decision on the present mask of an image; return the status of the answer."""
        shown = self.get(f"api/images/{row}")
        return self.post({"row": row, "action": action, "sha256": shown["sha256"], "note": note}, **headers)

    def post(self, asked: dict[str, Any], **headers: str) -> int:
        """Send a decision as the page does, and return the status of the answer."""
        request = urllib.request.Request(
            f"{self.address}api/decisions",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return int(answer.status)
        except HTTPError as error:
            with error:
                return error.code

    def rows(self, query: str = "") -> dict[str, int]:
        """Return the row of each image on the first page, by name."""
        return {shown["name"]: shown["row"] for shown in self.get(f"api/images?{query}")["images"]}


@contextlib.contextmanager
def served(out: Path, *options: str) -> Iterator[Served]:
    """Serve the review of an output until the end."""
    arguments = command("review", out, "--no-browser", *options)
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, process.stderr and process.stderr.read()
            yield Served(address, process)
        finally:
            process.terminate()
            process.communicate(timeout=120)
