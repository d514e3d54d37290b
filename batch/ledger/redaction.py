"""Remove the names of forgotten images elsewhere in a ledger: from its runs, and from errors of other images.

A run keeps its settings and summary, which hold the paths of images that were named one by one or mentioned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from batch.errors import encodable, printable
from batch.ledger.forgetting import Forgetting
from batch.ledger.reader import PAGE
from batch.ledger.schema import encode, sqlite_errors

FORGOTTEN = "(forgotten)"
BEFORE, BEHIND = r"(?<![\w/.\\-])", r"(?![\w-])(?!\.\w)"
"""What must not stand before and after a name: it would then be part of a longer name."""


def redact(ledger: Forgetting, more: Iterable[str] = ()) -> None:
    """Replace the names of the selected images in runs and in other images' errors, and commit. ``more``: further
    names, as the user gave them.
    """
    with sqlite_errors(ledger.path):
        runs = list(ledger.connection.execute("SELECT id, settings, summary FROM runs"))
        values = [json.loads(text) for _, *texts in runs for text in texts if text]
        names = _said(ledger, more, "\n".join(text for value in values for text in _texts(value)))
        if names:
            _rewrite_runs(ledger, runs, _replacer(names))
        _redact_errors(ledger, more)
    ledger.commit()


def _rewrite_runs(
    ledger: Forgetting, runs: Iterable[tuple[int, str, str | None]], replaced: Callable[[str], str]
) -> None:
    for number, *texts in runs:
        settings, summary = (text and json.dumps(_mapped(json.loads(text), replaced)) for text in texts)
        values = (settings, summary, number)
        ledger.connection.execute("UPDATE runs SET settings = ?, summary = ? WHERE id = ?", values)


def _redact_errors(ledger: Forgetting, more: Iterable[str]) -> None:
    """Redact the errors of images that are not selected, a page at a time."""
    text = (
        "SELECT id, error FROM items WHERE status <> 'done' AND error IS NOT NULL AND id > ? "
        f"AND id NOT IN (SELECT id FROM chosen) ORDER BY id LIMIT {PAGE}"
    )
    after = -1
    while page := ledger.connection.execute(text, (after,)).fetchall():
        names = _said(ledger, more, "\n".join(error for _, error in page))
        if names:
            replaced = _replacer(names)
            changed = [(encode(replaced(error)), number) for number, error in page]
            ledger.connection.executemany("UPDATE items SET error = CAST(? AS TEXT) WHERE id = ?", changed)
        after = page[-1][0]


def _said(ledger: Forgetting, more: Iterable[str], text: str) -> set[str]:
    """Return the names that occur in a text, in the forms in which they are written there."""
    if not text:
        return set()
    names = (name for some in (more, ledger.names()) for name in some if len(name) > 1)
    return {form for name in names for form in (name, encodable(name), printable(name)) if form in text}


def _replacer(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function that replaces names and paths below them; a name without folders only as a whole text."""
    bare = {name.rstrip("/") for name in names}
    either = "|".join(re.escape(name) for name in sorted(bare, key=len, reverse=True) if "/" in name)
    pattern = re.compile(f"{BEFORE}(?:{either}){BEHIND}(?:/[^\\s'\"),;]*)?" if either else r"(?!)")
    return lambda text: FORGOTTEN if text.rstrip("/") in bare else pattern.sub(FORGOTTEN, text)


def _texts(value: Any) -> Iterator[str]:
    """Yield all strings in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _mapped(value: Any, replaced: Callable[[str], str]) -> Any:
    """Return a JSON value with all strings replaced."""
    if isinstance(value, str):
        return replaced(value)
    if isinstance(value, dict):
        return {replaced(key): _mapped(entry, replaced) for key, entry in value.items()}
    return [_mapped(entry, replaced) for entry in value] if isinstance(value, list) else value
