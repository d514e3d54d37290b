"""A proxy before the S3 server on loopback that answers some requests with errors, as a busy bucket does."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Proxy:
    """``refuses``: whether a request (method, path) is answered with 503; ``loses``: whether its answer is lost after
    the server has acted. ``asked``: all requests.
    """

    def __init__(self, behind: str) -> None:
        self.behind, self.url = urlsplit(behind), ""
        self.asked: list[tuple[str, str]] = []
        self.refuses: Callable[[str, str], bool] = lambda _method, _path: False
        self.loses: Callable[[str, str], bool] = lambda _method, _path: False


@contextmanager
def proxied(endpoint: str) -> Iterator[Proxy]:
    """Yield a proxy before the S3 server at ``endpoint``."""
    proxy = Proxy(endpoint)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = (self.command, self.path)
            proxy.asked.append(request)
            if proxy.refuses(*request):
                self._answer(503, {"Content-Type": "application/xml"}, BUSY)
                return
            connection = http.client.HTTPConnection(str(proxy.behind.hostname), proxy.behind.port or 80, timeout=120)
            connection.request(self.command, self.path, body, dict(self.headers))
            found = connection.getresponse()
            data = found.read()
            connection.close()
            if proxy.loses(*request):
                self._answer(503, {"Content-Type": "application/xml"}, BUSY)
                return
            length = found.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(found.status, dict(found.getheaders()), data, length)

        def _answer(self, status: int, headers: dict[str, str], data: bytes, length: str | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that goes away is no error
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        proxy.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield proxy
        running.shutdown()
