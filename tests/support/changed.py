"""Which tests belong to what changed since the last commit: ``python -m tests.support.changed`` prints them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("seglab", "export", "batch")
EVERYWHERE = ("tests/test_light_imports.py", "tests/test_rooms.py")


def changed_files() -> list[str]:
    """Return what differs from the last commit, new files included, as paths below the repository."""
    command = ["git", "status", "--porcelain", "--untracked-files=all", "--no-renames", "-z"]
    entries = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [entry[3:] for entry in entries if entry]


def names_of(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """Return the tests of the rooms that hold these files, the changed tests themselves, and the order of imports."""
    found = {test for name in changed for test in _names_of(PurePosixPath(name), root)}
    return sorted(found | set(EVERYWHERE)) if found else []


def _names_of(file: PurePosixPath, root: Path) -> Iterable[str]:
    if file.parts[0] in PACKAGES and file.suffix == ".py":
        room = PurePosixPath("tests") / file.parent
        own = room / f"test_{file.name}"
        if len(file.parts) == 2 and (root / own).exists():  # a file beside the rooms has a test beside the rooms
            return [str(own)]
        while not (root / room).is_dir():
            room = room.parent
        return [str(room)]
    if file.parts[0] == "tests" and file.name.startswith("test_") and (root / file).exists():
        return [str(file)]
    if file.suffix == ".md" or file.parts[0] == "docs":
        return ["tests/test_docs.py"]
    return []


if __name__ == "__main__":
    print(*names_of(changed_files()))  # noqa: T201 -- for `make check`
