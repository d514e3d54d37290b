"""Storage on loopback: S3 as moto serves it, and plain HTTP. Fixtures; ``tests/conftest.py`` makes them known."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of an S3 server."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store, which ``s3://`` means for the test and for processes that it starts."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    import fsspec

    fsspec.get_filesystem_class("s3").clear_instance_cache()
    files = fsspec.filesystem("s3")
    for bucket in ("photos", "masks"):
        files.mkdir(bucket)
    yield files
    for bucket in ("photos", "masks"):
        files.rm(bucket, recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def web_folder(tmp_path: Path) -> Path:
    """What the web server serves."""
    folder = tmp_path / "www"
    folder.mkdir()
    return folder


@pytest.fixture
def web(web_folder: Path) -> Iterator[str]:
    """The address of a web server."""
    pytest.importorskip("aiohttp")
    handler = functools.partial(_Quiet, directory=str(web_folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that goes away is no error
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def upload(s3: Any, folder: Path, place: str) -> None:
    """Put all files of a folder below a place."""
    for path in folder.rglob("*.*"):
        s3.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def stored(s3: Any, place: str) -> dict[str, bytes]:
    """Return what is below a place."""
    s3.invalidate_cache()
    return {path.removeprefix(place + "/"): s3.cat_file(path) for path in sorted(s3.find(place))}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
