"""Storage on loopback: S3 as moto serves it, and plain HTTP. Fixtures; ``tests/conftest.py`` makes them known."""

from __future__ import annotations

import functools
import html
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


def s3_variables(endpoint: str) -> dict[str, str]:
    """Return the environment variables with which ``s3://`` refers to this server."""
    account = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    return {**account, "AWS_ENDPOINT_URL": endpoint}


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store to which ``s3://`` refers in the test and in processes that it starts."""
    for name, value in s3_variables(s3_endpoint).items():
        monkeypatch.setenv(name, value)
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
    """The folder that the web server serves."""
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


@dataclass
class Reply:
    """A response of a scripted server. ``after``: seconds to wait before it, at most until the test ends. Empty headers
    are not sent.
    """

    data: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0


Script = Callable[[http.server.BaseHTTPRequestHandler], Reply | None]


class Scripted:
    """A web server whose responses ``answer`` returns, None for 404. ``asked``: the requests in order. ``ended``: set
    when the test is over.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended = threading.Event()
        self.answer: Script = lambda _request: None
        self.url = ""

    def count(self, path: str) -> int:
        """Return how often a path was requested with GET."""
        return self.asked.count(f"GET {path}")


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A web server that a test scripts."""
    pytest.importorskip("aiohttp")
    script = Scripted()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script.asked.append(f"{self.command} {self.path}")
            reply = script.answer(self) or Reply(status=404)
            if reply.after:
                script.ended.wait(reply.after)
            self.send_response(reply.status)
            headers = {"Content-Type": "image/png", "Content-Length": str(len(reply.data)), **reply.headers}
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.data)

        do_HEAD = do_GET

        def do_PUT(self) -> None:
            self.body = self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.handle_error = lambda *_: None  # type: ignore[method-assign]  # as above
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        script.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield script
        script.ended.set()
        running.shutdown()


def page(*links: str) -> Reply:
    """Return a page with links to these names."""
    body = "".join(f'<a href="{html.escape(link)}">x</a>' for link in links)
    return Reply(f"<html><body>{body}</body></html>".encode(), headers={"Content-Type": "text/html"})


def upload(s3: Any, folder: Path, place: str) -> None:
    """Upload all files of a folder to a place."""
    for path in folder.rglob("*.*"):
        s3.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def stored(s3: Any, place: str) -> dict[str, bytes]:
    """Return the files below a place."""
    s3.invalidate_cache()
    return {path.removeprefix(place + "/"): s3.cat_file(path) for path in sorted(s3.find(place))}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
