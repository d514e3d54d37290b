"""``make check`` runs the tests that belong to what changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.changed import EVERYWHERE, PACKAGES, names_of


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["batch/sources/archives/archive.py"], ["tests/batch/sources"]),
        (["export/runtime/engines/openvino.py"], ["tests/export/runtime"]),
        (["batch/naming.py"], ["tests/batch/test_naming.py"]),
        (["seglab/errors.py"], ["tests/seglab"]),
        (["tests/seglab/test_cli.py", "batch/steps/masks.py"], ["tests/batch/steps", "tests/seglab/test_cli.py"]),
        (["README.md"], []),
        (["deploy/ray/cluster.yaml"], ["tests/deploy"]),
        (["seglab/recipes/quick.toml"], ["tests/seglab/recipes"]),
        (["benchmarks/studies/speed.py"], ["tests/benchmarks"]),
        (["tests/support/spoiled.py"], ["tests/contract/test_spoiled_files.py"]),
    ],
)  # fmt: skip
def test_what_changed_names_its_tests(repo_root: Path, changed: list[str], expected: list[str]) -> None:
    assert names_of(changed, repo_root) == sorted({*expected, *EVERYWHERE})


@pytest.mark.parametrize("changed", ["tests/seglab/test_that_was_removed.py", ".gitignore", "Makefile"])
def test_what_has_no_tests_names_none(repo_root: Path, changed: str) -> None:
    assert names_of([changed], repo_root) == []


def test_every_file_of_the_packages_has_tests(repo_root: Path) -> None:
    for package in PACKAGES:
        for path in (repo_root / package).rglob("*.py"):
            found = names_of([path.relative_to(repo_root).as_posix()], repo_root)
            assert len(found) == 1 + len(EVERYWHERE), path
            assert all((repo_root / name).exists() for name in found)


@pytest.mark.slow
def test_they_are_run_whatever_the_changed_files_are_called(repo_root: Path, tmp_path: Path) -> None:
    if not (repo_root / ".git").exists():
        pytest.skip("needs a checkout")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", repo_root, clone], check=True)

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tests.support.changed", "-q", "-k", "naming or planted_by_this"]
        environment = {**os.environ, "PYTHONPATH": str(clone)}
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)

    assert check().stdout == "No tests belong to what changed (make test runs all).\n"
    with (clone / "batch" / "naming.py").open("a") as file:
        file.write("# changed\n")
    ended = check()
    assert (ended.returncode, " passed" in ended.stdout) == (0, True), ended.stdout + ended.stderr
    (clone / "tests" / "batch" / "test_mit leer.py").write_text(
        "def test_planted_by_this() -> None:\n    assert not 1\n"
    )
    ended = check()
    assert (ended.returncode, "1 failed" in ended.stdout) == (1, True), ended.stdout + ended.stderr
