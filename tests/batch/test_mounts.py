"""What is reached over a network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch.mounts import is_far


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(
        "/dev/vda / ext4 rw 0 0\n"
        "server:/photos /mnt/photo\\040archive nfs4 rw,relatime 0 0\n"
        "//nas/share /mnt/nas cifs rw 0 0\n"
        "sshfs#host: /mnt/ssh fuse.sshfs rw 0 0\n"
        "/dev/sdb1 /mnt/stick fuseblk rw 0 0\n"
        "/dev/sdc1 /mnt/nas/local xfs rw 0 0\n"
        "first:/ /mnt/twice nfs rw 0 0\n"
        "/dev/sdd /mnt/twice ext4 rw 0 0\n"
        "broken line\n"
    )
    return path


@pytest.mark.skipif(os.name == "nt", reason="mounts of POSIX")
@pytest.mark.parametrize(
    ("place", "far"),
    [
        ("/home/a", False),
        ("/mnt/photo archive/2024", True),
        ("/mnt/photo", False),
        ("/mnt/nas", True),
        ("/mnt/nasty", False),
        ("/mnt/nas/a.zip", True),
        ("/mnt/nas/local/a", False),
        ("/mnt/ssh/x", True),
        ("/mnt/stick/x", False),
        ("/mnt/twice/x", False),  # what was mounted last is what is there
        ("s3://bucket/masks", True),
    ],
)
def test_what_is_far(mounts: Path, place: str, far: bool) -> None:
    assert is_far(place, mounts) is far


def test_where_nothing_is_known_it_is_near(tmp_path: Path) -> None:
    assert not is_far(str(tmp_path), tmp_path / "none")
