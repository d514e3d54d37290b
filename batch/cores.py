"""The number of CPU cores this process may use: its affinity, limited by the quota of its container."""

from __future__ import annotations

import os
from collections.abc import Iterator

GROUPS = "sys/fs/cgroup"
"""Where Linux mounts control groups, below the root of the file system."""
QUOTA_AND_PERIOD = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
"""Files of cgroup version 1; version 2 has both values in ``cpu.max``."""


def cores(root: str = "/") -> int:
    """Return how many cores this process may use, at least 1.

    This is the number of cores it is bound to, or fewer if a control group sets a smaller quota (``docker run --cpus``,
    a Kubernetes limit), rounded up. ``root``: the folder that ``/proc`` and ``/sys`` are in.
    """
    return max(1, min([available_cores(), *_quotas(root)]))


def available_cores() -> int:
    """Return how many cores this process is bound to, without its quota; all cores if the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: str) -> Iterator[int]:
    """Yield the quotas, in cores, of this process's control groups and their parents."""
    for controllers, path in _groups(root):
        for folder in _and_above(path):
            for files in _files(controllers, folder):
                words = [word for file in files for word in _read(os.path.join(root, GROUPS, file)).split()]
                yield from _quota(words)


def _files(controllers: str, folder: str) -> list[list[str]]:
    """Return the files that may hold a group's quota and period, relative to the cgroup mount; mounts differ."""
    if controllers == "":
        return [[os.path.join(mount, folder, "cpu.max")] for mount in ("", "unified")]
    if "cpu" not in controllers.split(","):
        return []
    mounts = sorted({controllers, "cpu"})
    return [[os.path.join(mount, folder, name) for name in QUOTA_AND_PERIOD] for mount in mounts]


def _groups(root: str) -> Iterator[tuple[str, str]]:
    """Yield (controllers, path) of this process's control groups; version 2 groups have no controllers."""
    for line in _read(os.path.join(root, "proc/self/cgroup")).split("\n"):
        _, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if found:
            yield controllers, path


def _and_above(path: str) -> Iterator[str]:
    """Yield a group's path and its parents, up to the root, which is a container's own group.

    A container may see a path of its host, of which only the root exists inside it.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for length in range(len(parts), -1, -1):
        yield os.path.join("", *parts[:length])


def _quota(words: list[str]) -> Iterator[int]:
    """Yield the quota in cores from two words, quota and period; nothing if there is no quota."""
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
    except (OSError, ValueError):  # no such file, or an impossible name
        return ""
