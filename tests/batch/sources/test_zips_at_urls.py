"""Zips at URLs: their members are read by any thread of any process, and each process opens the zip once."""

from __future__ import annotations

import gc
import http.server
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch.ledger.records import Result
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.sources.archives.zip_members import ZipMember
from batch.sources.bytes import ByteSource
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef
from seglab.errors import ImageError
from tests.support.archive import masks_below, save_many
from tests.support.storage import Reply, Scripted

COUNT = 40
READ = """
import hashlib, pickle, sys
from concurrent.futures import ThreadPoolExecutor
from batch.sources.archives import shared

members = [entry for packed in pickle.load(sys.stdin.buffer) for entry in pickle.loads(packed)]
with ThreadPoolExecutor(4) as pool:
    for read in pool.map(lambda member: member.read(), members):
        print(hashlib.sha256(read.data).hexdigest(), read.version)
print(len(shared._known), len({id(member.shared) for member in members}))
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    save_many(folder, COUNT)
    return folder


@pytest.fixture
def zipped(photos: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(photos.iterdir()):
            file.write(path, path.name)
    return made.getvalue()


Serve = Callable[[str, bytes], str]
"""Put a file at an address; return that."""


@pytest.fixture(params=["bucket", "server that gives parts", "server that gives the whole"])
def serve(request: pytest.FixtureRequest) -> Serve:
    if request.param == "bucket":
        return lambda name, data: _in_bucket(request, name, data)
    gives_parts = request.param == "server that gives parts"
    scripted: Scripted = request.getfixturevalue("scripted")
    files: dict[str, bytes] = {}
    scripted.answer = lambda asked: _answer(asked, files.get(asked.path), gives_parts=gives_parts)

    def put(name: str, data: bytes) -> str:
        files[f"/{name}"] = data
        return f"{scripted.url}/{name}"

    return put


def _in_bucket(request: pytest.FixtureRequest, name: str, data: bytes) -> str:
    request.getfixturevalue("s3").pipe_file(f"photos/{name}", data)
    return f"s3://photos/{name}"


def _answer(asked: http.server.BaseHTTPRequestHandler, data: bytes | None, *, gives_parts: bool) -> Reply | None:
    wanted = asked.headers.get("Range")
    if data is None or wanted is None or not gives_parts:
        return None if data is None else Reply(data)
    first, last = wanted.removeprefix("bytes=").split("-")
    part = data[int(first) : int(last) + 1]
    said = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
    return Reply(part, 206, {"Content-Range": said})


def _items(*urls: str) -> tuple[Sources, list[ImageRef]]:
    sources = Sources(urls, frozenset({".png"}))
    return sources, list(sources)


def _run(sources: tuple[str, ...], out: Path, model_file: Path, *, processes: int) -> list[Result]:
    return list(Runner(RunSettings(sources, out, model=model_file, device="cpu", processes=processes)))


def _read_elsewhere(members: Sequence[object]) -> list[str]:
    root = str(Path(__file__).resolve().parents[3])
    packed = pickle.dumps([pickle.dumps(members[start : start + 7]) for start in range(0, len(members), 7)])
    environment = os.environ | {"PYTHONPATH": root}
    ended = subprocess.run(
        [sys.executable, "-c", READ], input=packed, env=environment, capture_output=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().splitlines()


def test_members_are_read_in_another_process_which_opens_the_zip_once(serve: Serve, zipped: bytes) -> None:
    sources, found = _items(serve("a.zip", zipped), serve("b.zip", zipped))
    members = [item.content for item in found]
    *read, kept = _read_elsewhere(members)
    here = [member.read() for member in members]
    assert [line.split()[1] for line in read] == [read.version for read in here]
    assert len({line.split()[0] for line in read}) == COUNT
    assert kept == "2 2"
    assert sources.report.is_complete


def test_several_threads_read_the_right_members(serve: Serve, zipped: bytes, photos: Path) -> None:
    _, found = _items(serve("a.zip", zipped))
    members = pickle.loads(pickle.dumps([item.content for item in found]))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda member: member.read().data, members * 3))
    assert read == [(photos / item.relative).read_bytes() for item in found] * 3


def test_several_processes_make_the_masks_that_one_makes(
    serve: Serve, zipped: bytes, photos: Path, tmp_path: Path, model_file: Path
) -> None:
    urls = [serve("a.zip", zipped), serve("b.zip", zipped)]
    results = _run(tuple(urls), tmp_path / "out", model_file, processes=2)
    assert {result.status.value for result in results} == {"done"}
    _run((str(photos),), tmp_path / "expected", model_file, processes=1)
    expected = masks_below(tmp_path / "expected")
    assert masks_below(tmp_path / "out") == {f"{name}/{mask}": expected[mask] for name in "ab" for mask in expected}


def test_what_was_fetched_goes_with_its_source(scripted: Scripted, zipped: bytes) -> None:
    scripted.answer = lambda _: Reply(zipped)
    sources, found = _items(f"{scripted.url}/a.zip")
    member = found[0].content
    assert isinstance(member, ZipMember)
    sent = pickle.dumps(member)
    elsewhere = pickle.loads(sent.replace(member.shared._name.encode(), b"f" * 32))  # type: ignore[union-attr]
    del sources, found, member
    gc.collect()
    with pytest.raises(ImageError, match="folder for temporary files cannot be read"):
        elsewhere.read()


def test_a_zip_that_changed_after_its_directory_was_read_costs_failed_rows(serve: Serve, zipped: bytes) -> None:
    _, found = _items(serve("a.zip", zipped))
    changed = bytearray(zipped)
    for at in range(0, len(changed), 50):
        changed[at] ^= 0x55
    serve("a.zip", bytes(changed))
    said = {_outcome(pickle.loads(pickle.dumps(item.content)), item.version) for item in found}
    assert said <= {"as it was", "It cannot be read from the archive"}  # what was fetched before is as it was


def _outcome(member: ByteSource, version: str) -> str:
    try:
        return "as it was" if member.read().version == version else "changed"
    except ImageError as error:
        return str(error).partition(":")[0]
