"""Two versions side by side: this checkout, and a commit unpacked beside it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.support.places import ROOT

CHANGED = "+"
"""Behind the commit of a working tree that differs from it."""


@dataclass(frozen=True)
class Tree:
    """The packages below ``root``; ``commit``: what they are, shortened."""

    commit: str
    root: Path


def working_tree() -> Tree:
    """Return this checkout."""
    changed = _git("status", "--porcelain", "--", "batch", "export", "seglab")
    return Tree(_commit("HEAD") + (CHANGED if changed else ""), ROOT)


def unpacked(reference: str, folder: Path) -> Tree:
    """Unpack a commit or tag into a new folder."""
    commit = _commit(reference)
    data = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")
    return Tree(commit, folder)


def default_base() -> str:
    """Return the last release tag; else the commit before, or HEAD where there are changes since, or no other."""
    candidates = _git("tag", "--merged", "HEAD", "--sort=-creatordate").splitlines()
    parents = [] if working_tree().commit.endswith(CHANGED) else _git("rev-list", "--skip=1", "-1", "HEAD").split()
    return next(iter([*candidates, *parents]), "HEAD")


def _commit(reference: str) -> str:
    return _git("rev-parse", "--short=10", "--verify", f"{reference}^{{commit}}")


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise click.ClickException("git is not there; expected it, to compare two commits. Install it.") from error
    if ended.returncode:
        said = ended.stderr.strip() or "it failed"
        raise click.ClickException(
            f"git {arguments[0]} {arguments[-1]}: {said}. Name a commit or tag of this repository."
        )
    return ended.stdout.strip()
