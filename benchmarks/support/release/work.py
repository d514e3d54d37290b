"""A release under way: its folder, its stages with what they took, and the commands that they call."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.support.places import ROOT, machine
from benchmarks.support.release.plan import Plan
from seglab.files import write_text

BEFORE = "before"
"""Folder with the network that the package had when the release began: its file and its PyTorch original."""
TOOLS = {"seglab": "seglab.cli", "seg-export": "export.cli", "seg-batch": "batch.cli"}


@dataclass
class Work:
    """A release in the folder ``out``. ``until``: when nothing more is begun, by ``time.monotonic``.

    ``student``: a network to go on from, instead of training one. ``commands``: those of the stage that is under way,
    as they were called.
    """

    data: Path
    out: Path
    plan: Plan
    device: str = "auto"
    until: float = math.inf
    student: Path | None = None
    commands: list[str] = field(default_factory=list)

    @property
    def hours_left(self) -> float:
        """Hours until the limit."""
        return (self.until - time.monotonic()) / 3600

    def call(self, tool: str, *words: str | Path) -> None:
        """Run one of the package's commands. Raises :class:`click.ClickException` where it fails."""
        line = [tool, *map(str, words)]
        said = shlex.join(line).replace(str(self.data), "DATA").replace(str(self.out), "WORK").replace(f"{ROOT}/", "")
        click.echo(said, err=True)
        if said not in self.commands:
            self.commands.append(said)
        script = f"from {TOOLS[tool]} import main; main()"
        ended = subprocess.run([sys.executable, "-c", script, *line[1:]], cwd=ROOT, check=False)
        if ended.returncode == 130:
            raise KeyboardInterrupt
        if ended.returncode:
            raise click.ClickException(
                f"{tool} ended with {ended.returncode} (its lines above say why); expected 0. Correct that, and run "
                "the same command again: it goes on here."
            )


@dataclass(frozen=True)
class Stage:
    """A part of a release. ``work`` returns whether it was finished; False where the hours were over."""

    name: str
    work: Callable[[Work], bool]

    def place(self, out: Path) -> Path:
        """Return the file that says what was done, and whether all of it."""
        return out / "stages" / f"{self.name}.json"

    def state(self, out: Path) -> dict[str, Any]:
        """Return the record of the stage; empty before it began."""
        place = self.place(out)
        return dict(json.loads(place.read_text())) if place.exists() else {}

    def is_finished(self, out: Path) -> bool:
        """Return whether the stage is finished."""
        return bool(self.state(out).get("finished"))

    def do(self, work: Work) -> bool:
        """Run or resume the stage; record seconds and commands over all attempts."""
        before = self.state(work.out)
        work.commands = list(before.get("commands", []))
        begin, is_finished = time.monotonic(), False
        try:
            is_finished = self.work(work)
        finally:
            state = {
                "stage": self.name, "plan": work.plan.name, "machine": machine(), "finished": is_finished,
                "seconds": round(before.get("seconds", 0) + time.monotonic() - begin, 1), "commands": work.commands,
            }  # fmt: skip
            write_text(self.place(work.out), json.dumps(state, indent=1) + "\n")
        return is_finished
