"""Code blocks of pages as doctests, any figure for any other: figures depend on the machine."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

FIGURE = re.compile(r"\d+\.\d+|\d{3,}")
SHOWN_FOLDER = "/home/me"
"""What pages call the working folder."""


class Checker(doctest.OutputChecker):
    """Compares what is printed, but for figures."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        shown = got.replace(str(Path.cwd()), SHOWN_FOLDER)
        return super().check_output(FIGURE.sub("#", want), FIGURE.sub("#", shown), optionflags)


def run_examples(text: str, known: dict[str, Any], name: str) -> int:
    """Run ``>>>`` examples that know these names and leave their own; return how many there are."""
    lines: list[str] = []
    runner = doctest.DocTestRunner(Checker(), optionflags=doctest.NORMALIZE_WHITESPACE)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    test.globs = known  # it would take a copy, and one section goes on where the other ended
    runner.run(test, out=lines.append, clear_globs=False)
    found = runner.summarize(verbose=False)
    assert found.failed == 0, "".join(lines)
    return found.attempted
