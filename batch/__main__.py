"""``python -m batch``: the command ``seg-batch``."""

from batch.cli import main

main(prog_name="seg-batch")
