"""Helpers for the tests of the Python functions."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.archive import save
from tests.support.artefact import blobs

COLUMNS = (
    "id, path, source, mask, status, bytes, mtime_ns, height, width, lesion_area, bbox_x0, bbox_y0, bbox_x1, bbox_y1, "
    "confidence, key, sha256, error, remark, suitable"
)


def rows(out: Path, what: str = COLUMNS, rest: str = "ORDER BY id") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        return connection.execute(f"SELECT {what} FROM items {rest}").fetchall()


def python(script: str, *arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, **more)


def write_photos(folder: Path) -> Path:
    """Write five photographs, one of them without a lesion, and a file that is not an image."""
    rng = np.random.default_rng(4)
    for number, (height, width) in enumerate([(90, 70), (64, 64), (201, 133), (120, 90)]):
        save(folder / f"{number}.png", blobs(rng, height, width)[0])
    save(folder / "skin.png", np.full((80, 60, 3), (220, 180, 160), np.uint8))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder
