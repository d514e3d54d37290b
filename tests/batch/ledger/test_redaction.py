"""Names taken out of texts: all of a name, and nothing of a longer one."""

from __future__ import annotations

import pytest

from batch.ledger.redaction import _replacer


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("/d/a.png", "(forgotten)"),
        ("not opened: /d/a.png.", "not opened: (forgotten)."),
        ("2 files (/d/a.png, /d/b.png)", "2 files ((forgotten), /d/b.png)"),
        ("'/d/a.png': cut off", "'(forgotten)': cut off"),
        ("/d/a.png.bak and /d/a.png-2 and /x/d/a.png", "/d/a.png.bak and /d/a.png-2 and /x/d/a.png"),
        ("/d/smith.zip/x/1.png is broken", "(forgotten) is broken"),
        ("photos", "(forgotten)"),
        ("photos/", "(forgotten)"),
        ("3 photos were left out", "3 photos were left out"),
    ],
)
def test_a_text_without_names(text: str, after: str) -> None:
    assert _replacer({"/d/a.png", "/d/smith.zip", "photos/"})(text) == after


def test_no_names() -> None:
    assert _replacer({"photos"})("3 photos, a.png") == "3 photos, a.png"
