"""What the page on clusters shows with a bucket, and what it says of requests and tars, on an S3 on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seglab.synth import write_set

pytestmark = pytest.mark.slow
IMAGES = 24
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """The requests, as (method, path), that reach the S3 to which ``s3://`` refers."""
    moto = pytest.importorskip("moto.server")
    serving = pytest.importorskip("werkzeug.serving")
    seen: list[tuple[str, str]] = []

    class Noting(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]  # werkzeug is loaded late
        def log_request(self, *_: object) -> None:
            seen.append((self.command, self.path))

    application = moto.DomainDispatcherApplication(moto.create_backend_app)
    server = serving.make_server("127.0.0.1", 0, application, threaded=True, request_handler=Noting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    named = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (named | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}"}).items():
        monkeypatch.setenv(name, value)
    yield seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(requests: list[tuple[str, str]], tmp_path: Path) -> Any:
    """The bucket of the page, with photographs."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    files = fsspec.filesystem("s3")
    files.mkdir("bucket")
    write_set(tmp_path / "set", IMAGES, [(60, 80)], seed=6)
    for photo in sorted((tmp_path / "set" / "images").iterdir()):
        files.put_file(str(photo), f"bucket/photos/{photo.name}")
    yield files
    files.rm("bucket", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def command(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(repo_root))

    def run(line: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        return ended

    return run


@pytest.fixture
def page(repo_root: Path) -> str:
    return (repo_root / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")


def test_two_shards_of_a_bucket_do_the_job_as_the_page_shows_it(
    page: str, bucket: Any, command: Command, tmp_path: Path
) -> None:
    lines = re.findall(r"^\$ (seg-batch cluster .* ?s3://bucket/.*)$", page, re.MULTILINE)
    local = [line for line in lines if "--engine" not in line]
    assert len(local) == 5
    for line in local:
        command(line)
    assert len(list((tmp_path / "masks-of-bucket").glob("*.png"))) == IMAGES


def test_there_is_one_get_per_image_and_about_a_dozen_requests_per_unit(
    page: str, requests: list[tuple[str, str]], bucket: Any, command: Command
) -> None:
    assert "one GET per image, and about a dozen per unit" in page
    command("seg-batch cluster plan s3://bucket/photos --job s3://bucket/job --unit 2")
    requests.clear()
    command("seg-batch cluster run s3://bucket/job --processes 2")
    photos = [method for method, path in requests if path.startswith("/bucket/photos/")]
    assert photos == ["GET"] * IMAGES
    assert 9 <= (len(requests) - IMAGES) / (IMAGES // 2) <= 15


def test_webdataset_reads_the_tars_as_the_page_shows_it(page: str, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    write_set(tmp_path / "set", 3, [(60, 80)], seed=6)
    (tmp_path / "set" / "images" / "a").mkdir()
    first = min((tmp_path / "set" / "images").glob("*.jpg"))
    first.rename(first.parent / "a" / "b.jpg")
    command("seg-batch cluster plan set/images --job job --unit 2")
    command("seg-batch cluster run job")
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "read.py").write_text(program)
    printed = command("python read.py").stdout.splitlines()
    assert sorted(printed) == ["a/b (60, 80)", "synth_00001 (60, 80)", "synth_00002 (60, 80)"]
