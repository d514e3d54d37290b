"""Members of archives that unpack to gigabytes: a failed row each, and the memory of a run without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.archive import command, save_many
from tests.support.bombs import MIB, crc_of_zeros, deflated_zeros, gzipped_bomb, packed_zeros, sparse_tar, zip_of

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX's resource")]

SIZE = 1536 * MIB
MOST_MEMORY = 700 * 10**6
MEASURE = """
import json, resource, subprocess, sys
with open(sys.argv[1], "rb") as stdin:
    ended = subprocess.run(sys.argv[2:], stdin=stdin, capture_output=True, text=True)
factor = 1 if sys.platform == "darwin" else 1024
peak = factor * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([ended.returncode, ended.stdout + ended.stderr, peak]))
"""


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, bytes]:
    """More than are done in one process."""
    return {path.name: path.read_bytes() for path in save_many(tmp_path / "in", 40)}


def measured(work: Path, source: str, stdin: Path | str, model_file: Path) -> tuple[int, str, int]:
    """Run the command; return its exit code, what it and `status` said, and the bytes of its largest process."""
    words = command(
        "run", source, "--out", work / "masks", "--model", model_file, "--device", "cpu", "--processes", "2"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    line = [sys.executable, "-c", MEASURE, str(stdin), *map(str, words)]
    ended = subprocess.run(line, capture_output=True, check=True, env=environment, timeout=600)
    code, said, peak = json.loads(ended.stdout)
    status = command("status", work / "masks")
    told = subprocess.run(status, capture_output=True, text=True, check=True, env=environment)
    return code, said + told.stdout, peak


def require_one_failed(found: tuple[int, str, int], count: int, reason: str) -> None:
    code, said, peak = found
    assert (code, f"{count} masks, 1 failed" in said) == (3, True), said
    assert reason in said
    assert peak < MOST_MEMORY


@pytest.mark.parametrize(
    ("method", "lies"),
    [
        (zipfile.ZIP_DEFLATED, False),
        (zipfile.ZIP_DEFLATED, True),
        (zipfile.ZIP_BZIP2, True),
        (zipfile.ZIP_LZMA, True),
    ],
)
def test_in_a_zip(tmp_path: Path, photos: dict[str, bytes], model_file: Path, method: int, lies: bool) -> None:
    packed = deflated_zeros(SIZE) if method == zipfile.ZIP_DEFLATED else packed_zeros(SIZE, method)
    said = 300 * MIB if lies else SIZE
    path = tmp_path / "a.zip"
    path.write_bytes(zip_of("bomb.png", packed, method, said, crc_of_zeros(said), photos))
    reason = "holds more than the 314,572,800 bytes" if lies else "It has 1.5 GiB unpacked"
    require_one_failed(measured(tmp_path, str(path), os.devnull, model_file), len(photos), reason)


@pytest.mark.parametrize("by_stdin", [False, True])
def test_in_a_compressed_tar(tmp_path: Path, photos: dict[str, bytes], model_file: Path, by_stdin: bool) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzipped_bomb("bomb.png", SIZE, photos))
    found = measured(tmp_path, "-" if by_stdin else str(path), path if by_stdin else os.devnull, model_file)
    require_one_failed(found, len(photos), "It has 1.5 GiB unpacked; expected at most 512 MiB")


def test_in_a_tar_by_standard_input(tmp_path: Path, photos: dict[str, bytes], model_file: Path) -> None:
    sparse_tar(tmp_path / "a.tar", "bomb.png", SIZE, photos)
    found = measured(tmp_path, "-", tmp_path / "a.tar", model_file)
    require_one_failed(found, len(photos), "Unpack the archive and name the folder")
