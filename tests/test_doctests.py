"""The examples in docstrings of the functions for Python run and give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ("seglab.api.training", "seglab.api.validation", "export.segmenter.loading", "batch.api.segmenting")


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    ended = doctest.testmod(importlib.import_module(name))
    assert ended.failed == 0
    assert ended.attempted > 0
