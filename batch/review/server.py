"""Serve the review page on this machine, and open the browser."""

from __future__ import annotations

import os
import secrets
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing

from batch.outputs.spec import Output
from batch.review.app import review_app
from batch.review.reviewed import Reviewed
from batch.web.server import bound_socket, run_server

HOST = "127.0.0.1"


def serve(output: Output, port: int, reviewer: str, on_ready: Callable[[str], object]) -> None:
    """Serve the review of an output until Ctrl-C. ``on_ready`` is called with the address once it answers.

    Raises :class:`batch.errors.OutputError` if there is no ledger or decisions cannot be kept, and
    :class:`seglab.errors.ConfigError` if the port is taken.
    """
    token = secrets.token_urlsafe(24)
    with Reviewed(output) as reviewed, closing(bound_socket(HOST, port)) as listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
        run_server(review_app(reviewed, token, reviewer), listening, lambda: on_ready(address))


def open_browser(address: str) -> bool:
    """Open an address in the user's browser; return False if there is no display or no browser."""
    has_display = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_display:
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
