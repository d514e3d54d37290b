"""Guard an app on this machine: no page from elsewhere may post to it, frame it or read it, and it loads nothing from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """An app that answers only requests to these ``hosts`` (names without port; None: any), and changes something only
    for requests of its own pages or of programs, which send no ``Origin``.

    A page elsewhere may have its host name point to this machine, so the ``Host`` is checked, too. ``public``: names
    under which a proxy shows the app; they are hosts as well.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None, public: Iterable[str] = ()) -> None:
        self._app, self._public = app, frozenset(map(str.lower, public))
        self._hosts = None if hosts is None else frozenset(hosts) | self._public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope["method"], headers.get(b"host", ""), headers)
        app = self._app if refusal is None else PlainTextResponse(refusal, 403)
        await app(scope, receive, _with_headers(send))

    def _refusal(self, method: str, host: str, headers: dict[bytes, str]) -> str | None:
        if self._hosts is not None and _name_of(host) not in self._hosts:
            return f"This server does not answer for the host {host!r}. Open the address that it printed.\n"
        if method in SAFE_METHODS:
            return None
        is_foreign = self._is_foreign(headers.get(b"origin"), host)
        if is_foreign or headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "A page of another site sent this request. Only pages of this server may.\n"
        return None

    def _is_foreign(self, origin: str | None, host: str) -> bool:
        """Return whether a page of another site sent a request. A proxy may have changed the port and the host's name,
        so pages of ``public`` names are own ones, too.
        """
        if origin is None:
            return False
        try:
            found = urlsplit(origin)
            return found.netloc != host and (found.hostname or "") not in self._public
        except ValueError:
            return True


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            added = [header for header in HEADERS if header[0] not in present]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return guarded
