"""The names of a job's files: units, attempts, and the folders that they are in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

KEY_PREFIX = "key="
JOB_FILE, MODEL_FILE = "job.json", "model.onnx"
MANIFEST, LEDGER, MASKS, ATTEMPTS = "manifest", "ledger", "masks", "attempts"
PARQUET, TAR = ".parquet", ".tar"
UNIT = re.compile(r"u-(\d{5,})(?:-r([1-9]\d*))?")
ATTEMPT = re.compile(r"(u-\d{5,}(?:-r[1-9]\d*)?)-([0-9a-f]{12})")
ATTEMPT_BYTES = 6


@dataclass(frozen=True, order=True)
class UnitName:
    """``u-00017``, or ``u-00017-r2``: a third try of its images that failed twice."""

    number: int
    retry: int = 0

    @classmethod
    def of(cls, text: str) -> UnitName | None:
        """Return the unit that a text names; None if it names none."""
        found = UNIT.fullmatch(text)
        return None if found is None else cls(int(found[1]), int(found[2] or 0))

    def __str__(self) -> str:
        return f"u-{self.number:05d}" + (f"-r{self.retry}" if self.retry else "")

    @property
    def manifest(self) -> str:
        """Return the name of its part of the manifest."""
        return f"{MANIFEST}/{self}{PARQUET}"

    @property
    def ledger(self) -> str:
        """Return the name of its part of the ledger, which exists once it is done."""
        return f"{LEDGER}/{self}{PARQUET}"

    @property
    def again(self) -> UnitName:
        """Return the unit for those of its images that failed."""
        return UnitName(self.number, self.retry + 1)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a unit; ``id`` is random."""

    unit: UnitName
    id: str

    @classmethod
    def new(cls, unit: UnitName) -> Attempt:
        """Return an attempt that nobody else makes."""
        return cls(unit, os.urandom(ATTEMPT_BYTES).hex())

    @classmethod
    def of(cls, text: str) -> Attempt | None:
        """Return the attempt that a file's name without suffix tells; None if it tells none."""
        found = ATTEMPT.fullmatch(text)
        unit = UnitName.of(found[1]) if found else None
        return None if found is None or unit is None else cls(unit, found[2])

    def __str__(self) -> str:
        return f"{self.unit}-{self.id}"

    @property
    def tar(self) -> str:
        """Return the name of its masks."""
        return f"{MASKS}/{self}{TAR}"

    @property
    def mark(self) -> str:
        """Return the name of the file that exists while it lasts."""
        return f"{ATTEMPTS}/{self.unit}/{self.id}"
