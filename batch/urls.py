"""URLs, and which parts of them may be shown or stored.

Passwords and signatures go to the server only: they are never written to a file, ledger row, mask name or line of
output. The URL without them identifies an image, so a new signature does not make a new image.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]+://[^\s'\"<>]+", re.IGNORECASE)
WEB = ("http://", "https://")
SECRET = re.compile(
    r"x-(amz|goog|oss|cos)-.*|q-(sign|ak|key|header|url|signature).*|sig|signature|"
    r"(aws|oss)accesskeyid|googleaccessid|key-pair-id|security[_-]?token|"
    r"(access|auth|id|refresh|sas|session)?[_-]?token|client[_-]?secret|secret|password|passwd|pwd|"
    r"(x-)?api[_-]?key|authorization|auth|jwt|hmac|hdnts|hdnea|tempauth|sessionid|phpsessid|jsessionid",
    re.IGNORECASE,
)
"""Query parameters that grant access."""
SIGNED = re.compile(r"expires|policy|hash-algorithm|s[eprstv]|ss|srt|spr|sip|sk(oid|tid|t|e|s|v)|sdd|[su]oid|ses|scid")
"""Query parameters that belong to a signature: secret only beside one. The short ones are Azure's."""
SIGNATURES = frozenset({"sig", "signature"})
LEFT_OVER = re.compile(rf"(?<=[?&])(?:{SECRET.pattern.replace('.*', '[^=&]*')})=[^&\s'\"<>]*", re.IGNORECASE)
USER_WITH_ODD_PASSWORD = re.compile(r"\A(?!\[)[^/?#@]*:(?!\d{1,5}(?:[/?#]|$))[^@\s]*@")
"""A password with an unescaped ``/``, ``?`` or ``#``: not a valid URL, but still a secret."""
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
SAFE_IN_PATH, SAFE_IN_QUERY = "!$&'()*+,;=:@~", "!$&'()*+,;=:@~%/?[]"
NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f]")
SLASH = re.compile(r"[/\\]")


def is_url(text: str) -> bool:
    """Return whether ``text`` is a URL and not a path."""
    return URL.match(text) is not None


def is_web(url: str) -> bool:
    """Return whether ``url`` is an http or https URL."""
    return url.lower().startswith(WEB)


def public_url(text: str) -> str:
    """Return a URL without passwords and signatures; any other text unchanged."""
    begin = URL.match(text)
    if begin is None:
        return text
    scheme, rest = begin[0].lower(), text[begin.end() :]
    if scheme in WEB:
        rest = USER_WITH_ODD_PASSWORD.sub("", rest, count=1).partition("#")[0]
    end = re.search(r"[/?#]|$", rest)
    split = end.start() if end else len(rest)
    authority, tail = rest[:split], rest[split:]
    user, _, host = authority.rpartition("@")
    if ":" in user or scheme in WEB:
        authority = host
    return scheme + authority + _public_query(tail, is_query=scheme in WEB)


def _public_query(tail: str, *, is_query: bool) -> str:
    """Return path and query without secret parameters. If ``is_query`` is False, a ``?`` may be part of a name."""
    path, _, query = tail.partition("?")
    parts = query.split("&")
    names = [unquote(part.partition("=")[0]).lower() for part in parts]
    is_signed = any(name in SIGNATURES for name in names)
    kept = [
        part
        for part, name in zip(parts, names, strict=True)
        if not (SECRET.fullmatch(name) or (is_signed and SIGNED.fullmatch(name)))
    ]
    if not is_query and len(kept) == len(parts):
        return tail
    return f"{path}?{'&'.join(kept)}" if any(kept) else path


def without_secrets(text: str) -> str:
    """Return a message in which every URL is without passwords and signatures."""
    return LEFT_OVER.sub("...", IN_TEXT.sub(lambda match: public_url(match[0]), text))


def canonical(url: str) -> str:
    """Return the canonical form of a web URL: no fragment, no ``.`` or ``..``, escapes only where needed.

    Other URLs are returned unchanged, except that their scheme becomes lower case. Raises :class:`ValueError`.
    """
    begin = URL.match(url)
    if begin is None or not is_web(url):
        return url if begin is None else begin[0].lower() + url[begin.end() :]
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    host = _ascii_host(host.lower()).removesuffix(DEFAULT_PORTS[parts.scheme])
    query = f"?{quote(parts.query, safe=SAFE_IN_QUERY)}" if parts.query else ""
    return f"{parts.scheme}://{user}{at}{host}{_canonical_path(parts.path)}{query}"


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host
    name, colon, port = host.partition(":")
    return name.encode("idna").decode("ascii") + colon + port


def _canonical_path(path: str) -> str:
    kept: list[str] = []
    segments = [unquote_to_bytes(part.encode("utf-8", "surrogateescape")) for part in path.split("/")[1:]] or [b""]
    for segment in segments:
        if segment == b"..":
            kept = kept[:-1]
        elif segment != b".":
            kept.append(quote(segment, safe=SAFE_IN_PATH))
    if segments[-1] in (b".", b".."):
        kept.append("")
    return "/" + "/".join(kept)


def joined(base: str, link: str) -> str | None:
    """Return the canonical URL that a link on a page points to; None if that is not a web URL."""
    try:
        url = urljoin(base, link.strip())
        return canonical(url) if is_web(url) else None
    except ValueError:
        return None


def path_part(url: str) -> str:
    """Return a web URL without query and fragment; anything else unchanged."""
    return re.split(r"[?#]", url, maxsplit=1)[0] if is_web(url) else url


def place(url: str) -> str:
    """Return host and path of a URL: its location without scheme, user and query."""
    return URL.sub("", path_part(public_url(url)), count=1)


def plain_path(path: str) -> str:
    """Return the decoded path of a web URL as a relative file path that cannot leave its folder."""
    return "/".join(_plain(part) for part in path.split("/") if part) or "image"


def plain_name(url: str) -> str:
    """Return the last part of a URL's path, decoded."""
    _, _, path = place(url).partition("/")
    return plain_path(path.rstrip("/").rpartition("/")[2])


def _plain(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:  # an older encoding: keep its escapes as the name
        text = segment
    kept = [part for part in SLASH.split(NOT_IN_NAMES.sub("_", text)) if part not in ("", ".", "..")]
    return "_".join(kept) or "_"
