"""The documentation as web pages: ``make site``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # autodoc reads the packages beside it

project = "seglab"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_site", "tools", "examples"]

myst_enable_extensions = ["attrs_block"]
myst_heading_anchors = 4

python_maximum_signature_line_length = 80
nitpick_ignore_regex = [("py:.*", ".*")]  # docstrings name types and rooms that have no page

html_theme = "furo"
html_title = "seglab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
