"""Cost of walking archives with very many members: a zip, whose directory is kept in memory, and a tar.

``python -m benchmarks.studies.directory`` makes both, walks each in a process of its own as ``seg-batch run`` does, and
prints seconds of the processor and megabytes. Nothing is decoded. Linux only.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click

from benchmarks.support.places import machine

NAME = "photographs/{:04}/ISIC_{:07}.png"
CONTENT = b"not looked at"
WALK = """
import json, sys, time
import numpy
from batch.sources.collect import Sources

def peak():  # of this program alone: getrusage has that of the one before as well
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

before, start = peak(), time.process_time()
count = sum(1 for _ in Sources(sys.argv[1:], frozenset({".png"})))
seconds = time.process_time() - start
figures = {"seconds": round(seconds, 1), "megabytes": round((peak() - before) * 1024 / 1e6)}
print(json.dumps({"members": count, **figures}))
"""


@click.command()
@click.option("--members", default=1_000_000, show_default=True, help="Members of each archive.")
def main(members: int) -> None:
    """Measure, and print a table."""
    click.echo(machine())
    with tempfile.TemporaryDirectory() as folder:
        for path, write in ((Path(folder, "a.zip"), _write_zip), (Path(folder, "a.tar"), _write_tar)):
            write(path, members)
            found = _walked(path)
            if found["members"] != members:
                raise RuntimeError(f"{found['members']} of {members} members were found")
            cost = f"{found['seconds']} s of the processor, {found['megabytes']} MB"
            click.echo(f"{path.suffix[1:]:<4} {members:,} members: {cost}")


def _walked(path: Path) -> dict[str, Any]:
    ended = subprocess.run([sys.executable, "-c", WALK, path], capture_output=True, check=True)
    return cast("dict[str, Any]", json.loads(ended.stdout))


def _names(members: int) -> Iterator[bytes]:
    return (NAME.format(number // 1000, number).encode() for number in range(members))


def _write_zip(path: Path, members: int) -> None:
    """Write a zip of stored members without holding its directory as objects, as :mod:`zipfile` would."""
    crc, size = zlib.crc32(CONTENT), len(CONTENT)
    directory = bytearray()
    with path.open("wb") as file:
        for name in _names(members):
            fields = (20, 0, 0, 0, 0x5821, crc, size, size, len(name), 0)
            directory += struct.pack("<4sH5H3L2H3H2L", b"PK\1\2", 20, *fields, 0, 0, 0, 0, file.tell()) + name
            file.write(struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + CONTENT)
        start = file.tell()
        file.write(directory)
        end = file.tell()
        counts = (members, members, len(directory), start)
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *counts))
        file.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def _write_tar(path: Path, members: int) -> None:
    with path.open("wb") as file:
        for name in _names(members):
            info = tarfile.TarInfo(name.decode())
            info.size = len(CONTENT)
            file.write(info.tobuf(tarfile.USTAR_FORMAT) + CONTENT.ljust(512, b"\0"))
        file.write(bytes(1024))


if __name__ == "__main__":
    main()
