"""Run an app on a port of this machine, until Ctrl-C."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from seglab.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which a browser on this machine reaches it."""
BACKLOG = 2048
"""Connections that may wait, as uvicorn has it."""
GRACE_SECONDS = 10
"""How long requests may take to end after Ctrl-C."""


@contextlib.contextmanager
def needs_web() -> Iterator[None]:
    """Map the lack of a package of the extra ``web`` to :class:`MissingDependencyError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The package {error.name} is missing, which this command needs. Install it: pip install 'seglab[web]'"
        ) from error


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ``port`` 0: any free one. Raises :class:`ConfigError` if that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # By the protocol's name, asyncio knows that answers must not wait for acknowledgements (TCP_NODELAY): 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)  # from now on, no other program gets the port
        except BaseException:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise ConfigError(
            f"Nothing can listen on {host}, port {port}: {error.strerror or error}. Choose another --port, or another "
            "address."
        ) from error


def run_server(
    app: ASGIApp,
    listening: socket.socket,
    ready: Callable[[], object],
    *,
    ended: threading.Event | None = None,
    abandon: Callable[[], object] = lambda: None,
    grace: float = GRACE_SECONDS,
    **settings: Any,
) -> None:
    """Serve an app until Ctrl-C or SIGTERM, or until ``ended`` is set; requests in progress have ``grace`` seconds. A
    second signal ends it at once, after a call of ``abandon``.

    ``ready``: called when requests are answered. ``settings``: of :class:`uvicorn.Config`.
    """
    with needs_web():
        import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

        async def on_tick(self, counter: int) -> bool:
            is_over = await super().on_tick(counter)
            return is_over or (ended is not None and ended.is_set())

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.should_exit:
                self.force_exit = True
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # of requests that are cut off
                abandon()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=round(grace), server_header=False, **settings
    )
    with _signals_end_once():
        Server(config).run(sockets=[listening])


@contextlib.contextmanager
def _signals_end_once() -> Iterator[None]:
    """Ignore the signals that uvicorn raises again after it has ended by them in good order."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
