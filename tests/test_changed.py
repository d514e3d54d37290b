"""``make check`` runs the tests that belong to what changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.changed import EVERYWHERE, PACKAGES, names_of


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["batch/sources/archive.py"], ["tests/batch/sources"]),
        (["export/runtime/engines/openvino.py"], ["tests/export/runtime"]),
        (["batch/naming.py"], ["tests/batch/test_naming.py"]),
        (["seglab/errors.py"], ["tests/seglab"]),
        (["tests/seglab/test_cli.py", "batch/steps/masks.py"], ["tests/batch/steps", "tests/seglab/test_cli.py"]),
        (["README.md"], []),
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
