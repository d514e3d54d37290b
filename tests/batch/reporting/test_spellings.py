"""What a user may type for an image."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batch.reporting.spellings import names_in, spellings


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/a/b.png", "/a/b.png"),
        ("b.png", os.path.join(os.getcwd(), "b.png")),
        ("/a/../c/b.png", "/c/b.png"),
        ("/a/new\\nline.png", "/a/new\nline.png"),
        ("/a/caf\\xe9.png", "/a/caf\udce9.png"),
        ("/a/\\u202eb.png", "/a/\u202eb.png"),
        ("HTTPS://host/a.png?sig=x", "https://host/a.png"),
        ("s3://bucket/a.png", "s3://bucket/a.png"),
    ],
)
def test_a_name_stands_for_a_path(typed: str, meant: str) -> None:
    found = list(spellings(typed))
    assert found[0] == typed
    assert meant in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize("typed", ["", "\\x00", "a\0b", "https://[broken/a.png", "\udce9", "\\ud800"])
def test_what_is_no_path_stands_for_itself(typed: str) -> None:
    assert typed in list(spellings(typed))


def test_lists_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"a.png\n\n# no\nb.png")
    (tmp_path / "two").write_bytes(b"c\nd.png\0\xe9.png\0")
    assert list(names_in([str(tmp_path / "one"), str(tmp_path / "two")])) == [
        "a.png",
        "b.png",
        "c\nd.png",
        "\udce9.png",
    ]
