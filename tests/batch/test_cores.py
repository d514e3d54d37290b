"""Cores of a container: small trees of files stand for ``/proc`` and ``/sys``."""

import os
from pathlib import Path

import pytest

from batch.cores import available_cores, cores

V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.fixture(autouse=True)
def of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def tree(root: Path, group: str, files: dict[str, str]) -> str:
    for name, text in {"proc/self/cgroup": group, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("250000 100000\n", 3),
        ("1000 100000\n", 1),
        ("0 100000\n", 8),
        ("9900000 100000\n", 8),
        ("50000 50000\n", 1),
        ("", 8),
        ("100000\n", 8),
        ("many\n", 8),
        ("1 0\n", 8),
        ("\udcff 1\n", 8),
    ],
)
def test_a_quota_of_version_2_is_rounded_up(tmp_path: Path, quota: str, expected: int) -> None:
    root = tree(tmp_path, "0::/\n", {f"{V2}/cpu.max": ""})
    (tmp_path / V2 / "cpu.max").write_bytes(quota.encode("utf-8", "surrogateescape"))
    assert cores(root) == expected
    assert available_cores() == 8


def test_the_smallest_quota_of_a_group_and_those_above_it_counts(tmp_path: Path) -> None:
    files = {
        f"{V2}/kubepods/cpu.max": "500000 100000",
        f"{V2}/kubepods/pod1/cpu.max": "300000 100000",
        f"{V2}/kubepods/pod1/main/cpu.max": "max 100000",
        f"{V2}/kubepods/pod2/cpu.max": "100000 100000",
    }
    assert cores(tree(tmp_path, "0::/kubepods/pod1/main\n", files)) == 3


@pytest.mark.parametrize("path", ["/docker/0123abc", "/../../init.scope", "/", ""])
def test_a_container_that_sees_a_path_of_its_host_has_its_quota_at_the_root(tmp_path: Path, path: str) -> None:
    assert cores(tree(tmp_path, f"0::{path}\n", {f"{V2}/cpu.max": "400000 100000"})) == 4


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1(tmp_path: Path, mount: str) -> None:
    group = "12:cpuset:/a\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/system.slice\n"
    above, own = (f"sys/fs/cgroup/{mount}/docker{inner}" for inner in ("", "/abc"))
    files = {
        f"{above}/cpu.cfs_quota_us": "-1\n", f"{above}/cpu.cfs_period_us": "100000\n",
        f"{own}/cpu.cfs_quota_us": "250000\n", f"{own}/cpu.cfs_period_us": "100000\n",
    }  # fmt: skip
    assert cores(tree(tmp_path, group, files)) == 3


def test_a_group_of_version_1_without_a_period_has_no_quota(tmp_path: Path) -> None:
    assert cores(tree(tmp_path, "4:cpu,cpuacct:/\n", {f"{V1}/cpu.cfs_quota_us": "100000\n"})) == 8


@pytest.mark.parametrize("group", ["", "nonsense", "::::", "0:\n", "3:memory:/a\n", "0::/a\udcff\n"])
def test_no_group_or_a_strange_one_leaves_all_cores(tmp_path: Path, group: str) -> None:
    root = tree(tmp_path, "", {})
    (tmp_path / "proc/self/cgroup").write_bytes(group.encode("utf-8", "surrogateescape"))
    assert cores(root) == 8


def test_a_system_without_groups_has_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores(str(tmp_path)) == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores(str(tmp_path)) == (os.cpu_count() or 1)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores(str(tmp_path)) == 1


def test_here_there_is_at_least_one() -> None:
    assert 1 <= cores() <= available_cores()
