"""How ``seg-batch serve`` ends if it is told so twice: at once, without a traceback, and nothing stays."""

from __future__ import annotations

import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.faults import PATIENCE, healthy, started, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the service runs on Linux and macOS")

UPLOAD = b"POST /v1/masks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: signal.Signals
) -> None:
    """An image hangs its decoder, an upload has half arrived; both would be waited for."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (hangs,) = healthy(1, fault="hang").values()
    words = ("serve", "--port", "0", "--model", model_file, "--device", "cpu", "--timeout", "3000")
    with started(tmp_path, *words) as run:
        wait_for(lambda: "http://" in run.said, PATIENCE, lambda: run.said)
        url = re.findall(r"at (http://\S+)/ ", run.said)[0]
        place = urlsplit(url)
        with ThreadPoolExecutor(1) as pool, socket.create_connection((place.hostname, place.port)) as half:
            half.sendall(UPLOAD)
            answer = pool.submit(httpx.post, f"{url}/v1/masks", content=hangs, timeout=None)
            wait_for(lambda: httpx.get(f"{url}/health").json()["waiting"] == 1, PATIENCE, lambda: run.said)
            run.process.send_signal(signal.SIGINT)
            wait_for(lambda: _is_refused(place.port), PATIENCE, lambda: run.said)
            run.process.send_signal(second)
            code = run.wait()
            answer.exception()
        assert code == 0, run.said
        assert "Traceback" not in run.said
        assert "rror" not in run.said
    assert list(temporary.iterdir()) == []


def _is_refused(port: int | None) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port or 0)).close()
    except OSError:
        return True
    return False
