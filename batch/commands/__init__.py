"""The subcommands of ``seg-batch``, one per module; the command line is in ``batch/cli.py``."""
