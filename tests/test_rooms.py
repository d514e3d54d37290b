"""The order of packages and rooms, as ``make lint`` checks it: it holds, and it notices what is against it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("batch", "export", "seglab")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copied(repo_root: Path, tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(repo_root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repo_root / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_order_holds(copied: Path) -> None:
    ended = lint(copied)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    ("file", "imported", "contract"),
    [
        ("seglab/files.py", "export.errors", "packages BROKEN"),
        ("export/contract/fields.py", "export.proof.gate", "rooms of export BROKEN"),
        ("seglab/images/reader.py", "seglab.data.pairs", "rooms of seglab BROKEN"),
        ("batch/sources/bytes.py", "batch.outputs.base", "rooms of batch BROKEN"),
        ("batch/steps/masks.py", "batch.ledger.schema", "knows no ledger BROKEN"),
        ("batch/steps/masks.py", "torch", "batch runs without torch BROKEN"),
        ("export/runtime/model.py", "torch", "batch runs without torch BROKEN"),
        ("seglab/files.py", "benchmarks.track", "nothing beside it BROKEN"),
    ],
)
def test_an_import_against_it_is_noticed_even_inside_a_function(
    copied: Path, file: str, imported: str, contract: str
) -> None:
    with (copied / file).open("a") as module:
        module.write(f"\n\ndef planted() -> None:\n    import {imported}  # noqa: F401\n")
    ended = lint(copied)
    assert ended.returncode == 1
    assert contract in ended.stdout


def test_a_room_that_nobody_placed_is_noticed(copied: Path) -> None:
    (copied / "batch" / "attic.py").write_text("")
    assert "batch.attic" in lint(copied).stdout


def test_contract_tests_know_the_commands_and_the_public_api_only(repo_root: Path) -> None:
    public = {*PACKAGES, *(f"{package}.{name}" for package in PACKAGES for name in ("cli", "errors"))}
    for path in (repo_root / "tests" / "contract").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = {name for name in names if name and name.split(".")[0] in PACKAGES}
            assert ours <= public, path.name
