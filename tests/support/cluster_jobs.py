"""Jobs of ``seg-batch cluster``: plan, run and collect them by the commands, and look at their files."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet

from tests.support.archive import seg_batch


def plan(source: str | Path, job: str | Path, model: Path, *options: str | Path) -> str:
    """Plan a job on the CPU; return what the command said."""
    done = seg_batch("cluster", "plan", source, "--job", job, "--model", model, "--device", "cpu", *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def run_words(job: str | Path, *options: str | Path) -> tuple[str | Path, ...]:
    """Return the words of a run on the CPU in one process."""
    return ("cluster", "run", job, "--device", "cpu", "--processes", "1", *options)


def progress(job: str | Path) -> dict[str, Any]:
    """Return what ``status --json`` says."""
    done = seg_batch("cluster", "status", job, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def key_folder(job: Path) -> Path:
    """Return the only ``key=`` folder of a job on disk."""
    (found,) = job.glob("key=*")
    return found


def ledger_rows(job: Path) -> list[dict[str, Any]]:
    """Return all rows of all parts of the ledger."""
    parts = sorted((key_folder(job) / "ledger").glob("*.parquet"))
    return [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]


def masks_of(job: Path) -> dict[str, bytes]:
    """Return the masks that the ledger points to, by name, cut out of their tars by offset and size, as anyone could.

    Every image must have one row, and every tar must read as a tar with the same members.
    """
    rows = ledger_rows(job)
    assert Counter(row["path"] for row in rows).most_common(1)[0][1] == 1, "an image has two rows"
    found: dict[str, bytes] = {}
    for row in rows:
        if row["status"] == "done":
            data = (key_folder(job) / row["tar"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
            assert hashlib.sha256(data).digest() == row["sha256"]
            found[row["mask"]] = data
    for tar in {row["tar"] for row in rows if row["tar"]}:
        with tarfile.open(key_folder(job) / tar, "r:") as members:
            assert {member.name for member in members} == {row["mask"] for row in rows if row["tar"] == tar}
    return dict(sorted(found.items()))


def files_of(job: Path, folder: str) -> set[str]:
    """Return the names of the files in a folder of the job, those in its folders included."""
    above = key_folder(job) / folder
    return {path.relative_to(above).as_posix() for path in above.rglob("*") if path.is_file()}
