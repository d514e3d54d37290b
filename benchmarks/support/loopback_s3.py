"""A bucket on loopback, served by moto in a process of its own: S3's answers without a network."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

SERVER = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
BUCKET = "job"


@contextlib.contextmanager
def loopback_s3() -> Iterator[str]:
    """Yield the URL of an empty bucket. ``s3://`` refers to its server, here and in processes started meanwhile."""
    import fsspec

    files = fsspec.get_filesystem_class("s3")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            host, port = server.stdout.readline().split()
            with _variables(
                AWS_ACCESS_KEY_ID="k",
                AWS_SECRET_ACCESS_KEY="s",
                AWS_DEFAULT_REGION="us-east-1",
                AWS_ENDPOINT_URL=f"http://{host}:{port}",
            ):
                files.clear_instance_cache()
                fsspec.filesystem("s3").mkdir(BUCKET)
                yield f"s3://{BUCKET}"
        finally:
            files.clear_instance_cache()
            server.kill()


@contextlib.contextmanager
def _variables(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
