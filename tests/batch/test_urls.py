"""What of an address may be seen, its one spelling, and the names that are made from it."""

from __future__ import annotations

import pytest

from batch.errors import printable
from batch.urls import canonical, is_url, plain_name, public_url


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://u:p@h/a.jpg?Signature=ab/cd&x=1#f", "https://h/a.jpg?x=1"),
        ("HTTPS://token@h/a.jpg", "https://h/a.jpg"),
        ("https://u:p/a?s#s@h/x.jpg", "https://h/x.jpg"),
        ("https://u:p@ss@h/a", "https://h/a"),
        ("https://h/a?X%2DAmz%2DSignature=1&X-Amz-Date=2&b=2", "https://h/a?b=2"),
        ("https://h/a?se=1&sp=r&sv=3&sig=4&id=5", "https://h/a?id=5"),
        ("https://h/a?se=1&sp=2&policy=x", "https://h/a?se=1&sp=2&policy=x"),
        ("https://h/a?GoogleAccessId=1&Expires=2&Signature=3", "https://h/a"),
        ("https://h/a?Policy=1&Key-Pair-Id=2&Signature=3", "https://h/a"),
        ("https://h/a?token=1&api_key=2&page_token=3", "https://h/a?page_token=3"),
        ("https://h:8080/a@b.jpg", "https://h:8080/a@b.jpg"),
        ("http://[::1]:80/a@b.jpg", "http://[::1]:80/a@b.jpg"),
        ("ftp://u:p@h/x", "ftp://h/x"),
        ("s3://b/what?.jpg", "s3://b/what?.jpg"),
        ("abfs://container@account/x", "abfs://container@account/x"),
        ("/a/b?token=1.jpg", "/a/b?token=1.jpg"),
    ],
)
def test_secrets_are_not_public(url: str, public: str) -> None:
    assert public_url(url) == public
    assert is_url(url) == ("://" in url)


def test_what_is_printed_has_no_secrets() -> None:
    said = "403, url='https://u:pw@h/x?Signature=abc&b=1', path '/a?token=abc&c=2'"
    assert printable(said) == "403, url='https://h/x?b=1', path '/a?...&c=2'"


@pytest.mark.parametrize(
    ("url", "expected", "name"),
    [
        ("http://H:80/a/./b/../%63%20d.jpg", "http://h/a/c%20d.jpg", "c d.jpg"),
        ("https://h:443/ü.jpg#x", "https://h/%C3%BC.jpg", "ü.jpg"),
        ("http://h/%2e%2e/%2E%2E%2Fetc%2fpasswd", "http://h/..%2Fetc%2Fpasswd", "etc_passwd"),
        ("http://h/a%5C..%5Cb.jpg?x=../y", "http://h/a%5C..%5Cb.jpg?x=../y", "a_b.jpg"),
        ("http://h/caf%E9.jpg", "http://h/caf%E9.jpg", "caf%E9.jpg"),
        ("http://u:p@h", "http://u:p@h/", "image"),
    ],
)
def test_one_spelling_and_a_name_that_stays_where_it_is(url: str, expected: str, name: str) -> None:
    assert canonical(url) == canonical(expected) == expected
    assert plain_name(url) == name
