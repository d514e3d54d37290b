"""How many cores there are for this process: those it is bound to, and no more than its container may use."""

from __future__ import annotations

import os
from collections.abc import Iterator

GROUPS = "sys/fs/cgroup"
"""Where Linux shows control groups, below the root of the file system."""
QUOTA_AND_PERIOD = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
"""Files of version 1; version 2 has both in ``cpu.max``."""


def cores(root: str = "/") -> int:
    """Return how many cores this process may use, at least 1.

    Those it is bound to, where the system can say so; fewer where the quota of a control group (``docker run --cpus``,
    a limit of Kubernetes) is smaller, rounded up. ``root``: the folder that ``/proc`` and ``/sys`` are in.
    """
    return max(1, min([available_cores(), *_quotas(root)]))


def available_cores() -> int:
    """Return how many cores this process is bound to, whatever its quota; all of the machine where that is not told."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: str) -> Iterator[int]:
    """Yield the quotas, in cores, of this process's control groups and of those above them."""
    for controllers, path in _groups(root):
        for folder in _and_above(path):
            for files in _files(controllers, folder):
                words = [word for file in files for word in _read(os.path.join(root, GROUPS, file)).split()]
                yield from _quota(words)


def _files(controllers: str, folder: str) -> list[list[str]]:
    """Return which files have a group's time and period, below where groups are shown; several places are usual."""
    if controllers == "":
        return [[os.path.join(mount, folder, "cpu.max")] for mount in ("", "unified")]
    if "cpu" not in controllers.split(","):
        return []
    mounts = sorted({controllers, "cpu"})
    return [[os.path.join(mount, folder, name) for name in QUOTA_AND_PERIOD] for mount in mounts]


def _groups(root: str) -> Iterator[tuple[str, str]]:
    """Yield (controllers, path) of this process's control groups; those of version 2 have no controllers."""
    for line in _read(os.path.join(root, "proc/self/cgroup")).split("\n"):
        _, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if found:
            yield controllers, path


def _and_above(path: str) -> Iterator[str]:
    """Yield a group's path and those above it, down to the root, which is a container's own group.

    A container may see a path of its host, of which only the root is there.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for length in range(len(parts), -1, -1):
        yield os.path.join("", *parts[:length])


def _quota(words: list[str]) -> Iterator[int]:
    """Yield the quota that two words say, time and period; nothing where they say that there is none."""
    try:
        time, period = map(int, words)
    except ValueError:  # "max 100000", or no such file
        return
    if time > 0 and period > 0:
        yield -(-time // period)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (OSError, ValueError):  # not there; no possible name
        return ""
