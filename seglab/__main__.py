"""``python -m seglab``: the command ``seglab``."""

from seglab.cli import main

main(prog_name="seglab")
