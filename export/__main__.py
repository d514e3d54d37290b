"""``python -m export``: the command ``seg-export``."""

from export.cli import main

main(prog_name="seg-export")
