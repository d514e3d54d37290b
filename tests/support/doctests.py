"""Code blocks of pages as doctests. Any number matches any other, because numbers depend on the machine."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

FIGURE = re.compile(r"\d+\.\d+|\d{3,}")
SHOWN_FOLDER = "/home/me"
"""The name of the working folder on pages."""


class Checker(doctest.OutputChecker):
    """Compares printed text, ignoring numbers."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        shown = got.replace(str(Path.cwd()), SHOWN_FOLDER)
        return super().check_output(FIGURE.sub("#", want), FIGURE.sub("#", shown), optionflags)


def run_examples(text: str, known: dict[str, Any], name: str) -> int:
    """Run ``>>>`` examples with the names in ``known``, add the names that they define, and return their number."""
    lines: list[str] = []
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.NORMALIZE_WHITESPACE)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    test.globs = known  # not a copy of it: each section continues the one before
    runner.run(test, out=lines.append, clear_globs=False)
    found = runner.summarize(verbose=False)
    assert found.failed == 0, "".join(lines)
    return found.attempted
