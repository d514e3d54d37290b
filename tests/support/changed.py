"""Run the tests of what changed since the last commit: ``python -m tests.support.changed [PYTEST OPTION...]``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("seglab", "export", "batch", "benchmarks")
EVERYWHERE = ("tests/test_docs.py", "tests/test_light_imports.py", "tests/test_rooms.py", "tests/test_site.py")


def changed_files() -> list[str]:
    """Return the files that differ from the last commit, including new ones, as paths relative to this folder."""
    prefix = _git("rev-parse", "--show-prefix").strip()
    entries = _git("status", "--porcelain", "--untracked-files=all", "--no-renames", "-z", "--", ".").split("\0")
    return [entry[3:].removeprefix(prefix) for entry in entries if entry]


def names_of(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """Return the tests of the rooms of these files, the changed tests, and the quick tests of the whole repository.

    It is empty if no tests belong to the files.
    """
    found = {test for name in changed for test in _names_of(PurePosixPath(name), root)}
    return sorted(found | set(EVERYWHERE)) if found else []


def _names_of(file: PurePosixPath, root: Path) -> Iterable[str]:
    if file.parts[0] in PACKAGES and file.suffix != ".md":
        room = PurePosixPath("tests") / file.parent
        own = room / f"test_{file.name}"
        if len(file.parts) == 2 and (root / own).exists():  # a file beside the rooms has a test beside the rooms
            return [str(own)]
        while not (root / room).is_dir():
            room = room.parent
        return [str(room)]
    if file.parts[0] == "deploy":
        return ["tests/deploy"]
    if file.parts[:2] == ("tests", "support") and file.suffix == ".py":
        return _users(".".join(file.with_suffix("").parts), root)
    if file.parts[0] == "tests" and file.name.startswith("test_") and (root / file).exists():
        return [str(file)]
    return EVERYWHERE if file.suffix == ".md" or file.parts[0] == "docs" or file.name == "pyproject.toml" else []


def _users(module: str, root: Path) -> list[str]:
    """Return the tests that import a helper."""
    tests = (root / "tests").rglob("test_*.py")
    return [path.relative_to(root).as_posix() for path in tests if f"from {module} import" in path.read_text()]


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit("git is not installed; expected it, to see what changed. Run all tests: make test")
    if ended.returncode:
        sys.exit(f"{ended.stderr.strip()}; expected a checkout, to see what changed. Run all tests: make test")
    return ended.stdout


def main() -> int:
    """Run them; return pytest's exit code."""
    names = names_of(changed_files())
    if names:
        return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:], *names], cwd=ROOT, check=False).returncode
    print("No tests belong to what changed (make test runs all).")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
